r"""A formula in the letters of a terminal: \bar x = \tfrac{1}{n} \bar y becomes x̄ = 1/n ȳ."""

from __future__ import annotations

import re
import unicodedata

SIGNS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "theta": "θ",
    "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "varphi": "φ", "Phi": "Φ",
    "nabla": "∇", "partial": "∂", "odot": "⊙", "oslash": "⊘", "cdot": "·", "times": "×", "star": "⋆", "le": "≤",
    "ge": "≥", "ne": "≠", "in": "∈", "ni": "∋", "to": "→", "leftarrow": "←", "sim": "~", "top": "ᵀ", "sum": "Σ",
    "prod": "Π", "int": "∫", "infty": "∞", "dots": "…", "bmod": "mod", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈",
    "rceil": "⌉", "lVert": "‖", "rVert": "‖", "lvert": "|", "rvert": "|", "langle": "⟨", "rangle": "⟩",
    "quad": "   ", "qquad": "      ", ",": " ", ";": " ", ":": " ", "!": "", " ": " ", "{": "{", "}": "}",
    "left": "", "right": "", "textstyle": "", "displaystyle": "", "|": "‖", "ell": "ℓ", "approx": "≈",
}  # fmt: skip
ACCENTS = {"bar": "\u0304", "hat": "\u0302", "tilde": "\u0303", "dot": "\u0307"}
UPRIGHT = ("operatorname", "text", "mathrm", "mathbf", "boldsymbol")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}^_]|[^\\{}^_]")
_SUPERSCRIPT = str.maketrans("0123456789+-n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ")


def in_letters(latex: str) -> str:
    r"""A formula in plain letters.

    >>> in_letters(r"\bar x_k = y_k \left(\bar y_k - \textstyle\sum_j \bar y_j y_j\right)")
    'x̄_k = y_k (ȳ_k − Σ_j ȳ_j y_j)'
    >>> in_letters(r"p \leftarrow p - \alpha \frac{m / (1-\beta_1^t)}{\sqrt{v} + \epsilon}")
    'p ← p − α (m / (1−β_1^t)) / (√v + ε)'
    """
    text, _ = _row(_TOKEN.findall(latex), 0)
    text = re.sub(r" {2,}", lambda found: found.group() if len(found.group()) > 2 else " ", text)
    return unicodedata.normalize("NFC", text.replace("( ", "(").replace(" )", ")").replace("-", "−")).strip()


def _row(tokens: list[str], at: int) -> tuple[str, int]:
    """What stands from here to the closing brace or the end."""
    text = ""
    while at < len(tokens) and tokens[at] != "}":
        piece, at = _piece(tokens, at)
        text += piece
    return text, at


def _argument(tokens: list[str], at: int) -> tuple[str, int]:
    """One argument of a command: a group, or the next sign."""
    while at < len(tokens) and tokens[at] == " ":
        at += 1
    if at >= len(tokens):
        return "", at
    if tokens[at] == "{":
        text, at = _row(tokens, at + 1)
        return text.strip(), at + 1
    return _piece(tokens, at)


def _piece(tokens: list[str], at: int) -> tuple[str, int]:
    token = tokens[at]
    if token == "{":
        text, at = _row(tokens, at + 1)
        return text, at + 1
    if token in ("^", "_"):
        text, at = _argument(tokens, at + 1)
        if token == "^" and re.fullmatch(r"[0-9+n-]+", text):
            return text.translate(_SUPERSCRIPT), at
        return (text if text == "ᵀ" else f"{token}{_grouped(text, '()')}"), at
    if not token.startswith("\\"):
        return token, at + 1
    name = token[1:]
    if name in ACCENTS:
        text, at = _argument(tokens, at + 1)
        return text[:1] + ACCENTS[name] + text[1:], at
    if name in ("frac", "tfrac", "dfrac"):
        above, at = _argument(tokens, at + 1)
        below, at = _argument(tokens, at)
        return f"{_grouped(above)} / {_grouped(below)}" if len(above + below) > 3 else f"{above}/{below}", at
    if name == "sqrt":
        text, at = _argument(tokens, at + 1)
        return f"√{_grouped(text)}", at
    if name in UPRIGHT:
        return _argument(tokens, at + 1)
    return SIGNS.get(name, name), at + 1


def _grouped(text: str, brackets: str = "()") -> str:
    """The text, in brackets where it is more than one sign or word."""
    plain = "".join(c for c in text if not unicodedata.combining(c))
    simple = re.fullmatch(r"[\w′]+|\d+", plain) is not None or len(plain) <= 1
    return text if simple else f"{brackets[0]}{text}{brackets[1]}"
