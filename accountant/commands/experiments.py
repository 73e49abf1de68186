"""The experiments of ``accountant reproduce``: what is run, the files that it makes, and how it looks on the screen."""

from __future__ import annotations

import json as json_module
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from accountant.commands import files, layout, pictures, present
from accountant.commands.figures import write_picture
from accountant.numerics import InputError, check_jobs, integer, processes, remove_unfinished

if TYPE_CHECKING:
    from accountant.reproduction import Experiment, Kept, Row
    from accountant.trainer import Digits

    #: What was run, its rows, and the seconds it took.
    _Result = tuple[Experiment, list[Row], float]

#: Trials where none are asked for.
TRIALS: Final = 20
#: Rows that are kept of scikit-learn's digits, so that batches of 8 and 32 come out even.
_SMALL_ROWS: Final = 256
#: Finished settings beside the output, until it is there.
KEPT: Final = "unfinished.json"
#: Seconds before an estimate is corrected, and how wrong it must be.
_SOON: Final = 10.0
_WRONG: Final = 1.5
_KINDS: Final = ("csv", "png", "svg")
_TITLES: Final = (
    "method",
    "batch",
    "eps",
    "sigma",
    "points\ndeleted",
    "epochs",
    "accuracy\n%",
    "reported\n%",
    "off by\n(s.e.)",
)


def run(
    names: tuple[str, ...],
    *,
    out: str | None,
    data: str | None,
    trials: int,
    seed: int,
    jobs: int | None,
    keep: str | None,
    as_json: bool,
    everything: bool,
) -> None:
    """Run the experiments of these figures, write their files to the folder ``out``, and print what was found."""
    from accountant.reproduction import Kept, experiment, key_of
    from accountant.reproduction import run as run_experiment
    from accountant.reproduction import seconds as expected_seconds

    integer("trials", trials, at_least=1)
    integer("seed", seed, at_least=0)
    check_jobs(jobs)
    if out is not None:
        pictures.check("figure.png")
    digits, source = _data(data)
    results: list[_Result] = []
    with ExitStack() as cleanup:
        if out is not None:
            cleanup.enter_context(_folder(out))
        pending = [cleanup.enter_context(_files(name, out)) for name in names]
        plans = [experiment(name, digits.labels.size) for name in names]
        # Figures of one experiment share its rows.
        cells = {plan.cells: plan for plan in plans}
        place = keep if keep is not None or out is None else os.path.join(out, KEPT)
        kept = {key: Kept(place, key_of(plan, digits, trials=trials, seed=seed)) for key, plan in cells.items()}
        clocks = {
            key: Clock(plan.name, expected_seconds(plan, digits, trials=trials), kept[key], share=processes(jobs))
            for key, plan in cells.items()
        }
        settings = present.plural(sum(len(plan.cells) for plan in cells.values()), "setting")
        what = f"{', '.join(names)}: {settings}, {present.plural(trials, 'trial')} each, on {source}"
        done = sum(map(len, kept.values()))
        there = f", {done} of them kept in {place}" if done else ""
        print(f"{what}{there}: about {_duration(sum(clock.left for clock in clocks.values()))}", file=sys.stderr, flush=True)
        found: dict[Any, list[Row]] = {}
        for plan, (stack, paths) in zip(plans, pending, strict=True):
            started = time.perf_counter()
            if plan.cells not in found:
                clocks[plan.cells].start()
                with files.progress(f"training for {plan.name}") as progress:
                    found[plan.cells] = run_experiment(
                        plan, digits, trials=trials, seed=seed, jobs=jobs, kept=kept[plan.cells],
                        finished=clocks[plan.cells].finished, progress=progress,
                    )  # fmt: skip
            rows = found[plan.cells]
            for kind, path in paths.items():
                _WRITERS[kind](path, plan, rows)
            # These files are complete, whatever happens to the next figure.
            stack.close()
            results.append((plan, rows, time.perf_counter() - started))
        if keep is None and place is not None:
            # All that it was for is written.
            Path(place).unlink(missing_ok=True)
            remove_unfinished(place)
    if as_json:
        record = _record(results, out=out, source=source, digits=digits, trials=trials, seed=seed)
        print(json_module.dumps(record, allow_nan=False))
        return
    for plan, rows, seconds in results:
        _show(plan, rows, everything)
        end = "" if out is None else f"; written to {out}: " + ", ".join(f"{plan.name}.{kind}" for kind in _KINDS)
        layout.console().print(layout.bullet(f"{source}, seed {seed}, {_duration(seconds)}{end}"))


