"""The experiments of figure 3: rows are the accountant's own numbers, files are complete or absent, bad input is refused."""

import csv
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA
from typer.testing import CliRunner

from accountant import PNSGD, InputError, UnlearningAccountant, UnlearningStream, preset
from accountant import reproduction as figures
from accountant.commands import experiments
from accountant.commands.program import app
from accountant.reproduction import experiments as plans
from accountant.reproduction import runner, running
from accountant.tables import builtin
from accountant.trainer import Digits
from accountant.trainer.data import unit_rows

pytest.importorskip("sklearn")
MNIST = preset("mnist")
FILES = [f"figure3a.{kind}" for kind in ("csv", "png", "svg")]


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["reproduce", *words])


def refused(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert result.stdout == ""
    # Old names of options are noted before.
    *notes, said = result.stderr.splitlines(keepends=True)
    assert said.startswith("Error: "), result.stderr
    assert all(note.startswith("Note: ") for note in notes), result.stderr
    return str(said)


@lru_cache
def plan_of(name: str) -> figures.Experiment:
    return figures.experiment(name, MNIST.n)


def synthetic(n: int = 200) -> Digits:
    rng = np.random.default_rng(0)
    x = unit_rows(rng.standard_normal((n + 50, 4)))
    y = np.where(x[:, 0] > 0, 1, -1)
    return Digits(x[:n], y[:n], x[n:], y[n:])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Figure 3a of the digits, on disk and on the screen."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("made") / "new"
    result = run("figure3a", "--out", str(folder), "--trials", "2", "--json")
    assert result.exit_code == 0, result.output
    return folder, result


# --- what is planned


@pytest.mark.parametrize(("name", "count"), [("figure3a", 67), ("figure3b", 12), ("figure3c", 36), ("figure3d", 36)])
def test_noise_and_steps_are_the_accountants_own(name: str, count: int) -> None:
    cells = plan_of(name).cells
    assert len(cells) == count
    for cell in cells:
        size = cell.setup.algorithm.batch_size
        if cell.method == "optimal":
            accountant = UnlearningAccountant(PNSGD(MNIST, size))
            if name == "figure3a":
                assert cell.sigma == accountant.sigma(epsilon=cell.epsilon, epochs=1)
            elif cell.points == 1:
                stream = UnlearningStream(accountant, sigma=cell.sigma, epsilon=cell.epsilon, unit="steps")
                assert cell.counts[:10] == tuple(stream.request() for _ in range(10))
                assert len(cell.counts) == 100
        if cell.method == "paper":
            assert cell.sigma == UnlearningAccountant(PNSGD(MNIST, size), bound="paper").sigma(epsilon=cell.epsilon, epochs=1)


def test_the_published_noise_and_lists_are_planned() -> None:
    cells = plan_of("figure3a").cells
    published = {
        (row["batch_size"], float(row["epsilon"])): float(row["sigma"])
        for row in builtin("accuracies").rows()
        if row["experiment"] == "baseline_nonconvergent"
    }
    own = {(str(cell.batch_size), cell.epsilon): cell.sigma for cell in cells if cell.method == "not-converged"}
    assert own == pytest.approx(published, rel=2e-5)
    noise = {cell.method: cell.sigma for cell in cells if (cell.batch_size, cell.epsilon) == ("full", 0.05)}
    assert (noise["paper"], noise["optimal"]) == pytest.approx((0.66695533, 0.072046652), rel=1e-7)
    for name, apart in (("figure3b", {0, 1}), ("figure3d", {0})):
        listed = [cell for cell in plan_of(name).cells if cell.reported_epochs]
        assert len(listed) == (3 if name == "figure3b" else 18)
        per_epoch = [cell.setup.algorithm.steps_per_epoch for cell in listed]
        totals = {sum(cell.counts) // each - sum(cell.reported_epochs) for cell, each in zip(listed, per_epoch, strict=True)}
        assert totals == apart


def test_stretches_are_cut_only_where_nothing_of_the_start_is_left() -> None:
    for name in figures.EXPERIMENTS:
        for cell in plan_of(name).cells:
            algorithm = cell.setup.algorithm
            enough = runner.mixing_steps(cell)
            assert enough % algorithm.steps_per_epoch == 0
            assert cell.family != "pnsgd" or algorithm.contraction**enough <= 1e-6
            for count in cell.counts:
                cut = runner.cut_steps(cell, count)
                assert cut == count or (enough <= cut <= count and (count - cut) % algorithm.steps_per_epoch == 0)


def test_other_names_and_too_few_points_are_refused() -> None:
    with pytest.raises(InputError, match="figure3a, figure3b, figure3c, figure3d"):
        figures.experiment("figure2", 300)
    with pytest.raises(InputError, match="n must be a whole number from 200, got 199"):
        figures.experiment("figure3b", 199)
    plan = figures.experiment("figure3b", 200)
    with pytest.raises(InputError, match="200 points of the experiment, got 210"):
        figures.run(plan, synthetic(210), trials=1)
    with pytest.raises(InputError, match="trials must be a whole number from 1, got 0"):
        figures.run(plan, synthetic(), trials=0)


# --- what is measured


def test_rows_follow_the_cells_and_depend_on_the_seed_alone() -> None:
    plan = figures.experiment("figure3b", 200)
    small = replace(plan, cells=plan.cells[:4])
    calls: list[tuple[int, int]] = []
    rows = figures.run(small, synthetic(), trials=3, seed=1, progress=lambda done, total: calls.append((done, total)))
    assert rows == figures.run(small, synthetic(), trials=3, seed=1)
    assert rows != figures.run(small, synthetic(), trials=3, seed=2)
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1]
    expected = [(cell, mark) for cell in small.cells for mark in cell.marks]
    for row, (cell, mark) in zip(rows, expected, strict=True):
        assert (row.method, row.sigma, row.requests, row.deleted) == (cell.method, cell.sigma, mark, mark * cell.points)
        assert row.steps == sum(cell.counts[:mark])
        assert row.epochs == row.steps / cell.setup.algorithm.steps_per_epoch
        assert 0 <= row.accuracy <= 1
        assert row.standard_error == pytest.approx(row.accuracy_std / np.sqrt(3))
        # What was published is about MNIST.
        assert row.reported_accuracy is None
        assert row.difference is None


def interrupted(plan: figures.Experiment, path: Path | None, cells: int, **options: Any) -> figures.Kept:
    """A run that was ended after so many cells."""
    kept = figures.Kept(path, figures.key_of(plan, synthetic(), trials=2, seed=1))

    def stop(number: int) -> None:
        if len(kept) == cells:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        figures.run(plan, synthetic(), trials=2, seed=1, kept=kept, finished=stop, **options)
    return kept


@pytest.mark.parametrize("cells", [1, 2, 5, 11])
def test_a_run_goes_on_after_the_cells_that_it_finished(cells: int, tmp_path: Path) -> None:
    """Between cells that share learned models, too, whose requests draw one after the other."""
    plan = figures.experiment("figure3b", 200)
    whole = figures.run(plan, synthetic(), trials=2, seed=1)
    interrupted(plan, tmp_path / "kept.json", cells)
    again = figures.Kept(tmp_path / "kept.json", figures.key_of(plan, synthetic(), trials=2, seed=1))
    ran: list[int] = []
    assert len(again) == cells
    assert figures.run(plan, synthetic(), trials=2, seed=1, kept=again, finished=ran.append) == whole
    assert ran == list(range(cells, len(plan.cells)))


def test_rows_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    plan = figures.experiment("figure3b", 200)
    whole = figures.run(plan, synthetic(), trials=2, seed=1)
    assert figures.run(plan, synthetic(), trials=2, seed=1, jobs=2) == whole
    kept = interrupted(plan, tmp_path / "kept.json", 3)
    assert figures.run(plan, synthetic(), trials=2, seed=1, kept=kept, jobs=2) == whole


def test_cells_of_other_settings_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, digits = figures.experiment("figure3b", 200), synthetic()
    interrupted(plan, tmp_path / "kept.json", 3)
    key = figures.key_of(plan, digits, trials=2, seed=1)
    others = {
        figures.key_of(plan, digits, trials=3, seed=1),
        figures.key_of(plan, digits, trials=2, seed=2),
        figures.key_of(replace(plan, cells=plan.cells[1:]), digits, trials=2, seed=1),
        figures.key_of(plan, replace(digits, features=-digits.features), trials=2, seed=1),
    }
    monkeypatch.setattr("accountant.reproduction.kept.__version__", "0.0")
    others.add(figures.key_of(plan, digits, trials=2, seed=1))
    assert len(others | {key}) == 6
    assert len(figures.Kept(tmp_path / "kept.json", key)) == 3
    assert not any(len(figures.Kept(tmp_path / "kept.json", other)) for other in others)


def test_cells_of_no_seed_are_not_kept(tmp_path: Path) -> None:
    kept = figures.Kept(tmp_path / "kept.json", "any")
    with pytest.raises(InputError, match="seed must be given"):
        figures.run(figures.experiment("figure3b", 200), synthetic(), trials=1, seed=None, kept=kept)


def test_what_is_left_is_told_from_what_cells_took(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(experiments.time, "perf_counter", lambda: now[0])
    clock = experiments.Clock("figure3b", [10.0] * 8, figures.Kept(None, ""), share=2)
    assert clock.left == 40
    clock.start()
    for number, seconds in enumerate([5.0, 5.0, 20.0, 20.0]):
        now[0] += seconds
        clock.finished(number)
    # Twice as slow as it was said to be: four of eight settings in 50 s.
    assert clock.left == 50
    assert capsys.readouterr().err == "figure3b: 3 of 8 settings done, about 50 seconds left\n"


def test_less_noise_learns_better_and_one_trial_has_no_spread() -> None:
    plan = figures.experiment("figure3a", 200)
    chosen = [cell for cell in plan.cells if cell.batch_size == "full" and cell.epsilon in (0.0, 5.0)]
    rows = {row.method: row for row in figures.run(replace(plan, cells=tuple(chosen)), synthetic(), trials=1) if row.requests}
    assert rows["retrain"].accuracy > 0.9
    assert rows["optimal"].sigma < rows["paper"].sigma / 5
    assert {row.accuracy_std for row in rows.values()} == {None}


def test_reported_accuracies_stand_beside_the_same_place_of_the_figure() -> None:
    found = np.array([0.8, 0.84])
    cells = {(cell.method, cell.batch_size, cell.epsilon): cell for cell in plan_of("figure3a").cells}
    row = running.row_of(cells["not-converged", 128, 0.05], 0, found)
    assert (row.reported_accuracy, row.reported_trials) == (pytest.approx(0.8232560503), 100)
    error = 0.04777700319128358 * np.sqrt(1 / 100 + 1 / 2)
    assert row.difference == pytest.approx((0.82 - 0.8232560503482819) / error)
    other = running.row_of(cells["langevin", "full", 0.5], 1, found)
    assert (other.reported_sigma, other.difference) == (0.00019, None)
    stream = running.row_of(plan_of("figure3b").cells[4], 100, found)
    assert (stream.batch_size, stream.epochs, stream.reported_epochs) == ("full", 887, 886)
    assert stream.reported_accuracy is not None
    assert stream.difference is not None


@pytest.mark.skipif(not (DATA / "accuracies.csv").exists(), reason="needs the published data")
def test_shipped_accuracies_are_the_published_ones() -> None:
    with open(DATA / "accuracies.csv", encoding="utf-8", newline="") as file:
        published = {
            (row["method"], row["experiment"], row["variant"], row["batch_size"], row["step"], row["acc_mean"], row["epsilon"])
            for row in csv.DictReader(file)
        }
    for row in builtin("accuracies").rows():
        size = "0" if row["batch_size"] == "full" else row["batch_size"]
        place = row["method"], row["experiment"], row["variant"], size, row["deleted"], row["accuracy_mean"], row["epsilon"]
        assert place in published


# --- the command


def test_files_rows_and_summary(made: tuple[Path, Any]) -> None:
    folder, result = made
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert re.fullmatch(
        r"figure3a: 67 settings, 2 trials each, on scikit-learn.*, 256 points \(--data for MNIST\): about \d+ seconds?\n",
        result.stderr,
    )
    record = json.loads(result.stdout, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (record["command"], record["trials"], record["seed"], record["data"]["n"]) == ("reproduce", 2, 0, 256)
    (experiment,) = record["experiments"]
    assert experiment["files"] == [str(folder / name) for name in FILES]
    with open(folder / "figure3a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == figures.Row._fields
    assert len(rows) == len(experiment["rows"]) == 133
    for row, other in zip(rows, experiment["rows"], strict=True):
        assert {name: "" if value is None else str(value) for name, value in other.items()} == row
    problem = replace(MNIST, n=256)
    for row in rows:
        if row["method"] == "optimal":
            size = row["batch_size"]
            accountant = UnlearningAccountant(PNSGD(problem, size if size == "full" else int(size)))
            assert float(row["sigma"]) == accountant.sigma(epsilon=float(row["epsilon"]), epochs=1)
    assert (folder / "figure3a.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "figure3a.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_the_same_seed_gives_the_same_rows(made: tuple[Path, Any], tmp_path: Path) -> None:
    result = run("figure3a", "--out", str(tmp_path), "--trials", "2", "--seed", "0")
    assert result.exit_code == 0
    assert (tmp_path / "figure3a.csv").read_bytes() == (made[0] / "figure3a.csv").read_bytes()
    assert max(map(len, result.stdout.splitlines())) <= 80
    other = json.loads(run("figure3a", "--out", str(tmp_path), "--trials", "2", "--seed", "1", "--json").stdout)
    assert other["experiments"][0]["rows"] != json.loads(made[1].stdout)["experiments"][0]["rows"]


def test_a_run_that_was_killed_goes_on_where_it_was(made: tuple[Path, Any], tmp_path: Path) -> None:
    """kill -9 in the middle, then the same command: the same files, and settings that were finished are not run again."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "accountant", "reproduce", "figure3a", "--out", str(out), "--trials", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 300
    while not (out / experiments.KEPT).exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not list(out.glob("figure3a.*"))
    (cells,) = json.loads((out / experiments.KEPT).read_text())["experiments"].values()
    assert 0 < len(cells) < 67
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f", {len(cells)} of them kept in {out / experiments.KEPT}: about" in again.stderr
    assert (out / "figure3a.csv").read_bytes() == (made[0] / "figure3a.csv").read_bytes()
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == FILES


def test_all_runs_every_experiment_and_shared_ones_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    real, runs = figures.run, []

    def counted(plan: figures.Experiment, digits: Digits, **options: Any) -> list[figures.Row]:
        runs.append(plan.name)
        return real(plan, digits, **options)

    monkeypatch.setattr(figures, "run", counted)
    for name, fewer in (("_REQUESTS", 10), ("_GROUPS", (5, 10)), ("_SIGMAS", (0.1, 1.0))):
        monkeypatch.setattr(plans, name, fewer)
    plans._tradeoff.cache_clear()
    assert run("--all", "--out", str(tmp_path), "--trials", "1").exit_code == 0
    names = [f"{name}.{kind}" for name in figures.EXPERIMENTS for kind in ("csv", "png", "svg")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert runs == ["figure3a", "figure3b", "figure3c"]
    plans._tradeoff.cache_clear()
    assert (tmp_path / "figure3c.csv").read_bytes() == (tmp_path / "figure3d.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("figure3a",), "--out or --data must be given for figure3a"),
        (("--all",), "WHAT must be given"),
        (("--out", "new"), "WHAT must be given, one of figure3a"),
        (("table3", "--out", "new"), "figure3a, figure3b, figure3c, figure3d"),
        (("figure3d", "--trials", "3"), "--trials must go with --out or --data"),
        (("figure3d", "--seed", "3"), "--seed must go with --out or --data"),
        (("figure3d", "--jobs", "2"), "--jobs must go with --out or --data"),
        (("figure3d", "--keep", "a.json"), "--keep must go with --out or --data"),
        (("figure3a", "--out", "new", "--jobs", "0"), "jobs must be a whole number from 1, or -1"),
        (("figure3a", "--out", "new", "--keep", "file.npz"), "keep must be a file of finished cells"),
        (("figure3a", "--out", "new", "--keep", "taken"), "keep file taken cannot be read"),
        (("figure3a", "--out", "new", "--trials", "0"), "trials must be a whole number from 1, got 0"),
        (("figure3a", "--out", "new", "--seed", "-1"), "seed must be a whole number from 0, got -1"),
        (("figure3a", "--out", "file.npz"), "out folder file.npz cannot be written"),
        (("figure3a", "--out", "file.npz/new"), "out folder file.npz/new cannot be written"),
        (("figure3a", "--out", "taken"), "exists and is no file that may be replaced"),
        (("figure3a", "--out", "new", "--data", "file.npz"), "file.npz"),
        (("figure3a", "--out", "new", "--data", "missing.npz"), "missing.npz"),
        (("figure3a", "--out", "new", "--data", "taken"), "train-images-idx3-ubyte"),
        (("figure3a", "--out", "new", "--csv", "a.csv"), "csv must be left out"),
        (("figure3a", "--out", "new", "--plot", "a.png"), "plot must be left out"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], wanted: str
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.npz").write_bytes(b"no arrays")
    (tmp_path / "taken" / "figure3a.png").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(figures, "run", lambda *args, **options: pytest.fail("this must not be reached"))
    assert wanted in refused(*words)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_but_finished_settings_is_left_of_a_run_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")

    def broken(*args: Any, **options: Any) -> None:
        raise InputError("sigma must be small enough")

    monkeypatch.setattr(experiments.pictures, "save", broken)
    result = run("figure3a", "--out", str(tmp_path / "new"), "--trials", "1")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "Error: sigma must be small enough"
    # But for what it took to run.
    assert [path.name for path in (tmp_path / "new").iterdir()] == [experiments.KEPT]


def test_data_alone_prints_without_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = np.random.default_rng(0).integers(1, 255, (11300, 4, 4), dtype=np.uint8), np.resize([3, 8], 11300)
    arrays = {"train_images": images, "train_labels": labels, "test_images": images[:50], "test_labels": labels[:50]}
    np.savez(tmp_path / "data.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    real = figures.experiment

    def shorter(name: str, n: int) -> figures.Experiment:
        plan = real(name, n)
        return replace(plan, cells=tuple(cell for cell in plan.cells if cell.family == "retrain"))

    monkeypatch.setattr(figures, "experiment", shorter)
    result = run("figure3a", "--data", "data.npz", "--trials", "1")
    assert result.exit_code == 0, result.output
    assert "MNIST, 11264 points" in result.stderr
    assert "retrain" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


def test_a_disk_that_is_full_leaves_the_figures_that_were_there(
    made: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FILES:
        (tmp_path / name).write_text("old")

    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    result = run("figure3a", "--out", str(tmp_path), "--trials", "2")
    monkeypatch.undo()
    assert result.exit_code == 2
    assert "cannot be written: No space left on device" in result.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(FILES, "old")
