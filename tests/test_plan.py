"""``accountant plan`` prints and writes the plan that Python makes, and never leaves half a file."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import shlex
import sys
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from screens import text_lines
from typer.testing import CliRunner

from accountant import PNSGD, InputError, UnlearningAccountant, preset
from accountant.commands import files
from accountant.commands.plan_rows import moments
from accountant.commands.program import app
from accountant.requests import PlannedRequest, make_plan, optimize, read_requests, trade_off

P = ("plan", "--preset", "mnist", "--epsilon", "1")
FULL = (*P, "--batch-size", "full", "--sigma", "0.03")
MNIST = UnlearningAccountant(PNSGD(preset("mnist")))
KEYS = {
    "command", "sigma", "epsilon", "delta", "delta_is_default", "bound", "batches", "reference", "unit", "window", "deadline",
    "problem", "algorithm", "assumptions", "version", "requests", "total_steps", "total_epochs", "total_gradient_evaluations",
    "retrain_gradient_evaluations", "break_even", "longest_wait", "retrain_epochs", "first_bound",
}  # fmt: skip
ROW = {"request", "points", "steps", "epochs", "gradient_evaluations", "mu_worst"}


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def answer(*words: str) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    record: dict[str, Any] = json.loads(result.stdout)
    assert set(record) >= KEYS
    return record


@pytest.fixture
def requests(tmp_path: Path) -> str:
    path = tmp_path / "requests.csv"
    lines = (f"2024-01-{day:02d}T{7 * day % 24:02d}:30,{1 + day % 3}" for day in range(1, 31))
    path.write_text("time,points\n" + "\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("bound", "epochs"),
    [((), 358), (("--bound", "paper"), 1786), (("--bound", "paper-geometric", "--first-bound", "paper"), 887)],
)
def test_a_hundred_requests_on_mnist(bound: tuple[str, ...], epochs: int) -> None:
    record = answer(*FULL, "--requests", "100", "--unit", "epochs", *bound)
    assert record["total_epochs"] == epochs
    assert record["total_steps"] == epochs
    assert record["total_gradient_evaluations"] == epochs * 11_264
    assert record["retrain_gradient_evaluations"] == 100 * 1000 * 11_264
    assert len(record["requests"]) == 100
    assert set(record["requests"][0]) >= ROW
    assert sum(row["epochs"] for row in record["requests"]) == epochs
    assert (record["break_even"] is None) == (epochs <= 1000)
    assert record["delta"] == 1 / 11_264
    assert record["delta_is_default"] is True
    assert (record["requests"][0]["mu_worst"] is None) == bool(bound)


def test_the_record_is_the_plan(requests: str) -> None:
    record = answer(*FULL, "--requests", requests, "--window", "7d", "--deadline", "30d", "--retrain-epochs", "20")
    made = make_plan(
        MNIST, read_requests(requests), sigma=0.03, epsilon=1.0, window="7d", deadline="30d", retrain_epochs=20
    ).to_dict()
    assert {key: record[key] for key in made} == made
    assert (record["window"], record["deadline"], record["unit"]) == (604_800, 2_592_000, "steps")
    assert record["problem"]["preset"] == "mnist"
    assert record["algorithm"]["steps_per_epoch"] == 1


def test_optimize_chooses_what_python_chooses(requests: str) -> None:
    words = (*P, "--requests", requests, "--deadline", "3d", "--optimize", "--max-sigma", "0.02", "--batches", "worst")
    record = answer(*words)
    choice = optimize(MNIST.with_(batches="worst"), read_requests(requests), epsilon=1.0, deadline="3d", max_sigma=0.02)
    assert (record["sigma"], record["window"]) == choice
    fixed = answer(*FULL[:-1], "0.02", "--requests", requests, "--window", "1d", "--batches", "worst")
    assert record["total_gradient_evaluations"] <= fixed["total_gradient_evaluations"]


@pytest.mark.parametrize("more", [(), ("--window", "2d"), ("--window", "2d", "--bound", "paper", "--unit", "epochs")])
def test_tables_fit_80_columns(requests: str, more: tuple[str, ...]) -> None:
    for source in (requests, "30" if not more else requests):
        result = run(*FULL, "--requests", source, *more, "--batch-size", "512", "--batches", "worst")
        assert result.exit_code == 0, result.output
        assert max(map(len, text_lines(result.stdout))) <= 80
        assert "For you to check" in result.stdout
        assert "1/n, the default" in " ".join(result.stdout.split())
        long = run(*FULL, "--requests", source, *more, "--batch-size", "512", "--batches", "worst", "--verbose").stdout
        assert max(map(len, text_lines(long))) <= 80
        assert "Assumptions" in long


def test_the_table_shows_dates_whole_and_long_plans_in_part(requests: str) -> None:
    assert "2024-01-12 12:30" in run(*FULL, "--requests", requests).stdout
    text = run(*FULL, "--requests", "100").stdout
    lines = [line.split() for line in text.splitlines()]
    numbers = [words[0] for words in lines if words and (words[0].isdigit() or words[0] == "...") and len(words) == 7]
    assert numbers == [*map(str, range(1, 13)), "...", *map(str, range(95, 101))]


@pytest.mark.parametrize("scale", [0.3, 40.0, 3000.0, 90_000.0, 3e7])
def test_times_are_told_in_units_that_read_back_and_tell_requests_apart(scale: float) -> None:
    times = [0.0, *(float(at) * scale for at in (1, 2, 3.1415926, 30, 30.25, 31, 1000))]
    told = moments(times)
    assert len(set(told)) == len(times)
    sizes = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
    for time_, text in zip(times, told, strict=True):
        parts = [re.fullmatch(r"([\d.]+)([dhms])", part) for part in text.split()]
        assert text == "0" or all(parts)
        back = sum(float(part[1]) * sizes[part[2]] for part in parts if part)
        # What is left out is less than the second unit; of times that begin alike less than the unit that tells them apart.
        assert back <= time_ * (1 + 1e-5)
        assert time_ - back < (3600 if time_ >= 86_400 else 60 if time_ >= 3600 else 1e-5 * time_ + 1e-9)


def test_the_table_has_times_in_units_and_json_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text("time,points\n0,1\n90707.5743,1\n100000,1\n")
    lines = [" ".join(line.split()) for line in run(*FULL, "--requests", str(path)).stdout.splitlines()]
    assert any(line.startswith("2 1d 1h 1 ") for line in lines)
    assert [row["time"] for row in answer(*FULL, "--requests", str(path))["requests"]] == [0.0, 90707.5743, 100000.0]


def test_break_even_answers_the_question_and_never_contradicts_itself() -> None:
    """What one request costs against one retraining; that all of them might wait for a single one is another thing."""

    def says(*words: str) -> str:
        return " ".join(run(*FULL, "--requests", "100", *words).stdout.split())

    for more in (("--retrain-epochs", "50"), ("--retrain-epochs", "2"), (), ("--sigma", "0.003")):
        found, text = answer(*FULL, "--requests", "100", *more), says(*more)
        once, each = found["retrain_gradient_evaluations"] // 100, found["total_gradient_evaluations"] / 100
        said = re.search(
            r"One request costs ([\d,]+) gradients on average, one retraining ([\d,]+) \(\d+ epochs\): (.*?)\.( |$)", text
        )
        assert said is not None, text
        assert abs(float(said[1].replace(",", "")) - each) <= 0.5
        assert int(said[2].replace(",", "")) == once
        factor = float(re.findall(r"\d[\d.e+]*", said[3])[0])
        if each < once:
            assert said[3].endswith("times cheaper")
            assert not said[3].startswith("retraining")
            assert once / each * 0.99 < factor <= once / each
        else:
            assert said[3].startswith("retraining is")
            assert each / once * 0.99 < factor <= each / once
        later = f"wait for a single retraining at the end, that would be cheaper from request {found['break_even']} on."
        assert (later in text) == (found["break_even"] is not None)
        assert ("All 100 together cost" in text) == (found["break_even"] is None)
    assert "give the epochs of one retraining as --retrain-epochs" in says("--batch-size", "1000")
    assert "A request costs no gradients" in says("--sigma", "100")


def test_noise_that_ruins_the_model_is_warned_of() -> None:
    words = (*P, "--requests", "3", "--sigma")
    assert "may ruin the model" in " ".join(run(*words, "24.8").stdout.split())
    assert "ruin" not in run(*words, "0.03").stdout


def test_optimize_recommends_no_noise_but_shows_what_there_is_to_choose_from() -> None:
    words = (*P, "--requests", "100", "--optimize", "--batch-size", "128")
    record = json.loads(run(*words, "--json").stdout)
    rows = record["trade_off"]
    assert record["requests"] is None
    assert "sigma" not in record
    made = UnlearningAccountant(PNSGD(preset("mnist"), 128))
    for row in rows:
        plan = make_plan(made, [1] * 100, sigma=row["sigma"], epsilon=1.0)
        assert row["steps"] == plan.total_steps
        assert row["gradient_evaluations"] == plan.total_gradient_evaluations
        assert row["relative"] * plan.retrain_gradient_evaluations / 100 == pytest.approx(plan.total_gradient_evaluations / 100)
        # All noise of endless steps, summed: 2 eta sigma^2 (1 + c^2 + c^4 + ...).
        c, spread = made.algorithm.contraction, made.algorithm.noise_std(row["sigma"])
        assert row["noise"] == pytest.approx(spread * math.sqrt(math.fsum(c ** (2 * k) for k in range(5000))), rel=1e-9)
        assert row["moves"] == row["noise"] * made.algorithm.problem.lipschitz <= 1
    assert [row["sigma"] for row in rows] == sorted((row["sigma"] for row in rows), reverse=True)
    assert [row["steps"] for row in rows] == sorted(row["steps"] for row in rows)
    # What is to be typed next is a plan with little noise.
    following = shlex.split(record["next"])
    chosen = float(following[following.index("--max-sigma") + 1])
    assert chosen == max(row["sigma"] for row in rows if row["moves"] <= 0.25)
    assert answer(*following[1:])["sigma"] <= chosen
    text = run(*words).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "choose --max-sigma" in " ".join(text.split())


def test_a_plan_is_written_in_the_format_that_the_name_ends_in(tmp_path: Path, requests: str) -> None:
    pytest.importorskip("matplotlib")
    begins = {"csv": b"request,time,points", "json": b'{"command": "plan"', "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    paths = {kind: tmp_path / f"plan.{kind.upper()}" for kind in begins}
    many = [word for path in paths.values() for word in ("-o", str(path))]
    result = run(*FULL, "--requests", requests, *many)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    for kind, path in paths.items():
        assert path.read_bytes().startswith(begins[kind])
    assert json.loads(paths["json"].read_text()) == answer(*FULL, "--requests", requests) | {"next": ANY}
    bad = run(*FULL, "--requests", requests, "-o", str(tmp_path / "plan.xlsx"))
    assert bad.exit_code == 2
    assert "must end in .csv, .json, .png, .svg, .pdf or .html, got" in " ".join(bad.stderr.split())
    old = run(*FULL, "--requests", requests, "--csv", str(tmp_path / "old.csv"))
    assert "-o FILE.csv" in old.stderr
    assert (tmp_path / "old.csv").read_text() == paths["csv"].read_text()


def test_what_a_plan_writes_is_certified(tmp_path: Path, requests: str) -> None:
    pytest.importorskip("flint")
    # A path that is longer than a line of the screen.
    folder = tmp_path / ("with a long name " * 6).strip()
    folder.mkdir()
    table, certificate = str(folder / "plan.csv"), str(tmp_path / "certificate.json")
    words = (*FULL, "--batches", "worst", "--requests", requests)
    result = run(*words, "-o", table)
    typed = shlex.split(result.stdout.split("Next\n")[1].replace("\\\n", ""))
    assert typed[:2] == ["accountant", "certify"]
    typed[typed.index("-o") + 1] = certificate
    certified = run(*typed[1:], "--epsilon", "1")
    assert certified.exit_code == 0, certified.output
    stream = json.loads(Path(certificate).read_text())["inputs"]["requests"]
    rows = answer(*words)["requests"]
    assert [[int(row["points"]), int(row["steps"])] for row in stream] == [[row["points"], row["steps"]] for row in rows]


def test_the_csv_file_has_every_row(tmp_path: Path, requests: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("old")
    record = answer(*FULL, "--requests", requests, "--csv", str(path))
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(PlannedRequest._fields)
    assert len(rows) == 30
    for row, same in zip(rows, record["requests"], strict=True):
        assert {key: "" if value is None else str(value) for key, value in same.items()} == row
    assert sorted(p.name for p in tmp_path.iterdir()) == ["requests.csv", "rows.csv"]
    # What was written can be read again where it has the columns: times and points.
    short = tmp_path / "again.csv"
    short.write_text("time,points\n" + "".join(f"{row['time']},{row['points']}\n" for row in rows))
    assert [a.points for a in read_requests(short)] == [row["points"] for row in record["requests"]]


def test_requests_come_through_pipes_too(tmp_path: Path, requests: str) -> None:
    record = answer(*FULL, "--requests", requests)
    text = Path(requests).read_text(encoding="utf-8")
    piped = CliRunner().invoke(app, [*FULL, "--requests", "-", "--json"], input=text)
    assert json.loads(piped.stdout)["requests"] == record["requests"]
    fifo, page = tmp_path / "pipe", tmp_path / "page.html"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_text, args=(text,), daemon=True)
    writer.start()
    assert answer(*FULL, "--requests", str(fifo), "-o", str(page))["requests"] == record["requests"]
    writer.join()
    # No digest of what is gone.
    assert hashlib.sha256(b"").hexdigest() not in page.read_text(encoding="utf-8")
    wrong = CliRunner().invoke(app, [*FULL, "--requests", "-"], input="time\n5\n3\n")
    assert "requests file -, line 3: times must be sorted" in wrong.stderr
    assert wrong.exit_code == 2


@pytest.mark.parametrize(("name", "begins"), [("cost.png", b"\x89PNG\r\n"), ("cost.SVG", b"<?xml")])
def test_pictures(tmp_path: Path, requests: str, name: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib")
    for more in (("--requests", "3", "--points", "2"), ("--requests", requests, "--retrain-epochs", "2")):
        path = tmp_path / name
        assert run(*FULL, *more, "--plot", str(path)).exit_code == 0
        assert path.read_bytes().startswith(begins)
        path.unlink()
    seconds = tmp_path / "seconds.csv"
    seconds.write_text("time\n0\n100000\n")
    nothing = ("--sigma", "10", "--batch-size", "1000", "--plot", str(path))
    assert run(*FULL, "--requests", str(seconds), *nothing).exit_code == 0


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(*FULL, "--requests", "3", "--plot", str(tmp_path / "a.png"))
    assert result.exit_code == 2
    assert "plot needs matplotlib: pip install 'unlearning-accountant[plot]'" in result.stderr


def test_an_unwritable_file_is_refused_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr("accountant.requests.make_plan", never)
    for path in (tmp_path, tmp_path / "no" / "rows.csv", tmp_path / ("x" * 300)):
        result = run(*FULL, "--requests", "3", "--csv", str(path))
        assert result.exit_code == 2
        assert f"csv file {path} cannot be written" in result.stderr.replace("\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_plan_leaves_files_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("old")
    result = run(*FULL, "--requests", "3", "--unit", "days", "--csv", str(path))
    assert result.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]
    assert path.read_text() == "old"


def test_a_bar_is_shown_after_a_while_where_somebody_watches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.0)
    with files.progress("planning") as progress:
        progress(1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with files.progress("planning") as progress:
        progress(1, 2)
        print("an answer")
    shown = capsys.readouterr()
    # What is printed meanwhile goes to standard output, also where that is a file.
    assert shown.out == "an answer\n"
    assert "planning" in shown.err
    assert "50 %" in shown.err


def test_bars_claim_no_share_of_work_that_nobody_has_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with files.progress("reading") as progress:
        progress(40_000, 0)
    with files.progress("proving", counted=False) as progress:
        progress(1, 3)
    said = capsys.readouterr().err
    assert "40000" in said
    assert "%" not in said
    with files.progress("checking") as progress:
        progress(999_999, 1_000_000)
    said = capsys.readouterr().err
    assert "99 %" in said
    assert "100 %" not in said


def test_work_that_tells_nothing_is_seen_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.01)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with files.progress("trials"):
        deadline = time.monotonic() + 20
        said = ""
        while "trials" not in said and time.monotonic() < deadline:
            time.sleep(0.02)
            said += capsys.readouterr().err
    assert "trials" in said
    assert "%" not in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*P, "--requests", "3"), "--sigma must be given, or left to --optimize"),
        ((*FULL,), "--requests must be given"),
        (("plan", "--preset", "mnist", "--sigma", "1", "--requests", "3"), "epsilon must be given"),
        ((*FULL, "--requests", "0"), "requests must be a whole number from 1, got 0"),
        ((*FULL, "--requests", "-3"), "requests must be a whole number from 1, got -3"),
        ((*FULL, "--requests", "nowhere.csv"), "requests file nowhere.csv cannot be read"),
        ((*FULL, "--requests", "nowhere.csv", "--points", "2"), "points must be left out where requests is a file, got 2"),
        ((*FULL, "--requests", "3", "--points", "0"), "points must be a whole number from 1, got 0"),
        ((*FULL, "--requests", "3", "--points", "4000"), "requests must delete at most n = 11264 points in all, got 12000"),
        ((*FULL, "--requests", "3", "--window", "7d"), "window must be left out where requests have no arrival times"),
        ((*FULL, "--requests", "3", "--deadline", "7d"), "deadline must be left out where requests have no arrival times"),
        ((*FULL, "--requests", "3", "--optimize"), "optimize has nothing to choose"),
        ((*FULL, "--requests", "3", "--max-sigma", "1"), "--max-sigma must be left out without --optimize, got 1"),
        ((*FULL, "--requests", "3", "--optimize", "--max-sigma", "1"), "--max-sigma must be left out where sigma is given"),
        ((*FULL, "--requests", "3", "--unit", "days"), "unit must be one of steps, epochs, got 'days'"),
        (
            (*FULL, "--requests", "3", "--first-bound", "best"),
            "--first-bound must be one of paper, paper-geometric, got 'best'",
        ),
        ((*FULL, "--requests", "3", "--retrain-epochs", "0"), "--retrain-epochs must be a whole number from 1"),
        ((*FULL, "--requests", "3", "--sigma", "nan"), "--sigma must be a number, got 'nan'"),
        ((*FULL, "--requests", "3", "--plot", "cost.pdf"), "plot must end in .png or .svg, got 'cost.pdf'"),
        ((*FULL, "--requests", "a.csv", "--csv", "./a.csv"), "--csv must be another file than --requests, got './a.csv'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(words: tuple[str, ...], says: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("epochs", [0, -3, 1.5, True])
def test_a_retraining_is_whole_epochs_in_python_too(epochs: Any) -> None:
    for ask in (lambda: make_plan(MNIST, [1], sigma=0.1, epsilon=1.0, retrain_epochs=epochs),
                lambda: trade_off(MNIST, [1], epsilon=1.0, retrain_epochs=epochs)):  # fmt: skip
        with pytest.raises(InputError, match="retrain_epochs must be a whole number from 1"):
            ask()


def test_bad_requests_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text("time\n5\n3\n")
    result = run(*FULL, "--requests", str(path))
    assert result.exit_code == 2
    assert "line 3: times must be sorted" in result.stderr
    path.write_text("time\n3\n5\n")
    result = run(*FULL, "--requests", str(path), "--window", "2d", "--deadline", "1d")
    assert "window must be at most the deadline, 86400 seconds, got 172800 seconds" in result.stderr


def test_the_help_has_an_example() -> None:
    result = run("plan", "--help")
    assert result.exit_code == 0
    assert "Example: accountant plan" in result.stdout
