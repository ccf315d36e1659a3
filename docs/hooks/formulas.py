"""Formulas that a browser draws by itself: the LaTeX of a page as MathML, when the pages are built.

No script, no font and no request is needed to show them.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any

from latex2mathml.converter import convert

# What pymdownx.arithmatex (generic) leaves in a page.
FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">(?:\\\((?P<inline>.+?)\\\)|\\\[(?P<block>.+?)\\\])</(?P=tag)>', re.DOTALL
)


def mathml(latex: str, display: str) -> str:
    """A formula as MathML, its LaTeX in alttext for those that cannot show it."""
    drawn = convert(latex, display=display)
    if unknown := re.findall(r"\\[a-zA-Z]+", re.sub(r"<[^>]*>", " ", drawn)):
        raise ValueError(f"latex2mathml does not know {unknown} of the formula {latex!r}")
    return drawn.replace("<math ", f'<math alttext="{escape(latex)}" ', 1)


def with_formulas(html: str) -> str:
    """A page with each formula drawn."""

    def drawn(match: re.Match[str]) -> str:
        if match["inline"] is not None:
            return mathml(unescape(match["inline"]).strip(), "inline")
        return f'<div class="formula" tabindex="0">{mathml(unescape(match["block"]).strip(), "block")}</div>'

    return FORMULA.sub(drawn, html)


def on_page_content(html: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return with_formulas(html)
