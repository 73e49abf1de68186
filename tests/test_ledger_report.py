"""The report of the deletion service: numbers are those of the entries, nobody is named, nothing comes from elsewhere."""

import base64
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_commands import PEOPLE, commanded
from ledger_pages import months
from ledgers import NAMES, Clock, begun
from typer.testing import CliRunner

import accountant.commands
from accountant import PNSGD, FineTuning, UnlearningAccountant, preset
from accountant.commands.ledger_report import _DEPENDENT
from accountant.commands.ledger_words import factor, guarantee_sentence, long, up
from accountant.commands.program import app
from accountant.ledger import Ledger, ReportedRun


class Page(HTMLParser):
    """What a browser would find: elements, links, and the text of the cells of every row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[dict[str, str]] = []
        self.text = ""
        self._cell: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append({})
        if tag in ("td", "th"):
            self._cell = dict(attrs).get("data-name")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell is not None:
            self.rows[-1][self._cell] = self.rows[-1].get(self._cell, "") + data

    def requests(self) -> list[dict[str, str]]:
        return [row for row in self.rows if "Request" in row]

    @property
    def links(self) -> list[str]:
        return [value or "" for name, value in self.attributes if name == "href"]


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["ledger", "report", *words])


def page(folder: Path, *words: str, db: str | None = None, code: int = 0) -> Page:
    """Of the ledger in a folder, written beside it."""
    output = folder / "report.html"
    result = run("--db", db or str(folder / "deletions.db"), "-o", str(output), *words)
    assert result.exit_code == code, result.output
    return Page(output.read_text(encoding="utf-8"))


def record(folder: Path, *words: str, db: str | None = None) -> dict[str, Any]:
    result = run("--db", db or str(folder / "deletions.db"), "--json", *words)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of many months, to be read only."""
    made, clock = tmp_path_factory.mktemp("months"), Clock()
    with begun(made, None, clock) as ledger:
        months(ledger, clock)
    return made


def test_counts_and_delays_are_those_of_the_entries(tmp_path: Path, url: str | None) -> None:
    clock = Clock()
    with begun(tmp_path, url, clock) as ledger:
        months(ledger, clock)
        entries = list(ledger.entries())
    received = {entry.number: entry for entry in entries if entry.kind == "received"}
    runs = {entry.number: entry.content for entry in entries if entry.kind == "intent"}
    delays, late = [], []
    for entry in entries:
        if entry.kind == "released":
            for first, last in runs[entry.content["intent"]]["requests"]:
                asked = [received[number] for number in range(first, last + 1)]
                delays += [(entry.time - each.time) / 1e6 for each in asked]
                late += [after for each in asked if (after := (entry.time - each.content["due"]) / 1e6) > 0]
    found = record(tmp_path, db=url)
    assert len(late) > 1
    assert found["delays"] | {"overdue_by": 0} == {
        "answered": 8, "median": sorted(delays)[4], "worst": max(delays), "late": len(late), "latest": max(late),
        "overdue_by": 0,
    }  # fmt: skip
    assert (found["status"]["received"], found["status"]["overdue"], found["status"]["refused"]) == (12, 3, 1)
    assert (
        found["delays"]["overdue_by"]
        >= 0.999 * (found["status"]["now"] - max(e.content["due"] for e in received.values())) / 1e6
    )
    assert found["runs"] == len(runs)
    shown = page(tmp_path, db=url)
    assert (
        f"{len(late)} of the 8 answered ones were answered after the due date, at worst {long(max(late))} after it"
        in shown.text
    )
    assert f"Median until answered{long(sorted(delays)[4])}" in shown.text
    assert f"Longest until answered{long(max(delays))}" in shown.text


@pytest.mark.parametrize("count", [0, 1, 4, 11, 12, 1000])
def test_the_last_requests_and_all_overdue_ones_are_listed_each_once(folder: Path, count: int) -> None:
    with Ledger(folder / "deletions.db", read_only=True) as ledger:
        numbers = [entry.number for entry in ledger.entries() if entry.kind == "received"]
    shown = page(folder, "--requests", str(count))
    listed = [int(row["Request"]) for row in shown.requests()]
    last = numbers[-count:] if count else []
    assert listed == [*numbers[-3:], *(number for number in reversed(last) if number not in numbers[-3:])]
    told = f"The last {count} of 12 requests" if count < 12 else "All 12 requests"
    assert told in shown.text
    found = record(folder, "--requests", str(count))
    assert [row["number"] for row in found["overdue_requests"] + found["latest_requests"]] == listed
    assert len(found["latest_runs"]) == min(count, found["runs"])


