"""The pages of ``accountant plan`` and ``accountant curve``: what requests cost as they come, and what a run proves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from accountant.commands import origin, page
from accountant.commands.page import Cell, Curve, Fact, Line, Page, Rows, Section, Series, number, whole
from accountant.commands.page_compare import settings
from accountant.commands.plan_rows import moments
from accountant.commands.present import names_of, plural
from accountant.numerics import InputError, digits

if TYPE_CHECKING:
    from accountant.questions import UnlearningAccountant

#: Rows of a longer plan that are listed: the first and the last ones.
_FIRST, _LAST = 2000, 1000
#: Points of a picture, at most; numbers of steps at which epsilon is computed.
_POINTS: Final = 1500
_STEPS: Final = 40
_Record = Mapping[str, Any]
_ABOUT_COSTS: Final = "Per-sample gradient evaluations so far."


def save(
    part: Path, result: _Record, *, told: Sequence[str], warned: bool = False, accountant: UnlearningAccountant | None = None,
    files: Sequence[tuple[str, str, str]] = (),
) -> None:  # fmt: skip
    """Write the page of a plan. result: what ``--json`` prints; told: the answer, and what is said with it.

    accountant: of epsilon against steps, where it is drawn.
    """
    curve = None
    if accountant is not None and result["requests"]:
        steps = result["requests"][0]["steps"]
        curve = epsilon_against_steps(accountant.epsilon, sigma=result["sigma"], delta=result["delta"], steps=steps,
                                      epsilon=result["epsilon"])  # fmt: skip
    page.save(part, planned(result, told=told, warned=warned, steps=curve, files=files))


def save_curve(
    part: Path, result: _Record, *, epsilon: Callable[..., Any] | None = None, files: Sequence[tuple[str, str, str]] = ()
) -> None:
    """Write the page of a privacy curve. epsilon: the accountant's, of epsilon against steps, where it is drawn."""
    curve = None
    if epsilon is not None and result["steps"]:
        curve = epsilon_against_steps(epsilon, sigma=result["sigma"], delta=result["delta"], steps=result["steps"])
    page.save(part, proved(result, steps=curve, files=files))


def epsilon_against_steps(
    of: Callable[..., Any], *, sigma: float, delta: float, steps: int, epsilon: float | None = None
) -> Curve | None:
    """epsilon of one request after 0, 1, ... steps with this noise; None where it is not known for other numbers of steps."""
    counts = sorted({round(place) for place in (0, *(_geometric(1, max(2 * steps, 20))))} | {steps})
    try:
        values = [float(of(sigma=sigma, delta=delta, steps=count)) for count in counts]
    except InputError:
        # A schedule says how many there are, say.
        return None
    found = [(count, value) for count, value in zip(counts, values, strict=True) if math.isfinite(value) and value > 0]
    if len(found) < 2:
        return None
    series = [Series("proved", [count for count, _ in found], [value for _, value in found], 0)]
    if epsilon:
        series.append(Series("asked for", [found[0][0], found[-1][0]], [epsilon, epsilon], 1))
    return Curve(
        "steps", "epsilon of one request against the number of noisy steps; the numbers stand below.", "noisy steps",
        "ε, at most", series, marks=[(steps, plural(steps, "step"))],
        caption=f"One request at δ = {digits(delta)} with σ = {digits(sigma)}.",
    )  # fmt: skip


def _geometric(first: float, last: float) -> Iterable[float]:
    return (first * (last / first) ** (at / (_STEPS - 1)) for at in range(_STEPS))


