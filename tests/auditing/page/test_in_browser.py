"""The page of a report in headless Chromium: no request, no complaint, no overflow, legible on phone and desktop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stochrobust.auditing.page import render
from tests import browser
from tests.auditing import synthetic

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.WITHOUT),
]

WIDTHS = (360, 768, 1280)
PAGES = {
    "stochastic": synthetic.stochastic_report(channels=3, side=32, scale=4),
    "deterministic": synthetic.deterministic_report(),
    "bare": synthetic.bare_report(),
    "nasty": synthetic.nasty_report(),
}

# What of a page is hard to see: text, and the marks of the drawings, against what is painted behind them.
HARD_TO_SEE = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true}), known = new Map();
  const parse = colour => {
    if (!known.has(colour)) known.set(colour, painted(colour));
    return known.get(colour);
  };
  const painted = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const contrast = (element, colour) => {
    const below = behind(element), [a, b] = [light(over(parse(colour), below)), light(below)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ["TITLE", "DESC", "title", "desc"].includes(element.tagName)) continue;
    const style = getComputedStyle(element), drawn = element instanceof SVGElement;
    const ratio = contrast(element, drawn ? style.fill : style.color);
    texts += 1;
    const words = walker.currentNode.data.trim().slice(0, 40);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${words}`);
    const size = parseFloat(style.fontSize) * (drawn ? element.getScreenCTM().a : 1);
    if (size < SMALLEST) found.push(`${size} px ${words}`);
  }
  for (const element of document.querySelectorAll(".dot, .mark, .line, .icon, .even, .even-line, .column")) {
    const style = getComputedStyle(element);
    const ratio = contrast(element, style.stroke !== "none" ? style.stroke : style.fill);
    if (ratio < 3) found.push(`${ratio.toFixed(2)} ${element.outerHTML.slice(0, 60)}`);
  }
  return {found, texts};
})()
"""

