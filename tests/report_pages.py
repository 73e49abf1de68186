"""Reports of verify, compare, plan and curve, and what stands in them, for the tests of what they say and of how they look."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from accountant.commands.program import app

#: Rows with every verdict, the failing ones last, with names that no page may take for anything but text.
EVIL = "</td><script>alert(1)</script><img src=x onerror=alert(2)> $\\sigma^{2}$ \N{GRINNING FACE} &amp; \u202e"
TABLE = """list,method,preset,b,sigma,K,eps
one,optimal,mnist,full,0.01,1,1
one,paper,mnist,full,0.04,1,1
two,paper,mnist,128,0.001,1,1
two,</td><script>alert(1)</script>,mnist,128,0.001,1,1
two,$\\sigma^{2}$ \N{GRINNING FACE} &amp;,mnist,128,0.001,1,1
two,paper,mnist,full,0.0001,1,1
one,d2d,mnist,full,0.01,1,1
"""


class Found(HTMLParser):
    """What a browser would find: elements, attributes, texts, the cells of every row by their headings, and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[dict[str, str]] = []
        self.text, self.scripts, self.origin = "", list[str](), dict[str, list[str]]()
        self._tag = ""
        self._cell: str | None = None
        self._name: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._tag = tag
        self.attributes += attrs
        if tag == "tr":
            self.rows.append({})
        if tag in ("td", "th"):
            self._cell = dict(attrs).get("data-name")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._tag == "script":
            self.scripts[-1] += data
            return
        self.text += data
        if self._cell is not None:
            self.rows[-1][self._cell] = self.rows[-1].get(self._cell, "") + data
        if self._tag == "dt":
            self._name = data
        elif self._name is not None and self._tag in ("dd", "code"):
            self.origin.setdefault(self._name, []).append(data)
            self._name = None


def recorded(*words: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def verified(folder: Path, text: str = TABLE, *words: str, code: int = 1) -> Path:
    """The page of a table."""
    (folder / "table.csv").write_text(text, encoding="utf-8")
    page = folder / "verify.html"
    result = CliRunner().invoke(app, ["verify", str(folder / "table.csv"), "-o", str(page), *words])
    assert result.exit_code == code, result.stderr
    return page


def made(folder: Path, command: str) -> Path:
    """The page of a command about MNIST with batches of 128, or of fine-tuning."""
    page = folder / f"{command}.html"
    words: tuple[str, ...]
    common = ("--preset", "mnist", "--batch-size", "128")
    if command == "verify":
        return verified(folder)
    if command == "compare":
        words = ("compare", *common, "--epsilon", "1", "--requests", "30")
    elif command == "plan":
        words = (
            "plan",
            *common,
            "--sigma",
            "0.002",
            "--epsilon",
            "1",
            "--requests",
            "400",
            "--unit",
            "epochs",
            "--retrain-epochs",
            "50",
        )
    elif command == "curve":
        words = ("curve", *common, "--sigma", "0.01", "--epochs", "2")
    else:
        fine = ("--algorithm", "fine-tuning", "--step-size", "0.01", "--gradient-clip", "1", "--start-clip", "1")
        words = ("compare", *fine, "--epsilon", "1", "--delta", "1e-5", "--steps", "100")
    result = CliRunner().invoke(app, [*words, "-o", str(page)])
    assert result.exit_code == 0, result.stderr
    return page


COMMANDS = ("verify", "compare", "plan", "curve", "steps")


def undated(text: str) -> str:
    """A page without the time at which it was made."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "DATE", text)
