"""Text cells as HTML: Markdown with formulas, rendered when the page is built."""

from __future__ import annotations

import functools
import re
from typing import Any

from minidl.teaching import symbols
from minidl.teaching.errors import LessonError

BROKEN_LINE = re.compile(
    r"(?<=[\u2014-\u201d\u3000-\u9fff\uff00-\uffef])\n(?=[\u2014-\u201d\u3000-\u9fff\uff00-\uffef])"
    r"|(?<=[，。；：、！？）》])\n(?=\*{1,2}[^\s*]|\$(?!\$)|[`A-Za-z(])"
)
"""Chinese has no spaces: a line that ends between two of its characters or after its punctuation goes on without."""


def html(text: str) -> str:
    """Markdown with $…$ and $$…$$ as HTML with MathML; raw HTML in it is shown, not obeyed."""
    rendered: str = _renderer().render(joined(text))
    return rendered


def inline(text: str) -> str:
    """One line of Markdown as HTML, without a paragraph round it."""
    rendered: str = _renderer().renderInline(text)
    return rendered


def joined(text: str) -> str:
    """Chinese paragraphs without the spaces that ends of lines would put between their characters."""
    return BROKEN_LINE.sub("", text)


@functools.cache
def _renderer() -> Any:
    try:
        from markdown_it import MarkdownIt
        from mdit_py_plugins.dollarmath import dollarmath_plugin
    except ImportError as error:
        raise LessonError(f"pages need {error.name}, which is not installed: pip install 'minidl[lessons]'") from None

    def formula(latex: str, options: dict[str, Any]) -> str:
        return symbols.formula(latex.strip(), bool(options.get("display_mode")))

    renderer = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table")
    return renderer.use(dollarmath_plugin, renderer=formula, allow_space=False, double_inline=False)


def highlighted(source: str) -> str:
    """Python code as HTML with classes for keywords, strings, numbers and comments; two blank lines become one."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ImportError:
        raise LessonError("pages need pygments, which is not installed: pip install 'minidl[lessons]'") from None
    colored: str = highlight(source.replace("\n\n\n", "\n\n"), PythonLexer(), HtmlFormatter(nowrap=True))
    return colored
