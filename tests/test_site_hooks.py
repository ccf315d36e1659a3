"""What pages are made with: formulas, links in docstrings, the results; where the extra `docs` is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def hook(name: str, needs: str) -> ModuleType:
    """A module of docs/hooks, where the extra `docs` is installed."""
    pytest.importorskip(needs, reason=f"the extra `docs` brings {needs}")
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_formulas_become_mathml() -> None:
    formulas = hook("formulas", "latex2mathml")
    html = r'<p><span class="arithmatex">\(a &lt; b_1\)</span> and</p><div class="arithmatex">\[\frac{1}{2}\]</div>'
    drawn = formulas.with_formulas(html)
    assert "<mo>&#x0003C;</mo>" in drawn
    assert "<msub><mi>b</mi><mn>1</mn></msub>" in drawn
    assert 'display="block"' in drawn
    assert "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>" in drawn
    assert "arithmatex" not in drawn


def test_a_formula_that_cannot_be_drawn_stops_the_build() -> None:
    formulas = hook("formulas", "latex2mathml")
    with pytest.raises(ValueError, match="nosuchcommand"):
        formulas.mathml(r"a \nosuchcommand b", "inline")


def test_roles_become_links_where_the_reference_has_the_name() -> None:
    roles = hook("roles", "griffe")
    where = {"psnr": "s.psnr", "sensitivity": "s.sensitivity.sensitivity"}
    text = "See :func:`~s.psnr`, :func:`sensitivity`, :class:`~s.Other` and :mod:`s.estimators`."
    assert roles.linked(text, where) == (
        "See [`psnr`][s.psnr], [`sensitivity`][s.sensitivity.sensitivity], `Other` and `s.estimators`."
    )


def test_results_show_charts_and_no_photographs() -> None:
    results = hook("results", "mkdocs")
    page = results.results_page(results.README.read_text())
    assert page.count("![") >= 10
    assert "(results/" not in page
    assert "figure1" not in page
    assert "](../" not in page
    for name in results.FIGURES:
        assert (ROOT / "reference_experiments" / "results" / name).is_file(), name
        assert f"images/results/{name}" in page, name