def _record(
    results: list[_Result], *, out: str | None, source: str, digits: Digits, trials: int, seed: int
) -> dict[str, object]:
    """The JSON object of all experiments that were run."""
    from accountant._version import __version__

    return {
        "command": "reproduce",
        "data": {"source": source, "n": int(digits.labels.size), "dimension": int(digits.features.shape[1])},
        "trials": trials,
        "seed": seed,
        "experiments": [
            {
                "name": plan.name,
                "title": plan.title,
                "notes": list(plan.notes),
                "files": [] if out is None else list(places(out, plan.name).values()),
                "rows": [row._asdict() for row in rows],
            }
            for plan, rows, _ in results
        ],
        "version": __version__,
    }


def _data(path: str | None) -> tuple[Digits, str]:
    """The points to learn and what to call them."""
    from accountant.trainer import load, load_digits

    if path is not None:
        digits = load(path)
        return digits, f"MNIST, {digits.labels.size} points"
    digits = load_digits(rows=_SMALL_ROWS)
    return digits, f"scikit-learn's digits, {digits.labels.size} points (--data for MNIST)"


@contextmanager
def _folder(path: str) -> Iterator[None]:
    """A folder, made if it is not there and then removed if nothing came of it."""
    made = not os.path.isdir(path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"out folder {path} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        if made and not os.listdir(path):
            os.rmdir(path)


@contextmanager
def _files(name: str, out: str | None) -> Iterator[tuple[ExitStack, dict[str, Path]]]:
    """The files of a figure by kind; closing the stack puts them in their places."""
    with ExitStack() as stack:
        paths: dict[str, Path] = {}
        for kind, place in ({} if out is None else places(out, name)).items():
            path = stack.enter_context(files.replacing("out", place))
            assert path is not None
            paths[kind] = path
        yield stack, paths


def places(out: str, name: str) -> dict[str, str]:
    """Where the files of a figure go in the folder ``out``, by kind."""
    return {kind: os.path.join(out, f"{name}.{kind}") for kind in _KINDS}


class Clock:
    """How long an experiment still takes, in seconds: as the trial of each batch size said, then as finished cells took.

    costs: expected of every cell in one process. share: processes that share them. What was said is corrected on standard error
    once that has turned out wrong by half, after ten seconds or more.
    """

    def __init__(self, name: str, costs: list[float], kept: Kept, *, share: int) -> None:
        self.name = name
        self.waiting = {number: cost / share for number, cost in enumerate(costs) if number not in kept}
        self.total = len(self.waiting)
        self.left = self.said = sum(self.waiting.values())
        self.began, self.done = time.perf_counter(), 0.0

    def start(self) -> None:
        """Now."""
        self.began = time.perf_counter()

    def finished(self, number: int) -> None:
        """A cell is done."""
        self.done += self.waiting.pop(number, 0.0)
        elapsed = time.perf_counter() - self.began
        self.left = elapsed / self.done * sum(self.waiting.values()) if self.done > 0 else self.left
        whole = elapsed + self.left
        if elapsed > _SOON and self.waiting and not 1 / _WRONG < whole / max(self.said, 1.0) < _WRONG:
            self.said = whole
            ready = f"{self.total - len(self.waiting)} of {self.total} settings done"
            print(f"{self.name}: {ready}, about {_duration(self.left)} left", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return present.plural(max(round(seconds), 1), "second")
    return f"{round(seconds / 60)} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _write_rows(path: Path, plan: Experiment, rows: list[Row]) -> None:
    files.write_rows(path, [row._asdict() for row in rows])


_WRITERS: Final[dict[str, Any]] = {
    "csv": _write_rows,
    "png": partial(write_picture, kind="png"),
    "svg": partial(write_picture, kind="svg"),
}


def _show(plan: Experiment, rows: list[Row], everything: bool) -> None:
    screen = layout.console()
    screen.print(f"{plan.name}: {plan.title}", style="italic")
    table = layout.numbers(_TITLES)
    # A cell's rows follow one another, with more and more requests.
    ends = [row for row, after in zip(rows, [*rows[1:], rows[0]], strict=True) if after.requests <= row.requests]
    shown = rows if everything else ends
    for row in shown:
        table.add_row(*_cells(row))
    screen.print(table)
    if len(shown) < len(rows):
        screen.print(f"{len(shown)} rows of {len(rows)}, after the last deletion (--all or the CSV show the others)")
    for line in plan.notes:
        screen.print(layout.bullet(line))


def _cells(row: Row) -> Iterator[str]:
    yield row.method
    yield str(row.batch_size)
    yield "-" if row.epsilon is None else f"{row.epsilon:g}"
    yield f"{row.sigma:.4g}"
    yield str(row.deleted) if row.points_each == 1 else f"{row.requests} x {row.points_each}"
    yield f"{row.epochs:.4g}"
    yield f"{100 * row.accuracy:.1f}" + ("" if row.standard_error is None else f" ±{100 * row.standard_error:.1f}")
    yield "-" if row.reported_accuracy is None else f"{100 * row.reported_accuracy:.1f}"
    yield "-" if row.difference is None else f"{row.difference:+.1f}"