WIDER_THAN_THE_PAGE = """
[...document.querySelectorAll("body *")].filter(e => {
  const box = e.getBoundingClientRect();
  return !e.closest(".wide") && !e.closest(".skip") && box.width && (box.right > WIDTH + 0.5 || box.left < -0.5);
}).map(e => e.tagName + " " + e.getBoundingClientRect().right + " " + e.textContent.slice(0, 40))
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("reports")
    for name, report in PAGES.items():
        (found / f"{name}.html").write_text(render(report), encoding="utf-8")
    return found


def show(tab: browser.Page, path: Path, width: int = 1280, dark: bool = False) -> None:
    tab.requests.clear()
    tab.complaints.clear()
    tab.open(path.as_uri(), width, dark=dark)


def resize(tab: browser.Page, width: int) -> None:
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)


def wider_than(tab: browser.Page, width: int) -> list[str]:
    found: list[str] = tab.run(WIDER_THAN_THE_PAGE.replace("WIDTH", str(width)))
    return found


def hard_to_see(tab: browser.Page, smallest: int = 10) -> dict[str, Any]:
    """How many texts there are, and which are fainter than 4.5 to 1 or smaller than so many pixels."""
    found: dict[str, Any] = tab.run(HARD_TO_SEE.replace("SMALLEST", str(smallest)))
    return found


@pytest.mark.parametrize("name", PAGES)
def test_the_page_asks_for_nothing_and_complains_of_nothing(tab: browser.Page, folder: Path, name: str) -> None:
    show(tab, folder / f"{name}.html")
    assert [address for address in tab.requests if not address.startswith("data:")] == [
        (folder / f"{name}.html").as_uri()
    ]
    assert not tab.complaints
    assert tab.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)") is True


def test_a_page_that_asks_for_something_is_noticed_and_its_policy_forbids_it(tab: browser.Page, folder: Path) -> None:
    path = folder / "asking.html"
    page = (folder / "bare.html").read_text(encoding="utf-8")
    path.write_text(page.replace("</main>", "<img src='http://127.0.0.1:9/a.png'><script>1</script></main>"), "utf-8")
    show(tab, path)
    assert tab.complaints  # of the policy: neither fetched nor run


@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_its_window(tab: browser.Page, folder: Path, name: str) -> None:
    show(tab, folder / f"{name}.html")
    tab.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    for width in WIDTHS:
        resize(tab, width)
        assert tab.run("document.documentElement.scrollWidth") == width
        assert not wider_than(tab, width)


def test_a_page_that_is_too_wide_is_noticed(tab: browser.Page, folder: Path) -> None:
    show(tab, folder / "bare.html", 360)
    tab.run("document.querySelector('h1').style.width = '500px'")
    assert tab.run("document.documentElement.scrollWidth") > 360
    assert wider_than(tab, 360)[0].startswith("H1")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["stochastic", "bare"])
def test_text_and_marks_can_be_seen(tab: browser.Page, folder: Path, name: str, dark: bool) -> None:
    show(tab, folder / f"{name}.html", dark=dark)
    background = tab.run("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 26)" if dark else "rgb(251, 251, 249)")
    for width in WIDTHS:
        resize(tab, width)
        seen = hard_to_see(tab)
        assert seen["texts"] > 20
        assert not seen["found"]


def test_text_and_marks_can_be_seen_on_paper(tab: browser.Page, folder: Path) -> None:
    show(tab, folder / "stochastic.html", dark=True)
    scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", media="print", features=scheme)
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not hard_to_see(tab, smallest=9)["found"]
    assert tab.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    tab.call("Emulation.setEmulatedMedia", media="")


def test_faint_text_is_noticed(tab: browser.Page, folder: Path) -> None:
    show(tab, folder / "stochastic.html")
    tab.run("document.querySelector('h1').style.color = '#8a8a8a'")
    tab.run("document.querySelector('.tick').style.fill = 'rgb(0 0 0 / 40%)'")
    tab.run("document.querySelector('.mark').style.stroke = '#ddd'")
    assert len(hard_to_see(tab)["found"]) == 3


def accessible(tab: browser.Page) -> list[dict[str, Any]]:
    """What a screen reader is given: role, name, and level of headings, in order."""
    tab.call("Accessibility.enable")
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    tab.call("Accessibility.disable")
    return [
        {
            "role": node["role"]["value"],
            "name": node.get("name", {}).get("value", ""),
            "level": next((p["value"]["value"] for p in node.get("properties", []) if p["name"] == "level"), None),
        }
        for node in nodes
        if not node["ignored"]
    ]


def test_a_screen_reader_finds_headings_tables_and_pictures(tab: browser.Page, folder: Path) -> None:
    show(tab, folder / "stochastic.html")
    tab.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    nodes = accessible(tab)
    headings = [(node["level"], node["name"]) for node in nodes if node["role"] == "heading"]
    assert [name for level, name in headings if level == 2] == [
        "What the numbers say", "The numbers", "Robustness", "Outputs", "Realism and calibration", "Protocol",
    ]  # fmt: skip
    assert headings[0] == (1, PAGES["stochastic"].title)
    assert (3, "Problem: conditional mode collapse") in headings
    roles = [node["role"] for node in nodes]
    assert roles.count("table") == 7
    assert "LayoutTable" not in roles
    assert {"banner", "main", "contentinfo", "navigation"} <= set(roles)
    pictures = [node["name"] for node in nodes if node["role"] in ("image", "img")]
    assert len(pictures) == 4 + 4 * 8 + 4 * 9  # plots, examples, worst inputs; the small bars are passed over
    assert all(pictures)
    named = {"link", "region", "table", "columnheader", "rowheader"}
    assert all(node["name"] for node in nodes if node["role"] in named)


def test_a_wide_table_is_scrolled_by_keys(tab: browser.Page, folder: Path) -> None:
    show(tab, folder / "stochastic.html", 360)
    tab.run("document.querySelector('details').open = true; document.querySelector('.wide').focus()")
    wide = "document.querySelector('.wide')"
    assert tab.run(f"{wide}.scrollWidth > {wide}.clientWidth") is True
    for kind in ("rawKeyDown", "keyUp") * 3:
        tab.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    tab.run("new Promise(done => setTimeout(done, 500))")
    assert tab.run(f"{wide}.scrollLeft") > 0
    assert tab.run(f"getComputedStyle({wide}).outlineStyle") != "none"


def test_the_first_key_skips_to_the_findings(tab: browser.Page, folder: Path) -> None:
    show(tab, folder / "stochastic.html")
    for kind in ("rawKeyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert tab.run("document.activeElement.hash") == "#findings"
    assert tab.run("document.activeElement.getBoundingClientRect().left") >= 0


def test_small_pictures_keep_their_pixels(tab: browser.Page, folder: Path, tmp_path: Path) -> None:
    each = "[...document.querySelectorAll('.picture img')].map(image => getComputedStyle(image).imageRendering)"
    rendering = f"[...new Set({each})]"
    show(tab, folder / "stochastic.html")
    assert tab.run(rendering) == ["pixelated"]
    large = replace(PAGES["deterministic"], examples=(synthetic.example(0, side=160),), worst=())
    (tmp_path / "large.html").write_text(render(large), encoding="utf-8")
    show(tab, tmp_path / "large.html")
    assert tab.run(rendering) == ["auto"]
