"""The report of the deletion service as a browser shows it: nothing is cut off, nothing is fetched, everybody can read it."""

from collections.abc import Iterator
from typing import Any

import pytest
from browsing import CUT, PAPER, WIDTHS, faults, opened, requested, shown
from ledger_pages import months
from ledgers import NAMES, Clock, begun
from typer.testing import CliRunner

from accountant.commands.program import app

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened() as made:
        yield made


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of pages: one of many months, one with all that may be asked for, and one of a damaged ledger."""
    folder, clock = tmp_path_factory.mktemp("browser"), Clock()
    with begun(folder, None, clock) as ledger:
        months(ledger, clock)
        ledger.add([NAMES[30]])
        ledger.refuse(NAMES[30], "because-of-a-word-that-nobody-can-break-" * 6)
    (folder / "other.npz").write_bytes(b"nothing")
    asked = {"plain": (), "hashes": ("--hashes",), "damaged": ("--place", f"model={folder}/other.npz")}
    for name, words in asked.items():
        result = CliRunner().invoke(
            app, ["ledger", "report", "--db", f"{folder}/deletions.db", "-o", f"{folder}/{name}.html", *words]
        )
        assert result.exit_code == (name == "damaged"), result.output
    return {name: (folder / f"{name}.html").as_uri() for name in asked}


@pytest.mark.parametrize("name", ["plain", "hashes", "damaged"])
@pytest.mark.parametrize(("width", "media"), [*((width, "screen") for width in (*WIDTHS, 970, 320)), (PAPER, "print")])
def test_no_text_is_cut_off(browser: Any, pages: dict[str, str], name: str, width: int, media: str) -> None:
    shown(browser, pages[name], width=width, media=media)
    assert browser.execute_script(CUT) == []


def test_the_test_would_find_a_text_that_is_cut_off(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["plain"], width=400)
    browser.execute_script("document.querySelector('h1').style.whiteSpace = 'nowrap'")
    assert "Deletion requests and how they were answered" in browser.execute_script(CUT)


def test_no_request_leaves_the_page_and_the_browser_has_nothing_to_say(browser: Any, pages: dict[str, str]) -> None:
    assert requested(browser, list(pages.values())) == set(pages.values())


@pytest.mark.parametrize("name", ["plain", "hashes", "damaged"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_fault_in_contrast_labels_or_structure(
    browser: Any, pages: dict[str, str], name: str, width: int, scheme: str
) -> None:
    shown(browser, pages[name], width=width, scheme=scheme)
    assert faults(browser) == []


def test_colours_follow_the_reader_and_paper_is_white(browser: Any, pages: dict[str, str]) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    found = []
    for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
        shown(browser, pages["plain"], width=1280, scheme=scheme, media=media)
        found.append(browser.execute_script(colour))
    assert found == ["rgb(255, 255, 255)", "rgb(22, 24, 26)", "rgb(255, 255, 255)"]


def test_it_prints_on_several_pages_whose_tables_begin_with_their_heading(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["plain"], width=400)
    made = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    assert len(made["data"]) > 10_000
    shown(browser, pages["plain"], width=PAPER, media="print")
    heads = "return [...document.querySelectorAll('thead')].map(head => getComputedStyle(head).display)"
    assert set(browser.execute_script(heads)) == {"table-header-group"}


def test_links_go_to_certificates_that_the_browser_can_open(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["plain"], width=1280)
    links = set(browser.execute_script("return [...document.querySelectorAll('a')].map(a => a.href)"))
    assert len(links) == 4
    for link in links:
        browser.get(link)
        assert "theorem" in browser.page_source


def test_its_tables_sort_and_filter(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["plain"], width=1280)
    rows = """return [...document.querySelector('[data-name="requests"] tbody').rows].filter(row => !row.hidden)
              .map(row => [row.cells[0].textContent, row.cells[6].textContent])"""
    first = browser.execute_script(rows)
    assert len(first) == 10
    browser.execute_script("""document.querySelector('[data-name="requests"] thead button').click()""")
    numbers = [int(number) for number, _ in browser.execute_script(rows)]
    assert numbers == sorted(numbers) != [int(number) for number, _ in first]
    browser.execute_script("""const select = document.querySelector('[data-name="requests"] select');
                              select.value = 'refused'; select.onchange()""")
    assert [number for number, _ in browser.execute_script(rows)] == ["29", "34"]
