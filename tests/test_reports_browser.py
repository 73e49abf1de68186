"""Reports as a browser shows them: tables sort and filter, headers stick, nothing is cut off or fetched, all can read them."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import ACROSS, CUT, PAPER, WIDTHS, faults, opened, requested, shown
from report_pages import COMMANDS, made, verified

pytestmark = pytest.mark.integration
#: Rows of a long table, every tenth of which fails.
ROWS = 3000
#: The rows of the first table that are shown, as the texts of their cells.
SHOWN = """
return [...document.querySelector(".listing tbody").rows].filter(row => row.getClientRects().length)
  .map(row => [...row.cells].map(cell => cell.textContent.trim()));
"""
FILTER = """
const field = document.querySelector(".listing input[type=search]");
field.value = arguments[0];
field.dispatchEvent(new Event("input"));
"""
SAID = "return document.querySelector('.listing .said').textContent"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of a page of every command, of a long table, and of one with many digits."""
    folder = tmp_path_factory.mktemp("browser")
    found = {command: made(folder, command) for command in COMMANDS}
    rows = (f"paper,mnist,128,{0.0001 if row % 10 == 0 else 0.03 + row / 1e6:.6f},1,1" for row in range(ROWS))
    long, precise = folder / "long", folder / "precise"
    for each in (long, precise):
        each.mkdir()
    found["long"] = verified(long, "\n".join(["method,preset,b,sigma,K,eps", *rows]) + "\n")
    found["precise"] = verified(
        precise, "method,b,sigma,K,eps\noptimal,full,0.006,1,1\n", "--preset", "mnist", "--precision", "50", code=0
    )
    return {name: page.as_uri() for name, page in found.items()}


NAMES = [*COMMANDS, "precise"]


#: Wide tables are printed across the paper.
PRINTED = [(name, ACROSS if name in ("verify", "compare", "precise") else PAPER, "print") for name in NAMES]


@pytest.mark.parametrize(
    ("name", "width", "media"), [*((name, width, "screen") for name in NAMES for width in (*WIDTHS, 1249, 970)), *PRINTED]
)
def test_no_text_is_cut_off(browser: Any, pages: dict[str, str], name: str, width: int, media: str) -> None:
    shown(browser, pages[name], width=width, media=media)
    assert browser.execute_script(CUT) == []
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.execute_script(CUT) == []


