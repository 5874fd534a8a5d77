"""Who may talk to the page's server: this computer's browser, from the page itself, with the token of this run.

A web page of anybody's, open in the same browser, can send requests to 127.0.0.1, and a name server can make its own
name mean 127.0.0.1 (DNS rebinding). So a request needs, each for itself:

- a Host header that is ours: a rebound name still sends its own;
- if it says where it comes from (Origin, Sec-Fetch-Site), that it comes from the page; what changes something must say;
- the token, 256 random bits in the path that only the printed address has.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""Of every answer: nothing foreign is loaded, nothing is kept, and the token is told to nobody."""
SAFE: Final = ("GET", "HEAD")


class Guard:
    """Lets through what may pass, without the token in its path; answers everything else with a sentence.

    Arguments:
        app: what is guarded.
        port: of the server on 127.0.0.1.
        token: the first part of every path.
    """

    def __init__(self, app: App, port: int, token: str) -> None:
        self.app = app
        self.hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost"))
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":  # there are no websockets here
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        refusal = self.refusal(scope)
        if refusal is not None:
            await _answer(send_with_headers, *refusal)
            return
        path = scope["path"][len(self.token) + 1 :]
        await self.app({**scope, "path": path, "raw_path": path.encode()}, receive, send_with_headers)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """(status, sentence) where a request may not pass."""
        told: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            told.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        if told.get("host", []) not in [[host] for host in self.hosts]:
            return 421, "this server answers only to 127.0.0.1: open the address that was printed"
        here = [f"http://{told['host'][0]}"]
        origin = told.get("origin")
        if origin is not None and origin != here:
            return 403, "another web page asked for this: only the page of this server may"
        if origin is None and scope["method"] not in SAFE:
            return 403, "a request that changes or sends something must say where it comes from (Origin)"
        if any(site not in ("same-origin", "none") for site in told.get("sec-fetch-site", [])):
            return 403, "another web page asked for this: only the page of this server may"
        first, slash, _ = scope["path"][1:].partition("/")
        if not slash or not secrets.compare_digest(first.encode(), self.token.encode()):
            return 403, "the address lacks the token of this run: open the address that was printed"
        return None


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = sentence.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
