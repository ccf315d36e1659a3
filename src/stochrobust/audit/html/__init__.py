"""The report as a page: one HTML file without scripts, which asks nobody for anything."""

from stochrobust.audit.html.page import render

__all__ = ["render"]