def test_no_request_leaves_the_page_and_the_browser_has_nothing_to_say(browser: Any, pages: dict[str, str]) -> None:
    assert requested(browser, list(pages.values())) == set(pages.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_fault_in_contrast_labels_or_structure(
    browser: Any, pages: dict[str, str], name: str, width: int, scheme: str
) -> None:
    shown(browser, pages[name], width=width, scheme=scheme)
    assert faults(browser) == []


def test_a_long_table_opens_with_its_failing_rows_and_filters(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["long"], width=1280)
    rows = browser.execute_script(SHOWN)
    assert len(rows) == 500
    assert [row[1].startswith("FAILS") for row in rows] == [True] * 300 + [False] * 200
    assert browser.execute_script(SAID) == "3,000 rows"
    # All words must be there, in any order and case.
    browser.execute_script(FILTER, "fails 2971")
    assert [row[0] for row in browser.execute_script(SHOWN)] == ["2971"]
    assert browser.execute_script(SAID) == "1 of 3,000 rows"
    browser.execute_script(FILTER, "nothing of the kind")
    assert browser.execute_script(SHOWN) == []
    browser.execute_script(FILTER, "")
    select = "const select = document.querySelector('.listing select'); select.value = 'failing'; select.onchange();"
    browser.execute_script(select)
    assert len(browser.execute_script(SHOWN)) == 300
    browser.execute_script(select.replace("failing", ""))
    browser.execute_script("document.querySelectorAll('.listing .more button')[1].click()")
    assert len(browser.execute_script(SHOWN)) == ROWS


def test_a_heading_sorts_up_down_and_back(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["long"], width=1280)
    at = browser.execute_script("return [...document.querySelectorAll('.listing thead th')].map(th => th.textContent)").index(
        "σ"
    )
    written = browser.execute_script(SHOWN)
    click = f"document.querySelectorAll('.listing thead button')[{at}].click()"
    state = f"return document.querySelectorAll('.listing thead th')[{at}].ariaSort"
    found = []
    for wanted in ("ascending", "descending", "none"):
        browser.execute_script(click)
        assert browser.execute_script(state) == wanted
        found.append([float(row[at]) for row in browser.execute_script(SHOWN)])
    up, down, back = found
    assert up == sorted(up)
    assert up[0] == 0.0001
    assert down == sorted(down, reverse=True)
    assert down[0] == pytest.approx(0.032999)
    assert back == [float(row[at]) for row in written]


def test_numbers_sort_as_numbers_and_what_has_none_comes_last(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["compare"], width=1280)
    table = "[...document.querySelectorAll('.listing')].find(each => each.dataset.name === 'methods')"
    at = browser.execute_script(f"return [...{table}.querySelectorAll('thead th')].findIndex(th => th.textContent === 'σ')")
    for downwards in (False, True):
        browser.execute_script(f"{table}.querySelectorAll('thead button')[{at}].click()")
        cells = browser.execute_script(
            f"return [...{table}.querySelector('tbody').rows].map(row => row.cells[{at}].textContent)"
        )
        known = [float(cell) for cell in cells if cell != "-"]
        assert known == sorted(known, reverse=downwards)
        assert cells[len(known) :] == ["-"] * (len(cells) - len(known))
        assert len(known) < len(cells)


@pytest.mark.parametrize(("width", "what"), [(1280, "thead th"), (400, ".tools")])
def test_the_header_of_a_long_table_sticks(browser: Any, pages: dict[str, str], width: int, what: str) -> None:
    """Where rows are cards, it is what sorts and filters them that stays."""
    shown(browser, pages["long"], width=width)
    browser.execute_script("window.scrollTo(0, document.querySelector('.listing tbody').rows[40].getBoundingClientRect().top)")
    place = browser.execute_script(f"return document.querySelector('.listing {what}').getBoundingClientRect().toJSON()")
    assert place["top"] == pytest.approx(0, abs=1)
    top = "const place = document.elementFromPoint(arguments[0], arguments[1]); return place.closest(arguments[2]) !== null"
    assert browser.execute_script(top, place["left"] + 5, place["top"] + 5, what)


def test_the_reason_is_on_a_narrow_screen(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["verify"], width=400)
    places = browser.execute_script(
        "return [...document.querySelectorAll('.listing tbody tr:first-child .more-text')]"
        ".map(each => each.getBoundingClientRect().toJSON())"
    )
    assert places
    assert all(0 <= place["left"] < place["right"] <= 400 and place["height"] > 20 for place in places)


def test_headings_that_nobody_sees_are_not_reached_by_the_keyboard(browser: Any, pages: dict[str, str]) -> None:
    reached = "return [...new Set([...document.querySelectorAll('thead button')].map(each => each.tabIndex))]"
    for width, wanted in ((1280, [0]), (400, [-1])):
        shown(browser, pages["verify"], width=width)
        assert browser.execute_script(reached) == wanted


@pytest.mark.parametrize("name", ["compare", "plan", "curve", "steps"])
def test_curves_are_drawn_in_the_colours_of_the_reader_and_in_dark_ink_on_paper(
    browser: Any, pages: dict[str, str], name: str
) -> None:
    ink = "return [...document.querySelectorAll('.plot .xtick text')].map(each => getComputedStyle(each).fill)"
    found = []
    for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
        shown(browser, pages[name], width=1280 if media == "screen" else PAPER, scheme=scheme, media=media)
        lines = browser.execute_script(
            "return [...document.querySelectorAll('.plot')].map(each => each.querySelectorAll('.trace.scatter').length)"
        )
        assert lines
        assert all(lines)
        found.append(set(browser.execute_script(ink)))
    assert found == [{"rgb(26, 26, 26)"}, {"rgb(232, 230, 227)"}, {"rgb(26, 26, 26)"}]


def test_a_click_on_a_name_hides_its_line_and_a_point_tells_its_numbers(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    shown(browser, pages["compare"], width=1280)
    plot = browser.find_element(By.CSS_SELECTOR, ".plot")
    names = "return document.querySelector('.plot').data.map(each => each.visible)"
    ActionChains(browser).move_to_element(plot.find_element(By.CSS_SELECTOR, ".legendtoggle")).click().pause(0.6).perform()
    assert browser.execute_script(names).count("legendonly") == 1
    point = plot.find_elements(By.CSS_SELECTOR, ".scatterlayer .point")[3]
    ActionChains(browser).move_to_element(point).pause(0.6).perform()
    assert " at " in plot.find_element(By.CSS_SELECTOR, ".hoverlayer").text


@pytest.mark.parametrize("name", ["verify", "compare"])
def test_paper_has_all_rows_and_none_of_the_controls(browser: Any, pages: dict[str, str], name: str) -> None:
    shown(browser, pages[name], width=ACROSS, scheme="dark", media="print")
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    controls = (
        "return [...document.querySelectorAll('.tools, .more, .hint, nav')].filter(each => each.getClientRects().length).length"
    )
    assert browser.execute_script(controls) == 0
    heads = "return [...new Set([...document.querySelectorAll('.listing thead')].map(head => getComputedStyle(head).display))]"
    assert browser.execute_script(heads) == ["table-header-group"]


def test_a_long_table_is_printed_whole(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["long"], width=ACROSS, media="print")
    assert len(browser.execute_script(SHOWN)) == ROWS
    shown(browser, pages["verify"], width=1280, media="")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")


def test_cells_do_nothing_whatever_they_hold(browser: Any, pages: dict[str, str]) -> None:
    browser.get_log("browser")
    shown(browser, pages["verify"], width=1280)
    assert browser.execute_script("return document.querySelectorAll('img, tbody script, a[href^=javascript]').length") == 0
    assert "<script>alert(1)</script>" in browser.find_element("css selector", ".listing tbody").text
    assert browser.get_log("browser") == []


def test_without_scripts_every_row_is_there(browser: Any, pages: dict[str, str]) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        shown(browser, pages["long"], width=1280)
        assert len(browser.execute_script(SHOWN)) == ROWS
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_test_would_find_a_text_that_is_cut_off(browser: Any, pages: dict[str, str]) -> None:
    shown(browser, pages["verify"], width=400)
    browser.execute_script("document.querySelector('.box p').style.whiteSpace = 'nowrap'")
    assert browser.execute_script(CUT) != []
