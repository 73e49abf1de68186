"""Reports in HTML: the answer and what fails come first, numbers are those of the JSON, nothing is injected."""

import base64
import hashlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_pages import COMMANDS, EVIL, TABLE, Found, made, recorded, undated, verified
from typer.testing import CliRunner

from accountant import preset
from accountant._version import __version__
from accountant.commands import origin, page
from accountant.commands.page import Cell, Curve, Line, Page, Rows, Section, Series
from accountant.commands.program import app
from accountant.numerics import digits


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of a page of every command."""
    folder = tmp_path_factory.mktemp("reports")
    return {command: made(folder, command).read_text(encoding="utf-8") for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_answer_comes_before_tables_and_the_origin_after_them(pages: dict[str, str], command: str) -> None:
    text = pages[command]
    assert text.startswith("<!DOCTYPE html>")
    places = [text.index(part) for part in ("<h1>", '<div class="box', '<dl class="facts">', "<table ", 'id="origin"')]
    assert places == sorted(places)
    for tag in ("table", "tbody", "thead", "tr", "td", "div", "main", "ul", "dl", "figure", "script"):
        assert len(re.findall(rf"<{tag}[ >]", _markup(text))) == _markup(text).count(f"</{tag}>"), tag


def _markup(text: str) -> str:
    """A page without what stands in its scripts."""
    return re.sub(r"(<script[^>]*>).*?</script>", r"\1</script>", text, flags=re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_browser_runs_the_scripts_of_the_package_and_asks_for_nothing(pages: dict[str, str], command: str) -> None:
    text = pages[command]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"'sha256-([^']*)'", policy[1]) == allowed
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy[1]
    curves = command != "verify"
    assert len(scripts) == (3 if curves else 1)
    # Plotly stands in a page once, and only where there are curves.
    assert text.count("plotly.js v") == curves
    assert (len(text) > 4_000_000) == curves
    markup = _markup(text)
    assert not re.search(r"https?://|<link|<img|<iframe|@import|url\(| on[a-z]+=", markup.replace("&lt;img src=x on", ""))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_says_where_it_comes_from(pages: dict[str, str], command: str) -> None:
    told = Found(pages[command]).origin
    words = shlex.split(told["Command"][0])
    assert words[:2] == ["accountant", "compare" if command == "steps" else command]
    assert any(word.endswith(f"{command}.html") for word in words)
    assert told["Version"] == [f"accountant {__version__}"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", told["Made on"][0])
    if command == "verify":
        assert told["SHA-256"] == [hashlib.sha256(TABLE.encode()).hexdigest()]
        assert told["Table"][0].endswith("table.csv")
        assert told["Data of rows"] == ["mnist: n = 11,264, L = 0.261264, m = 0.011264, M = 1"]
    elif command == "steps":
        assert told["Algorithm"] == ["fine-tuning"]
    else:
        problem = preset("mnist")
        assert told["Dataset"] == ["mnist"]
        assert told["b, batch size"] == ["128"]
        assert told["L, smoothness"] == [f"{problem.smoothness:.12g}"]
        assert told["m, strong convexity"] == [f"{problem.strong_convexity:.12g}"]
        assert told["n, records"] == ["11,264"]
        assert told["δ"][-1] == f"{1 / 11264:.12g}"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_is_the_same_every_time_but_for_the_date(pages: dict[str, str], command: str, tmp_path: Path) -> None:
    again = made(tmp_path, command).read_text(encoding="utf-8")
    # The folder is another one.
    first = re.sub(r"/[^ <']*/", "", undated(_markup(pages[command])))
    assert first == re.sub(r"/[^ <']*/", "", undated(_markup(again)))
    assert Found(pages[command]).scripts == Found(again).scripts


def test_rows_that_fail_come_first_and_say_what_they_claim(pages: dict[str, str], tmp_path: Path) -> None:
    found = [row for row in Found(pages["verify"]).rows if "verdict" in row]
    order = [row["verdict"].split()[0] for row in found]
    assert order == sorted(order, key=("FAILS", "unchecked", "tighter", "certified").index)
    assert [row["row"] for row in found[:2]] == ["6", "7"]
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8")
    told = recorded_rows(tmp_path / "table.csv")
    for row in found:
        said = told[int(row["row"]) - 1]
        assert said["reason"] in row["verdict"]
        if said["verdict"] != "unchecked":
            assert row["data"] == said["preset"] == "mnist"
            assert row["b"] == ("full" if said["batch_size"] == said["n"] else str(said["batch_size"]))
            assert row["δ"] == digits(said["delta"], 4)
            assert float(row["σ"]) == said["sigma"]
            assert row["ε achieved"] == digits(said["epsilon_achieved"], 4)


def recorded_rows(path: Path) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["verify", str(path), "--json"])
    rows: list[dict[str, Any]] = json.loads(result.stdout)["rows"]
    return rows


def test_cells_are_text_whatever_they_hold(pages: dict[str, str]) -> None:
    found = Found(pages["verify"])
    assert "<script>alert(1)</script>" in found.text
    assert "sigma^{2}$ \N{GRINNING FACE} &amp;" in found.text
    assert "alert(" not in "".join(found.scripts)
    assert set(found.tags) & {"img", "iframe", "object", "embed", "form", "base", "link"} == set()
    assert [name for name, _ in found.attributes if name == "src" or name.startswith("on")] == []


def test_names_of_curves_do_not_end_the_script_that_they_stand_in(tmp_path: Path) -> None:
    curve = Curve("c", EVIL, EVIL, "up", [Series(EVIL, [1, 2], [1.0, float("nan")], 0)], EVIL, marks=[(1, EVIL)])
    rows = Rows(EVIL, [EVIL], [Line([Cell(EVIL)], EVIL)], EVIL)
    page.save(
        tmp_path / "a.html", Page(title=EVIL, subtitle=EVIL, answer=EVIL, sections=[Section("s", EVIL, [EVIL], curve, rows)])
    )
    found = Found((tmp_path / "a.html").read_text(encoding="utf-8"))
    told = [json.loads(script) for script in found.scripts if script.startswith("{")]
    assert [each["series"][0]["name"] for each in told] == [EVIL]
    assert told[0]["series"][0]["y"] == [1.0, None]
    assert "img" not in found.tags
    assert found.tags.count("script") == 4


def test_curves_are_those_of_the_json(pages: dict[str, str]) -> None:
    curves = {
        name: [json.loads(each) for each in Found(text).scripts if each.startswith('{"across"')] for name, text in pages.items()
    }
    assert {name: len(found) for name, found in curves.items()} == {
        "verify": 0,
        "compare": 2,
        "plan": 2,
        "curve": 2,
        "steps": 1,
    }
    common = ("--preset", "mnist", "--batch-size", "128")
    compared = recorded("compare", *common, "--epsilon", "1", "--requests", "30")
    noise, cost = curves["compare"]
    spread = {row["method"]: row["released_std"] for row in compared["methods"]}
    for series in noise["series"]:
        assert series["y"][0] == pytest.approx(spread[series["name"]], rel=1e-9)
    for series in cost["series"]:
        row = next(row for row in compared["stream"]["methods"] if row["method"] == series["name"])
        assert [value or 0 for value in series["y"]] == row["gradient_evaluations"]
    steps = curves["plan"][1]["series"][0]
    for count, value in list(zip(steps["x"], steps["y"], strict=True))[1::9]:
        told = recorded("epsilon", *common, "--sigma", "0.002", "--steps", str(count))
        assert value == pytest.approx(told["epsilon"], rel=1e-9)


def test_break_even_is_the_answer_of_a_plan_and_divides_its_rows(pages: dict[str, str]) -> None:
    words = ("--sigma", "0.002", "--epsilon", "1", "--requests", "400", "--unit", "epochs", "--retrain-epochs", "50")
    told = recorded("plan", "--preset", "mnist", "--batch-size", "128", *words)
    assert told["break_even"] is not None
    assert pages["plan"].count('data-group="before break-even"') == told["break_even"] - 1
    assert f"that would be cheaper from request {told['break_even']} on." in Found(pages["plan"]).text


def test_no_guarantee_is_shown_smaller_than_it_is(tmp_path: Path) -> None:
    question = ("--preset", "mnist", "--epsilon", "1.0000004", "--delta", "8.0001e-5", "--requests", "2")
    for command, more in (("plan", ("--sigma", "0.02")), ("compare", ("--method", "optimal"))):
        files = [tmp_path / f"{command}.{kind}" for kind in ("html", "svg")]
        written = [word for file in files for word in ("-o", str(file))]
        result = CliRunner().invoke(app, [command, *question, *more, *written])
        assert result.exit_code == 0, result.output
        page_, picture = (file.read_text(encoding="utf-8") for file in files)
        facts = Found(page_).origin
        assert (facts["ε"][0], facts["δ"][0]) == ("1.00001", "8.001e-05")
        assert "ε = 1.00001, δ = 8.01e-05" in picture


def test_a_long_page_is_written_row_by_row(tmp_path: Path) -> None:
    """Rows are asked for when the page has reached them, and hidden ones are marked for the script."""
    path = tmp_path / "a.html"
    sizes = []

    def lines() -> Iterator[Line]:
        for row in range(3000):
            sizes.append(path.stat().st_size)
            yield Line([page.whole(row), Cell("x" * 200)])

    page.save(
        path,
        Page(title="t", subtitle="s", answer="a", sections=[Section("rows", "Rows", rows=Rows("rows", ["a", "b"], lines()))]),
    )
    assert sizes[-1] > 2900 * 200
    assert path.read_text(encoding="utf-8").count(' class="later"') == 2500


def test_a_table_is_named_by_its_digest_even_from_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    result = CliRunner().invoke(app, ["verify", "-", "-o", str(out)], input=TABLE.encode())
    assert result.exit_code == 1, result.output
    assert Found(out.read_text(encoding="utf-8")).origin["SHA-256"] == [hashlib.sha256(TABLE.encode()).hexdigest()]


def test_digits_stand_in_the_page(tmp_path: Path) -> None:
    text = "method,b,sigma,K,eps\noptimal,full,0.006,1,1\n"
    out = verified(tmp_path, text, "--preset", "mnist", "--precision", "20", code=0)
    row = Found(out.read_text(encoding="utf-8")).rows[1]
    assert row["sigma needed, 20 digits"] == "0.0050915049999203146108"


def test_passwords_do_not_stand_in_a_page() -> None:
    token = origin.TYPED.set(("ledger", "report", "--db", "postgresql+psycopg://me:pass/word@host:5432/db"))
    try:
        told = dict(origin.lines("ledger report"))
    finally:
        origin.TYPED.reset(token)
    assert "word" not in told["Command"].replace("--db", "")
    assert "host:5432/db" in told["Command"]


@pytest.mark.parametrize("lacks", ["jinja2", "plotly"])
def test_without_the_extra_it_is_refused_before_any_work(tmp_path: Path, lacks: str) -> None:
    (tmp_path / "table.csv").write_text(TABLE, encoding="utf-8")
    code = f"import sys; sys.modules['{lacks}'] = None\nfrom accountant.commands import app; app(sys.argv[1:])"
    common = ("--preset", "mnist", "--batch-size", "128", "--epsilon", "1")
    for words in (("compare", *common), ("plan", *common, "--sigma", "0.01", "--requests", "9000000")):
        run = subprocess.run(
            [sys.executable, "-c", code, *words, "-o", "a.html"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert run.returncode == 2
        assert f"needs {lacks.capitalize()}, which is not installed: pip install 'unlearning-accountant[report]'" in run.stderr
        assert list(tmp_path.glob("*.html")) == []
    # What worked before there was the extra goes on to work: a plain page.
    run = subprocess.run(
        [sys.executable, "-c", code, "verify", "table.csv", "-o", "b.html"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    text = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert ("<script>" in text) == (lacks == "plotly")
    assert "4 certified" in text or "failing" in text
