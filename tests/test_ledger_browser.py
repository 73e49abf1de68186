"""The report of the deletion service as a browser shows it: nothing is cut off, nothing is fetched, everybody can read it.

Needs Chromium with its driver, Selenium, and in AXE_CORE the file axe.min.js of npm's axe-core, as .ci/run has them.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_pages import months
from ledgers import NAMES, Clock, begun
from typer.testing import CliRunner

from accountant.commands.program import app

pytestmark = pytest.mark.integration
#: Wide and narrow screens; A4 less its margins, which is what is printed on.
WIDTHS, PAPER = (1280, 400), 688
#: Texts that are not whole within the window, or within what clips them; a heading of a table that is hidden does not count.
CUT = """
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement, head = element.closest("thead");
  if (!node.data.trim() || (head && getComputedStyle(head).position === "absolute")) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  const boxes = [...range.getClientRects()];
  if (boxes.some(box => box.left < 0 || box.right > innerWidth + 0.5)) found.push(node.data.trim());
  for (let box = element; box; box = box.parentElement)
    if (getComputedStyle(box).overflowX !== "visible" && box.scrollWidth > box.clientWidth + 1) found.push(node.data.trim());
}
return [...new Set(found), ...(document.documentElement.scrollWidth > innerWidth ? ["the page is wider than the window"] : [])];
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        yield made
    finally:
        made.quit()


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


def shown(browser: Any, address: str, *, width: int, scheme: str = "light", media: str = "screen") -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})
    browser.get(address)


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
    for kind in ("performance", "browser"):
        browser.get_log(kind)
    for address in pages.values():
        shown(browser, address, width=1280)
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert set(asked) == set(pages.values())
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("name", ["plain", "hashes", "damaged"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_fault_in_contrast_labels_or_structure(
    browser: Any, pages: dict[str, str], name: str, width: int, scheme: str
) -> None:
    axe = Path(os.environ.get("AXE_CORE", ""))
    if not axe.is_file():
        pytest.skip("AXE_CORE names no file")
    shown(browser, pages[name], width=width, scheme=scheme)
    browser.execute_script(axe.read_text(encoding="utf-8"))
    result = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert {"color-contrast", "document-title", "html-has-lang"} <= {rule["id"] for rule in result["passes"]}
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in result["violations"]] == []


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
