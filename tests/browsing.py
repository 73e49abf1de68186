"""Pages in a real browser, for the tests of how reports look: nothing is cut off, nothing is fetched, everybody can read them.

Needs Chromium with its driver, Selenium, and in AXE_CORE the file axe.min.js of npm's axe-core, as .ci/run has them.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: Wide and narrow screens; A4 less its margins, upright and across, which is what is printed on.
WIDTHS, PAPER, ACROSS = (1280, 400), 688, 1017
#: Texts that are not whole within the window, or within what clips them; a heading of a table that is hidden does not count.
CUT = """
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement, head = element.closest("thead");
  if (!node.data.trim() || element.closest("select, script")) continue;
  if (head && getComputedStyle(head).position === "absolute") continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  const boxes = [...range.getClientRects()];
  if (boxes.some(box => box.left < 0 || box.right > innerWidth + 0.5)) found.push(node.data.trim());
  for (let box = element; box; box = box.parentElement)
    if (getComputedStyle(box).overflowX !== "visible" && box.scrollWidth > box.clientWidth + 1) found.push(node.data.trim());
}
return [...new Set(found), ...(document.documentElement.scrollWidth > innerWidth ? ["the page is wider than the window"] : [])];
"""


@contextmanager
def opened() -> Iterator[Any]:
    """A browser without a window; the test is skipped where there is none."""
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


def shown(browser: Any, address: str, *, width: int, scheme: str = "light", media: str = "screen") -> None:
    """Open a page so wide, for a reader of light or dark pages, on the screen or on paper."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})
    browser.get(address)
    # On a busy machine the driver has been seen to come back while a long page was still being read.
    whole, patience = "return document.readyState === 'complete' && location.href === arguments[0]", time.monotonic() + 60
    while not browser.execute_script(whole, address):
        assert time.monotonic() < patience, f"{address} is not shown"


def requested(browser: Any, addresses: list[str]) -> set[str]:
    """Everything that the browser asks for when it shows these pages; no page may make it complain."""
    for kind in ("performance", "browser"):
        browser.get_log(kind)
    for address in addresses:
        shown(browser, address, width=1280)
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    assert browser.get_log("browser") == []
    # What stands in the page itself is no request.
    urls = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    return {url for url in urls if not url.startswith(("data:", "blob:"))}


def faults(browser: Any) -> list[tuple[str, str]]:
    """What axe finds wrong with the page that is shown; the test is skipped where there is no axe."""
    axe = Path(os.environ.get("AXE_CORE", ""))
    if not axe.is_file():
        pytest.skip("AXE_CORE names no file")
    browser.execute_script(axe.read_text(encoding="utf-8"))
    result = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert {"color-contrast", "document-title", "html-has-lang"} <= {rule["id"] for rule in result["passes"]}
    return [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in result["violations"]]
