"""The site as a browser shows it from a disk, without a network: it is found, it fits, everybody can read it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import WIDTHS, faults, opened, shown

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[1]
#: A page of every kind: the start, a recipe, a notebook, a table of signatures, keys, a long text, words.
KINDS = (
    "index", "how-to/refusals", "tutorials/noise-against-epochs", "reference/api/questions", "reference/command-line", "theory",
    "glossary",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` builds it: a warning is an error."""
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_nb")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(folder)]
    quiet = {**os.environ, "PYTHONWARNINGS": "default"}
    made = subprocess.run(words, capture_output=True, text=True, check=False, env=quiet)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened() as made:
        yield made


def address(site: Path, page: str) -> str:
    return (site / f"{page}.html").as_uri()


def results(browser: Any, seconds: float = 10.0) -> list[str]:
    """Where the search leads to, once it has been through."""
    from selenium.webdriver.support.wait import WebDriverWait

    found = "return [...document.querySelectorAll('#search-results li a')].map(link => link.href)"
    done = "return document.querySelector('#search-results .search-summary')?.textContent ?? ''"
    WebDriverWait(browser, seconds).until(
        lambda it: "found" in it.execute_script(done) or "did not match" in it.execute_script(done)
    )
    links: list[str] = browser.execute_script(found)
    return links


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("rounding share", "how-to/refusals.html"),
        ("officer", "guides/officer.html"),
        ("UnlearningAccountant", "reference/api/questions.html"),
        ("break-even", "glossary.html"),
    ],
)
def test_the_search_finds_a_page_by_its_words(browser: Any, site: Path, words: str, page: str) -> None:
    shown(browser, f"{address(site, 'search')}?q={words.replace(' ', '+')}", width=1280)
    assert any(page in link for link in results(browser))


def test_the_search_is_on_every_page(browser: Any, site: Path) -> None:
    from selenium.webdriver.common.by import By

    shown(browser, address(site, "theory"), width=1280)
    browser.find_element(By.CSS_SELECTOR, "button.search-button__button, button.search-button-field").click()
    field = next(each for each in browser.find_elements(By.NAME, "q") if each.is_displayed())
    field.send_keys("refusal")
    field.submit()
    assert any("how-to/refusals.html" in link for link in results(browser))


def test_nothing_is_found_of_a_word_that_no_page_has(browser: Any, site: Path) -> None:
    shown(browser, f"{address(site, 'search')}?q=zwieback", width=1280)
    assert results(browser) == []


def test_no_request_leaves_the_folder(browser: Any, site: Path) -> None:
    browser.get_log("performance")
    for page in KINDS:
        shown(browser, address(site, page), width=1280)
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert len(asked) > len(KINDS)
    assert {url for url in asked if not url.startswith((site.as_uri(), "data:", "blob:"))} == set()


@pytest.mark.parametrize("page", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_are_no_wider_than_the_window(browser: Any, site: Path, page: str, width: int) -> None:
    shown(browser, address(site, page), width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("page", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault_in_what_is_written(browser: Any, site: Path, page: str, scheme: str) -> None:
    shown(browser, address(site, page), width=1280, scheme=scheme)
    assert faults(browser) == []


@pytest.mark.parametrize("page", KINDS)
def test_every_picture_has_words_and_is_shown_at_its_size(browser: Any, site: Path, page: str) -> None:
    shown(browser, address(site, page), width=1280)
    pictures = browser.execute_script(
        "return [...document.querySelectorAll('article img')].map(it => [it.alt, it.naturalWidth, it.clientWidth])"
    )
    for words, own, wide in pictures:
        assert words
        assert 0.75 * own <= wide <= own + 1