def planned(
    result: _Record, *, told: Sequence[str], warned: bool = False, steps: Curve | None = None,
    files: Sequence[tuple[str, str, str]] = (),
) -> Page:  # fmt: skip
    """The page of a plan."""
    requests = result["requests"]
    points = sum(row["points"] for row in requests)
    facts = [
        Fact("Requests processed", f"{len(requests):,}"),
        *([] if points == len(requests) else [Fact("Records deleted", f"{points:,}")]),
        Fact("Steps in all", f"{result['total_steps']:,}"),
        Fact("Gradients in all", f"{result['total_gradient_evaluations']:,}"),
        *([] if once(result) is None else [Fact("Gradients of a retraining", f"{once(result):,}")]),
        Fact("σ", digits(result["sigma"])), Fact("ε", digits(result["epsilon"])), Fact("δ", digits(result["delta"], 4)),
    ]  # fmt: skip
    sections = [Section("requests", "What is processed when", curve=costs(result), rows=_requests(result))]
    if steps is not None:
        sections.append(Section("steps", "What the first request takes", curve=steps))
    sections.append(Section("assumptions", "What this rests on", lists=[("", result["assumptions"])]))
    return Page(
        title="Plan of deletion requests",
        subtitle=f"{_data(result)}, made on {origin.today()}",
        answer=told[0],
        tone="warn" if warned else "good",
        notes=told[1:],
        facts=facts,
        sections=sections,
        origin=origin.lines("plan", files=files, settings=settings(result) | _about_plan(result)),
    )  # fmt: skip


def once(result: _Record) -> int | None:
    """Gradient evaluations of one retraining now; None where its epochs are not known."""
    known: int | None = result["requests"][-1]["retrain_once_gradient_evaluations"]
    return known


