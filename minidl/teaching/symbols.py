"""Names in LaTeX, for a terminal and for a page."""

from __future__ import annotations

import functools
import html as _html
import re

from minidl import player
from minidl.teaching.errors import LessonError

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "eta": "η", "theta": "θ",
    "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "omega": "ω",
    "Delta": "Δ", "Sigma": "Σ", "nabla": "∇", "partial": "∂", "odot": "⊙", "cdot": "·", "times": "×", "star": "⋆",
    "le": "≤", "ge": "≥", "ne": "≠", "to": "→", "ell": "ℓ", "top": "ᵀ", "sqrt": "√", "log": "log", "exp": "exp",
    "tanh": "tanh", "max": "max", "sum": "Σ", "infty": "∞", "ldots": "…", "qquad": "   ", "quad": "  ", "approx": "≈",
    "left": "", "right": "", "lfloor": "⌊", "rfloor": "⌋", "lvert": "|", "rvert": "|", "Vert": "‖", "oplus": "⊕",
    "leftarrow": "←", "mapsto": "↦", "in": "∈", "varphi": "φ", "chi": "χ", "psi": "ψ", "kappa": "κ", "zeta": "ζ",
}  # fmt: skip
ACCENTS = {"tilde": "̃", "hat": "̂", "bar": "̄", "dot": "̇"}
ACCENT = re.compile(r"\\(tilde|hat|bar|dot)\s*(?:\{(\w)\}|(\w))")


def plain(name: str) -> str:
    r"""A symbol in LaTeX as a terminal can print it.

    >>> plain(r"\partial L/\partial W_{hh}")
    '∂L/∂W_hh'
    """
    name = ACCENT.sub(lambda match: (match[2] or match[3]) + ACCENTS[match[1]], name)
    name = re.sub(r"\\frac\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))",
                  lambda match: f"{match[1] or match[2]}/{match[3] or match[4]} ", name)  # fmt: skip
    name = re.sub(r"\\(?:mathrm|text|operatorname|mathbf)\s*\{([^{}]*)\}", r"\1", name)
    name = re.sub(r"\\([A-Za-z]+)\s*", lambda match: GREEK.get(match[1], match[1]), name)
    name = re.sub(r"([_^])\{([^{}]*[-+,=][^{}]*)\}", r"\1(\2)", name)
    return re.sub(r"\\[,;:! ]", " ", name).replace("{", "").replace("}", "").replace("-", "−")


@functools.cache
def html(name: str) -> str:
    """A symbol in LaTeX as MathML; nothing for an empty name."""
    return formula(name, display=False) if name else ""


def formula(latex: str, display: bool) -> str:
    """A formula as MathML, without the name space, which HTML knows by itself."""
    try:
        found = player.mathml(latex, display=display)
    except ModuleNotFoundError as error:
        raise LessonError(f"pages need {error.name}, which is not installed: pip install 'minidl[lessons]'") from None
    found = found.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    return re.sub(r"<mo>([|∥‖])</mo>", r'<mo stretchy="false">\1</mo>', found)  # bars stretch unless told not to


def escape(text: str) -> str:
    """Text for HTML."""
    return _html.escape(text)
