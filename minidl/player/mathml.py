"""LaTeX to MathML, refusing what it cannot say instead of printing it wrong.

latex2mathml leaves `&` and unknown commands in its output as if they were letters; the wrapper rewrites what it can and
raises on what is left.
"""

from __future__ import annotations

import functools
import html
import re
import xml.etree.ElementTree as ElementTree

_REWRITTEN = (
    (re.compile(r"\\begin\{aligned\}"), r"\\begin{align*}"),
    (re.compile(r"\\end\{aligned\}"), r"\\end{align*}"),
    (re.compile(r"\\arg\s*\\max"), r"\\operatorname*{argmax}"),
    (re.compile(r"\\arg\s*\\min"), r"\\operatorname*{argmin}"),
    (re.compile(r"\\boldsymbol\b"), r"\\mathbf"),
)
_COLUMNS = re.compile(r'columnalign="([a-z ]+)"')
_ENTITY = re.compile(r"&(?:#x?[0-9A-Fa-f]+|lt|gt|amp|quot);")
_LEFT = re.compile(r"\\[A-Za-z]+")
_BOLD = re.compile(r'<mi mathvariant="bold(?:-italic)?">([^<]+)</mi>')
_BOLD_LETTERS = (("A", "Z", 0x1D400), ("a", "z", 0x1D41A), ("Α", "Ω", 0x1D6A8), ("α", "ω", 0x1D6C2))
_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_FUNCTIONS = ("tanh", "sin", "cos", "tan", "ln", "log", "exp", "max", "min", "det", "sign")
_ELEMENTS = frozenset(
    {"math", "semantics", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mstyle", "mpadded", "mphantom", "menclose"}
    | {"mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts"}
    | {"mprescripts", "none", "mtable", "mtr", "mtd"}
)
_ACTIVE = frozenset({"href", "src", "action", "formaction", "srcdoc", "{http://www.w3.org/1999/xlink}href"})
_PARTS = {"mfrac": 2, "msub": 2, "msup": 2, "mover": 2, "munder": 2, "mroot": 2, "msubsup": 3, "munderover": 3}


@functools.lru_cache(maxsize=4096)
def mathml(latex: str, display: bool = False) -> str:
    r"""A formula as a MathML element.

    Arguments:
        latex: without dollar signs. Known are what latex2mathml knows, and `aligned`, `\arg\max`, `\arg\min`.
        display: as a displayed formula, not within a line.

    Raises:
        ValueError: the formula is empty or wrong, or something in it was not understood; the message names it.
        ModuleNotFoundError: latex2mathml is not installed (`pip install minidl[lessons]`).

    >>> "<mfrac>" in mathml(r"\frac{a}{b}")
    True
    """
    try:
        from latex2mathml.converter import convert
    except ModuleNotFoundError as error:
        message = "formulas need latex2mathml: pip install 'minidl[lessons]'"
        raise ModuleNotFoundError(message, name=error.name) from None
    if not latex.strip():
        raise ValueError("mathml: the formula is empty")
    source = latex
    for pattern, replacement in _REWRITTEN:
        source = pattern.sub(replacement, source)
    try:
        found: str = convert(source, display="block" if display else "inline")
    except Exception as error:  # its errors have no common base
        raise ValueError(f"mathml: {latex!r} cannot be read: {type(error).__name__} {error}".rstrip()) from None
    left = _LEFT.search(found)
    if left:
        raise ValueError(f"mathml: {left.group()} in {latex!r} is not known")
    if "&" in _ENTITY.sub("", found) or re.search(r">(?:&amp;|&#x0*26;)<", found):
        raise ValueError(f"mathml: an & in {latex!r} stands outside of an alignment")
    try:
        tree = ElementTree.fromstring(found)
    except ElementTree.ParseError:
        raise ValueError(f"mathml: the text in {latex!r} has a < or & in it; write it outside of the text") from None
    for element in tree.iter():
        name = element.tag.removeprefix(_NAMESPACE)
        _refuse_foreign(name, element, latex)
        wanted = _PARTS.get(name)
        if wanted is not None and len(element) != wanted:
            raise ValueError(f"mathml: in {latex!r} a {name} has {len(element)} parts where it needs {wanted}")
        if name not in _PARTS:
            _space_functions(element)
    ElementTree.register_namespace("", _NAMESPACE[1:-1])
    return _BOLD.sub(_bold, _COLUMNS.sub(_aligned, ElementTree.tostring(tree, encoding="unicode")))


def _refuse_foreign(name: str, element: ElementTree.Element, latex: str) -> None:
    r"""A formula may come from a file of others: \\text{<img …/>} or \\href must not become part of a page."""
    if name not in _ELEMENTS:
        raise ValueError(f"mathml: {latex!r} contains the element {name}, which is not mathematics")
    for key, value in element.attrib.items():
        if key.lower().startswith("on") or key in _ACTIVE or "url(" in value.lower():
            raise ValueError(f"mathml: {latex!r} has the attribute {key}, which does not belong into a formula")


def _space_functions(row: ElementTree.Element) -> None:
    """A little room between the name of a function and what follows, unless that is a bracket: tanh x, not tanhx."""
    for k in range(len(row) - 2, -1, -1):
        here, following = row[k], row[k + 1]
        word = here[0] if here.tag.removeprefix(_NAMESPACE) in _PARTS and len(here) else here
        bracket = next(iter(following.itertext()), "").strip()
        if (word.text or "") in _FUNCTIONS and bracket not in ("(", "[", "{", "⌊", "⌈", ""):
            row.insert(k + 1, ElementTree.Element(f"{_NAMESPACE}mspace", width="0.17em"))


def _bold(match: re.Match[str]) -> str:
    """Browsers know no bold letter in a formula but the bold letters of Unicode."""
    letter = html.unescape(match.group(1))
    for first, last, bold in _BOLD_LETTERS:
        if first <= letter <= last:
            return f"<mi>{chr(ord(letter) - ord(first) + bold)}</mi>"
    return match.group()


def _aligned(match: re.Match[str]) -> str:
    """What browsers understand of columnalign: a style of the whole where all columns agree, classes otherwise."""
    columns = match.group(1).split()
    side = columns[0] if len(set(columns)) == 1 else "-".join(columns[:2])
    return f'class="align-{side}"'