def costs(result: _Record) -> Curve:
    """What has been spent after every request, beside retraining."""
    rows = result["requests"]
    some = [*rows[: -1 : -(-len(rows) // _POINTS)], rows[-1]]
    dated = isinstance(rows[0]["time"], str)
    timed = result["longest_wait"] is not None
    places = [row["time"] if dated else row["time"] / 86_400 if timed else row["request"] for row in some]
    lines = [("unlearning", "total_gradient_evaluations")]
    if once(result) is not None:
        lines += [("retraining at every request", "retrain_each_gradient_evaluations"),
                  ("one retraining for all", "retrain_once_gradient_evaluations")]  # fmt: skip
    series = [
        Series(name, places, [float(row[key]) if row[key] else None for row in some], at, stairs=True)
        for at, (name, key) in enumerate(lines)
    ]
    marks = []
    if result["break_even"] is not None:
        row = rows[result["break_even"] - 1]
        marks = [(row["time"] if dated else row["time"] / 86_400 if timed else row["request"], "break-even")]
    across = "time of processing (UTC)" if dated else "time of processing, days" if timed else "deletion requests"
    return Curve(
        "cost", "Gradient evaluations so far against deletion requests, beside those of retraining; the numbers stand below.",
        across, "gradient evaluations so far", series, _ABOUT_COSTS, x="date" if dated else "linear", whole=not timed,
        marks=marks,
    )  # fmt: skip


def _requests(result: _Record) -> Rows:
    rows, timed = result["requests"], result["longest_wait"] is not None
    chosen = rows if len(rows) <= _FIRST + _LAST else [*rows[:_FIRST], *rows[-_LAST:]]
    titles = [
        "request", *(["processed"] if timed else []), "records", "steps", "epochs", "gradients", "gradients so far",
        "of retraining each time", "of retraining once",
    ]  # fmt: skip
    if "precise" in rows[0]:
        titles.append("ε to many digits")
    even = result["break_even"]
    caption = (
        ""
        if even is None
        else "The rows from break-even on can be chosen alone: there one retraining for all of them is cheaper."
    )
    if len(chosen) < len(rows):
        left = f"{len(rows) - len(chosen):,} of {len(rows):,} rows are left out: -o plan.csv writes all."
        caption = f"The first {_FIRST:,} and the last {_LAST:,} requests; {left} {caption}"
    when = _when(chosen) if timed else [[]] * len(chosen)
    return Rows("requests", titles, (_line(row, cells, even=even) for row, cells in zip(chosen, when, strict=True)), caption)


def _when(rows: Sequence[_Record]) -> list[list[Cell]]:
    """The cell of each row's time: a date, or how long after second 0."""
    if isinstance(rows[0]["time"], str):
        return [[Cell(row["time"][:16].replace("T", " "))] for row in rows]
    times = [float(row["time"]) for row in rows]
    return [[Cell(told, time)] for told, time in zip(moments(times), times, strict=True)]


def _line(row: _Record, when: list[Cell], *, even: int | None) -> Line:
    spent = row["total_gradient_evaluations"]
    shares = [
        number(other and spent / other, 3)
        for other in (row["retrain_each_gradient_evaluations"], row["retrain_once_gradient_evaluations"])
    ]
    cells = [
        whole(row["request"]), *when, whole(row["points"]), whole(row["steps"]), whole(row["epochs"]),
        whole(row["gradient_evaluations"]), whole(spent), *shares, *([Cell(str(row["precise"]))] if "precise" in row else []),
    ]  # fmt: skip
    return Line(cells, "" if even is None else "before break-even" if row["request"] < even else "from break-even on")


def _about_plan(result: _Record) -> dict[str, Any]:
    names = ("unit", "first_bound", "window", "deadline", "longest_wait", "retrain_epochs", "joined", "averaging")
    return {name: result[name] for name in names if result[name] not in (None, 0)}


def proved(result: _Record, *, steps: Curve | None = None, files: Sequence[tuple[str, str, str]] = ()) -> Page:
    """The page of a privacy curve."""
    delta = result["over"] == "delta"
    across, up = names_of(result)
    titles = ["δ", "ε"] if delta else ["order α", "Rényi divergence"]
    points = sorted(result["points"], key=lambda point: float(point[across]))
    lines = [
        Line([
            number(point[across], 10, down=not delta), number(point[up], 10),
            *([Cell(str(point["precise"]), float(point[up]))] if "precise" in point else []),
        ])
        for point in points
    ]  # fmt: skip
    more = ["to many digits"] if "precise" in points[0] else []
    curve = Curve(
        "curve", f"{up} against {across} of one run; the numbers stand below.", titles[0], f"{titles[1]}, at most",
        [Series("proved", [point[across] for point in points], [point[up] for point in points], 0)],
        "All points hold for the same run.", x="log", y="linear" if delta else "log", whole=False,
    )  # fmt: skip
    facts = [
        Fact("σ", digits(result["sigma"])), Fact("Steps", f"{result['steps']:,}"), Fact("ε", digits(result["epsilon"])),
        Fact("δ", digits(result["delta"], 4)),
    ]  # fmt: skip
    sections = [Section("points", "The curve", curve=curve, rows=Rows("points", [*titles, *more], lines))]
    sections += [] if steps is None else [Section("steps", "With more steps or fewer", curve=steps)]
    sections.append(Section("assumptions", "What this rests on", lists=[("", result["assumptions"])]))
    return Page(
        title=f"{'ε against δ' if delta else 'Rényi divergence against its order'}, of one run",
        subtitle=f"{_data(result)}, made on {origin.today()}",
        answer=f"ε = {digits(result['epsilon'])} at δ = {digits(result['delta'])}, with σ = {digits(result['sigma'])} after "
        f"{plural(result['steps'], 'step')} of unlearning.",
        tone="good",
        facts=facts,
        sections=sections,
        origin=origin.lines("curve", files=files, settings=settings(result)),
    )  # fmt: skip


def _data(result: _Record) -> str:
    problem, algorithm = result["problem"], result["algorithm"]
    if not problem or "n" not in problem:
        return str(algorithm.get("name", "common steps"))
    data = problem["preset"] or f"n = {problem['n']:,}"
    size = algorithm.get("batch_size")
    return str(data) if size is None else f"{data}, {'full batches' if size == problem['n'] else f'batches of {size:,}'}"
