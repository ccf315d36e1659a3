"""The pages that `nox -s docs` has built: links, requests, pictures, and a look at them in a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser
from tests.site import broken_links, outside_requests, read, wordless_pictures

BUILT = os.environ.get("STOCHROBUST_SITE")
built = pytest.mark.skipif(not BUILT, reason="`nox -s docs` builds the site and names its folder in STOCHROBUST_SITE")
SITE = Path(BUILT or ".").resolve()


# -- what the checks find ----------------------------------------------------------------------------------------------


def site_of(folder: Path, **pages: str) -> Path:
    for name, text in pages.items():
        path = folder / name.replace("__", "/").replace("_css", ".css")
        if not path.suffix:
            path /= "index.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://unpkg.com/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.googleapis.com/css">',
        '<link rel="preconnect" href="https://fonts.gstatic.com">',
        '<img alt="a" src="http://example.org/a.png">',
        '<div style="background: url(https://example.org/a.png)"></div>',
        '<video src="https://example.org/a.mp4"></video>',
    ],
)
def test_a_request_to_elsewhere_is_found(tmp_path: Path, html: str) -> None:
    assert len(outside_requests(site_of(tmp_path, a=html))) == 1


def test_a_request_of_a_style_to_elsewhere_is_found(tmp_path: Path) -> None:
    styles = '@import "https://example.org/a.css"; a { background: url("https://example.org/b.png") }'
    assert len(outside_requests(site_of(tmp_path, a_css=styles))) == 2


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://example.org">elsewhere</a>',
        '<link rel="canonical" href="https://example.org/">',
        '<img alt="a" src="data:image/png;base64,AAAA">',
        '<script src="assets/x.js"></script>',
    ],
)
def test_links_and_what_is_here_are_no_requests_to_elsewhere(tmp_path: Path, html: str) -> None:
    assert not outside_requests(site_of(tmp_path, a=html))


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    home = '<a href="b/">b</a><a href="b/#there">there</a><a href="#here">here</a><p id="here"></p>'
    site = site_of(tmp_path, **{"": home, "b": '<p id="there"></p><a href="../">home</a>'})
    assert not list(broken_links(site))
    site = site_of(tmp_path, **{"": '<a href="c/">c</a><a href="b/#gone">gone</a><a href="#no">no</a>'})
    assert sorted(sentence.partition(", ")[2] for sentence in broken_links(site)) == [
        "which is no file", "which is no place in that page", "which is no place in that page"
    ]  # fmt: skip


def test_a_picture_without_words_is_found(tmp_path: Path) -> None:
    assert len(wordless_pictures(site_of(tmp_path, a='<img src="a.png"><img src="b.png" alt="b">'))) == 1


# -- the site ----------------------------------------------------------------------------------------------------------


@built
def test_no_page_asks_anybody_for_anything() -> None:
    assert len(list(SITE.rglob("*.html"))) > 25
    assert not outside_requests(SITE)


@built
def test_every_link_within_the_site_leads_somewhere() -> None:
    assert not list(broken_links(SITE))


@built
def test_every_picture_has_words() -> None:
    assert not wordless_pictures(SITE)


@built
def test_photographs_of_people_are_not_on_the_site() -> None:
    assert not list(SITE.rglob("figure1*"))
    assert not [link for path in SITE.rglob("*.html") for link in read(path).links if "figure1" in link]


@built
def test_formulas_are_drawn_by_the_browser_itself() -> None:
    theory = (SITE / "explanation/theory/index.html").read_text()
    assert theory.count("<math ") > 20
    for path in SITE.rglob("*.html"):
        assert 'class="arithmatex"' not in path.read_text(), path


@built
@pytest.mark.parametrize("tutorial", ["regularize", "audit", "choose"])
def test_every_tutorial_was_run(tutorial: str) -> None:
    page = (SITE / f"tutorials/{tutorial}/index.html").read_text()
    assert "data:image/png;base64" in page
    assert 'exec="on"' not in page


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    with browser.page(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with browser.served(SITE) as opened:
        yield opened


LOOKED_AT = ["", "tutorials/regularize/", "reference/losses/", "explanation/theory/", "reproduction/", "paper-map/"]
with_browser = [
    pytest.mark.browser, built, pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.WITHOUT)
]  # fmt: skip


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("page", [pytest.param(page, marks=with_browser) for page in LOOKED_AT])
def test_a_page_asks_for_nothing_elsewhere_complains_of_nothing_and_fits(
    tab: browser.Page, address: str, page: str, width: int
) -> None:
    tab.requests.clear()
    tab.complaints.clear()
    tab.open(f"{address}/{page}", width)
    assert tab.run("document.querySelector('article h1') !== null")
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert not tab.complaints
    assert tab.requests
    assert not [url for url in tab.requests if not url.startswith((address, "data:", "blob:" + address))]


@pytest.mark.parametrize("page", [pytest.param("explanation/theory/", marks=with_browser)])
def test_formulas_have_the_height_of_fractions_and_bounds(tab: browser.Page, address: str, page: str) -> None:
    tab.open(f"{address}/{page}")
    heights = "[...document.querySelectorAll('math[display=block]')].map(m => m.getBoundingClientRect().height)"
    assert min(tab.run(heights)) > 15
    assert max(tab.run(heights)) > 30


@pytest.mark.parametrize("what", [pytest.param("<script>console.error('x')</script>", marks=with_browser),
                                  pytest.param("<script>throw 1</script>", marks=with_browser),
                                  pytest.param("<img src=gone.png>", marks=with_browser)])  # fmt: skip
def test_a_complaint_is_noticed(tab: browser.Page, tmp_path: Path, what: str) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html><link rel=icon href=data:,>{what}")
    tab.complaints.clear()
    with browser.served(tmp_path) as own:
        tab.open(own)
    assert tab.complaints


@pytest.mark.parametrize("width", [pytest.param(360, marks=with_browser)])
def test_a_page_that_is_too_wide_is_noticed(tab: browser.Page, tmp_path: Path, width: int) -> None:
    wide = '<!doctype html><meta name=viewport content="width=device-width"><p style="width:900px">wide</p>'
    (tmp_path / "index.html").write_text(wide)
    with browser.served(tmp_path) as own:
        tab.open(own, width)
        assert tab.run("document.documentElement.scrollWidth") > width