def test_nobody_is_named_and_keyed_hashes_are_shown_only_where_asked_for(folder: Path, tmp_path: Path) -> None:
    with Ledger(folder / "deletions.db", read_only=True) as ledger:
        hashes = [entry.content["subject"] for entry in ledger.entries() if entry.kind == "received"]
        key = Path(ledger.settings.key).read_text().strip()
    page(folder)
    texts = [(folder / "report.html").read_text(), json.dumps(record(folder))]
    for text in texts:
        assert [word for word in (*NAMES, *hashes, key, str(folder)) if word in text] == []
    assert {row["Keyed hash"] for row in page(folder, "--hashes").requests()} == set(hashes)
    assert {row["subject"] for row in record(folder, "--hashes")["latest_requests"]} <= set(hashes)
    # Nor are key and subjects needed.
    absent = ("--place", f"key={tmp_path}/none", "--place", f"subjects={tmp_path}/none")
    assert len(page(folder, *absent).requests()) == 12


def test_nothing_comes_from_elsewhere_and_everything_is_escaped(tmp_path: Path) -> None:
    evil = "</td><script>alert(1)</script><img src='http://elsewhere.example/x' onerror=alert(1)>&amp;\x00\ud800 ε"
    clock = Clock()
    with begun(tmp_path, None, clock) as ledger:
        ledger.add(NAMES[:2])
        ledger.process(everything=True)
        ledger.add([NAMES[5]])
        ledger.refuse(NAMES[5], evil)
    shown = page(tmp_path)
    assert "<script>alert(1)</script>" in shown.text
    assert shown.tags & {"img", "link", "iframe", "object", "embed", "form", "base"} == set()
    assert [name for name, _ in shown.attributes if name == "src" or name.startswith("on")] == []
    text = (tmp_path / "report.html").read_text()
    # The only script is the package's own, and the browser runs no other.
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert scripts == [(Path(accountant.commands.__file__).parent / "templates" / "tables.js").read_text(encoding="utf-8")]
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()}';" in text
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in dict(shown.attributes)["content"] or "default-src 'none'" in text
    assert all(link.startswith("model.certificates/") for link in shown.links)


def test_links_lead_to_certificates_whose_digest_is_their_name(folder: Path) -> None:
    (folder / "out").mkdir()
    result = run("--db", str(folder / "deletions.db"), "-o", str(folder / "out" / "report.html"))
    assert result.exit_code == 0
    links = Page((folder / "out" / "report.html").read_text()).links
    assert len(set(links)) == record(folder)["certificates"] == 4
    for link in set(links):
        file = folder / "out" / link
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.stem
    assert page(folder, "--links", "https://host.example/a b/").links[0].startswith("https://host.example/a%20b/")
    assert page(folder, "--links", "").links[0][:64] in {Path(link).stem for link in links}
    refused = run("--db", str(folder / "deletions.db"), "-o", "x.html", "--links", " javascript:alert(1)//")
    assert refused.exit_code == 2
    assert "links must be a folder or a URL of http, https or file" in refused.stderr


def test_what_is_wrong_is_said_on_the_page_and_is_the_verdict(folder: Path, tmp_path: Path) -> None:
    shown = page(folder)
    assert "The record is as it was written" in shown.text
    assert page(folder, "--no-verify").text.count("was not checked for this page") == 1
    (tmp_path / "model.npz").write_bytes(b"nothing")
    shown = page(folder, "--place", f"model={tmp_path}/model.npz", code=1)
    assert "The record is NOT as it was written" in shown.text
    assert "model model.npz should be the file" in shown.text
    assert str(folder) not in shown.text


