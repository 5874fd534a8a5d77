"""The page's server: on 127.0.0.1 alone, by Starlette and uvicorn, behind `guard.Guard`."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from minidl.faces.errors import BadDataset, FaceError, MissingLibrary
from minidl.faces.gallery import Name
from minidl.faces.live.desk import Desk
from minidl.faces.live.guard import App, Guard

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MOST_BYTES: Final = 12_000_000
"""A larger upload is refused while it arrives."""
SECONDS: Final = 30.0
"""An upload that takes longer is given up."""
ASSETS: Final = {"": "live.html", "live.css": "live.css", "live.js": "live.js"}
KINDS: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


class TooLarge(FaceError):
    """An upload has more bytes than are taken."""


class TooSlow(FaceError):
    """An upload took too long."""


def require_live() -> None:
    """Say now, not after a training, that there can be no page.

    Raises:
        MissingLibrary: Starlette or uvicorn is not installed.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingLibrary("the live page needs starlette and uvicorn: pip install 'minidl[faces,live]'") from error


def application(desk: Desk, port: int, token: str) -> App:
    """The guarded application.

    Arguments:
        desk: answers the questions.
        port: that the server listens on; requests to another are refused.
        token: the first part of every path.

    Raises:
        MissingLibrary: Starlette is not installed.
    """
    require_live()
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    def asset(name: str) -> Callable[[Request], Any]:
        content = (files("minidl.faces.live") / "assets" / name).read_bytes()
        kind = KINDS[name.rpartition(".")[2]]

        async def serve(request: Request) -> Response:
            return Response(content, media_type=kind)

        return serve

    async def asked(request: Request, question: Callable[[], Any]) -> Response:
        try:
            answer = await run_in_threadpool(question)
        except FaceError as error:
            return JSONResponse({"error": str(error), "kind": type(error).__name__}, 422)
        if isinstance(answer, bytes):
            return Response(answer, media_type="image/png")
        return JSONResponse(answer)

    async def about(request: Request) -> Response:
        return await asked(request, desk.about)

    async def people(request: Request) -> Response:
        return await asked(request, desk.people)

    async def look(request: Request) -> Response:
        data = await body_of(request)
        return await asked(request, lambda: desk.look(data, request.query_params.get("live") == "1"))

    async def enrol(request: Request) -> Response:
        name, data = name_of(request), await body_of(request)
        return await asked(request, lambda: desk.enrol(name, data))

    async def explain(request: Request) -> Response:
        name, data = name_of(request), await body_of(request)
        return await asked(request, lambda: desk.explain(name, data))

    async def forget(request: Request) -> Response:
        name = name_of(request)
        return await asked(request, lambda: desk.forget(name))

    async def refused(request: Request, error: Exception) -> Response:
        status = 413 if isinstance(error, TooLarge) else 408 if isinstance(error, TooSlow) else 422
        # What was not read of the upload would be taken for the next request.
        answer = {"error": str(error), "kind": type(error).__name__}
        return JSONResponse(answer, status, headers={"connection": "close"})

    routes = [Route(f"/{path}", asset(name), methods=["GET"]) for path, name in ASSETS.items()]
    routes += [Route("/about", about, methods=["GET"]), Route("/people", people, methods=["GET"])]
    routes += [
        Route(f"/{path}", answer, methods=["POST"])
        for path, answer in (("look", look), ("enrol", enrol), ("explain", explain), ("forget", forget))
    ]
    return Guard(Starlette(routes=routes, exception_handlers={FaceError: refused}), port, token)


async def body_of(request: Request) -> bytes:
    """The upload, given up as soon as it is too large or too slow.

    Raises:
        TooLarge, TooSlow: it is.
    """
    too_large = f"an upload has at most {MOST_BYTES / 1e6:.0f} MB: make the picture smaller"
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MOST_BYTES:
        raise TooLarge(too_large)
    parts, size = [], 0
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise TooLarge(too_large)
                parts.append(part)
    except TimeoutError as error:
        raise TooSlow(f"the upload did not arrive within {SECONDS:.0f} s: try again") from error
    return b"".join(parts)


def name_of(request: Request) -> Name:
    """Who is meant: the parameter `name`, a text or a whole number in JSON.

    Raises:
        BadDataset: it is missing or something else.
    """
    try:
        name = json.loads(request.query_params.get("name", ""))
    except ValueError:
        name = None
    if type(name) not in (str, int):
        raise BadDataset("a name is missing: give a text or a whole number")
    return name


class LiveServer:
    """A server for one run, with a port and a token of its own.

    Arguments:
        desk: answers the questions.
        port: to listen on; 0 for any that is free.

    Raises:
        MissingLibrary: Starlette or uvicorn is not installed.
        OSError: the port is taken.
    """

    def __init__(self, desk: Desk, port: int = 0) -> None:
        require_live()
        import uvicorn

        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.token = secrets.token_urlsafe(32)
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(desk, self.port, self.token),
                access_log=False,  # it would write the token down
                log_level="warning",
                lifespan="off",
                ws="none",
                http="h11",
                proxy_headers=False,  # who asks is whom the socket says, not whom a header says
                server_header=False,
                limit_concurrency=32,
                timeout_keep_alive=10,
                timeout_graceful_shutdown=2,
                h11_max_incomplete_event_size=16_384,
            )
        )

    @property
    def address(self) -> str:
        """To open in a browser."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def run(self) -> None:
        """Serve until `stop` or Ctrl-C."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Make `run` return."""
        self._server.should_exit = True
