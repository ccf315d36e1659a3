"""The report as a page: one self-contained HTML file without scripts, which makes no requests."""

from stochrobust.auditing.page.page import render

__all__ = ["render"]