def test_a_ledger_without_requests_and_one_without_answers_have_pages(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        shown = page(tmp_path)
        assert "None was received yet." in shown.text
        assert "nothing is claimed" in shown.text
        ledger.add([NAMES[0]])
        shown = page(tmp_path)
        assert [row["State"] for row in shown.requests()] == ["waits"]
        ledger.refit()
        shown = page(tmp_path)
        assert "The model was learned again" in shown.text
        # Learning again depends on who asked, too.
        assert "in knowledge of a released model" in shown.text


def test_what_holds_is_the_last_learning_again_and_the_last_unlearning_since(tmp_path: Path) -> None:
    def holding() -> list[str]:
        with ledger.report() as found:
            return [run.what for run in found.holding]

    with begun(tmp_path) as ledger:
        for name, act, then in (
            (NAMES[0], ledger.process, ["unlearn"]),
            (NAMES[1], ledger.process, ["unlearn"]),
            (NAMES[2], ledger.refit, ["refit"]),
            (NAMES[3], ledger.process, ["refit", "unlearn"]),
        ):
            ledger.add([name], urgent=True)
            act()
            assert holding() == then
        shown = page(tmp_path)
    numbers = [row["Run"] for row in shown.rows if "Ended" in row]
    assert f"Records deleted up to run {numbers[1]}:" in shown.text
    assert f"Records deleted since run {numbers[1]}, up to run {numbers[0]}:" in shown.text


def test_what_is_declared_is_said_to_be(tmp_path: Path) -> None:
    with commanded(tmp_path) as ledger:
        ledger.add([PEOPLE[3]])
        ledger.process(everything=True)
        shown = page(tmp_path)
    assert "What ran in 1 of 1 runs: a program of the operator's made the new model" in shown.text
    assert "If what ran is what the operator declares, which this program did not see, then whatever" in shown.text
    assert "the program itself computed the new model" not in shown.text
    # Steps that both runs share are the one case where requests may depend on released models.
    assert "in knowledge of a released model" not in shown.text
    assert "even because of what an earlier version of the model showed" in shown.text


def test_only_guarantees_that_say_so_cover_requests_in_knowledge_of_a_model() -> None:
    shared = UnlearningAccountant(FineTuning(step_size=0.1, gradient_clip=1.0, start_clip=1.0)).guarantee(sigma=1.0, steps=10)
    batches = UnlearningAccountant(PNSGD(preset("mnist"), 128)).guarantee(sigma=0.1, epochs=1)
    assert any(line.startswith(_DEPENDENT) for line in shared.assumptions)
    assert not any(line.startswith(_DEPENDENT) for line in batches.assumptions)


@given(st.floats(1e-9, 600.0))
def test_numbers_for_lawyers_are_never_smaller_than_they_are(value: float) -> None:
    def read(text: str) -> Any:
        return mpmath.mpf(text.replace(",", ""))

    with mpmath.workdps(60):
        exact = mpmath.exp(mpmath.mpf(repr(value)))
        assert exact <= read(factor(value)) <= exact * mpmath.mpf("1.0101")
        assert mpmath.mpf(repr(value)) <= read(up(value)) <= mpmath.mpf(repr(value)) * mpmath.mpf("1.00002")


@given(st.floats(0.0, 1e10))
def test_lengths_of_time_are_rounded_up_in_their_second_unit(seconds: float) -> None:
    units = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
    words = long(seconds).replace(",", "").split()
    named = [units[name] for name in words[1::2]]
    total = sum(int(count) * unit for count, unit in zip(words[::2], named, strict=True))
    smaller = {86_400: 3_600, 3_600: 60, 60: 1, 1: 1}[named[0]]
    assert seconds <= total <= seconds + smaller


@given(st.floats(1e-11, 0.5))
def test_a_chance_of_one_in_so_many_is_not_smaller_than_delta(delta: float) -> None:
    run = reported(epsilon=1.0, delta=delta)
    count = guarantee_sentence(run).split("(1 in ")[1].split(")")[0].replace(",", "")
    assert Decimal(1) / Decimal(count) >= Decimal(repr(delta))
    assert int(count) > 0.98 * math.floor(1 / delta) - 1


def reported(**values: Any) -> ReportedRun:
    given = {
        "number": 3, "what": "unlearn", "closed": 0, "requests": 1, "points": 1, "steps": 4, "sigma": 1.0, "backend": "x",
        "declared": False, "version": "0", "statement": "s", "assumptions": (), "certificate": None,
    }  # fmt: skip
    return ReportedRun(**{**given, **values})


def test_a_page_or_json_must_be_asked_for(tmp_path: Path) -> None:
    with begun(tmp_path):
        pass
    refused = run("--db", str(tmp_path / "deletions.db"))
    assert (refused.exit_code, refused.stderr) == (2, "Error: --output must be given, or ask for --json: a file for the page\n")
    nowhere = run("--db", str(tmp_path / "deletions.db"), "-o", str(tmp_path / "none" / "report.html"))
    assert nowhere.exit_code == 2
    assert "output file" in nowhere.stderr


@pytest.mark.parametrize(
    ("name", "file"),
    [("db", "deletions.db"), ("model", "model.npz"), ("key", "model.key"), ("subjects", "model.subjects.db")],
)
def test_no_page_takes_the_place_of_a_file_of_the_ledger(folder: Path, tmp_path: Path, name: str, file: str) -> None:
    link, before = tmp_path / "page.html", (folder / file).read_bytes()
    link.symlink_to(folder / file)
    for output in (link, folder / file):
        for db in (folder / "deletions.db", f"sqlite:///{folder}/deletions.db"):
            refused = run("--db", str(db), "-o", str(output))
            assert (refused.exit_code, refused.stderr) == (
                2,
                f"Error: --output must be another file than {'--db' if name == 'db' else name}, got {str(output)!r}\n",
            )
    assert (folder / file).read_bytes() == before


def test_the_extra_that_is_missing_is_named_and_json_needs_none(tmp_path: Path) -> None:
    with begun(tmp_path):
        pass
    code = "import sys; sys.modules['jinja2'] = None\nfrom accountant.commands import app; app(sys.argv[1:])"
    line = [sys.executable, "-c", code, "ledger", "report", "--db", str(tmp_path / "deletions.db")]
    result = subprocess.run([*line, "-o", str(tmp_path / "r.html")], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "a report in HTML needs Jinja2" in result.stderr
    assert "unlearning-accountant[report]" in result.stderr
    assert not os.path.exists(tmp_path / "r.html")
    assert subprocess.run([*line, "--json"], capture_output=True, check=False).returncode == 0
