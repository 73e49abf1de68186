"""The page of ``accountant compare``: which method leaves the least noise at one guarantee, and what each of them costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accountant.commands import field, origin, page
from accountant.commands.drawings import FAR, noise_by_epochs, noise_by_steps
from accountant.commands.page import Cell, Curve, Fact, Line, Page, Rows, Section, Series, number, whole
from accountant.commands.present import plural
from accountant.numerics import digits

if TYPE_CHECKING:
    from accountant.problem import Stepping
    from accountant.questions import Setup

_Record = Mapping[str, Any]


def save(
    part: Path, result: _Record, *, told: str, setup: Setup, epochs: int, files: Sequence[tuple[str, str, str]] = ()
) -> None:
    """Write the page of a comparison. result: what ``--json`` prints; told: the answer; epochs: of one request."""
    target = {"epsilon": result["epsilon"], "delta": result["delta"]}
    curve = noise_against_epochs(setup, target, epochs, [row["method"] for row in result["methods"]])
    page.save(part, compared(result, told=told, epochs=epochs, noise=curve, files=files))


def save_steps(part: Path, result: _Record, *, algorithm: Stepping, files: Sequence[tuple[str, str, str]] = ()) -> None:
    """The same for algorithms whose steps both runs share."""
    target = {"epsilon": result["epsilon"], "delta": result["delta"]}
    curve = noise_against_steps(algorithm, target, result["steps"], [row["method"] for row in result["methods"]])
    page.save(part, compared_steps(result, noise=curve, files=files))


def noise_against_epochs(setup: Setup, target: Mapping[str, float], epochs: int, names: Iterable[str]) -> Curve | None:
    """Noise in the released model over 1, 2, ... epochs; None where no method has an answer that depends on them."""
    near, far = noise_by_epochs(setup, target, epochs, (name for name in names if name not in ("dp", "retrain")))
    if not near:
        return None
    series = [Series(*line, style(line[0])) for line in near]
    return Curve(
        "noise", "Noise in the released model against epochs of unlearning, a line per method; the numbers stand below.",
        "unlearning epochs K", "noise in the released model", series, marks=[(epochs, "asked for")],
        caption="Standard deviation per coordinate of all the noise in the released model, at one guarantee: less is better."
        + (f" Off the scale, a million times and more: {', '.join(far)}." if far else ""),
    )  # fmt: skip


def noise_against_steps(algorithm: Stepping, target: Mapping[str, float], steps: int, names: Iterable[str]) -> Curve | None:
    """Noise of one step over the number of steps."""
    from accountant.methods import STEP_METHODS

    lines = noise_by_steps(algorithm, target, steps, names)
    series = [Series(*line, list(STEP_METHODS).index(line[0])) for line in lines]
    if not series:
        return None
    return Curve(
        "noise", "Noise of one step against the number of noisy steps, a line per method; the numbers stand below.",
        "noisy steps", "noise σ of one step", series, x="log", marks=[(steps, "asked for")],
        caption="What the same guarantee takes: lower is better.",
    )  # fmt: skip


def cost_against_requests(stream: _Record) -> Curve | None:
    """Gradient evaluations so far, request by request."""
    series = [
        Series(row["method"], range(1, len(row["gradient_evaluations"]) + 1), _positive(row["gradient_evaluations"]),
               style(row["method"]), stairs=True)
        for row in stream["methods"]
        if row["reason"] is None and max(row["gradient_evaluations"], default=0) > 0
    ]  # fmt: skip
    if not series:
        return None
    return Curve(
        "cost", "Gradient evaluations so far against deletion requests, a line per method; the numbers stand below.",
        "deletion requests", "gradient evaluations so far", series,
        caption=f"What a stream of requests costs at the same guarantee, with σ = {stream['sigma']:g}. Nothing is drawn while "
        "nothing has been spent.",
    )  # fmt: skip


def compared(
    result: _Record, *, told: str, epochs: int, noise: Curve | None, files: Sequence[tuple[str, str, str]] = ()
) -> Page:
    """The page of methods about noisy SGD on batches."""
    rows, stream, group = result["methods"], result["stream"], result["group"]
    sections = [Section("single", "One request", curve=noise, rows=_methods("methods", rows))]
    if group:
        sections.append(
            Section("group", f"{group['points']} records at once", rows=_methods("methods for groups", group["methods"]))
        )
    if stream:
        title = f"A stream of {plural(stream['requests'], 'request')}"
        sections.append(Section("stream", title, curve=cost_against_requests(stream), rows=_streams(stream)))
    sections += [_field(rows), *_about(rows)]
    retrain, best = result["retrain_gradient_evaluations"], _least(rows, "released_std")
    facts = [Fact("ε", digits(result["epsilon"])), Fact("δ", digits(result["delta"], 4)), Fact("Epochs", f"{epochs:,}")]
    if best is not None:
        facts.insert(0, Fact("Least noise in the model", digits(best["released_std"], 4)))
        facts.append(Fact("Gradients of a request", f"{best['gradient_evaluations']:,}"))
    facts += [] if retrain is None else [Fact("Gradients of a retraining", f"{retrain:,}")]
    return Page(
        title="Methods of unlearning at one guarantee",
        subtitle=f"{_about_data(result)}, made on {origin.today()}",
        answer=told,
        tone="good" if best is not None else "warn",
        notes=[_answer(rows, best, "released_std", "noise in the model", plural(epochs, "epoch")), *_cost(best, retrain)],
        facts=facts,
        sections=sections,
        origin=origin.lines("compare", files=files, settings=settings(result)),
    )  # fmt: skip


def compared_steps(result: _Record, *, noise: Curve | None, files: Sequence[tuple[str, str, str]] = ()) -> Page:
    """The page of methods about common steps."""
    rows, best = result["methods"], _least(result["methods"], "sigma")
    lines = [
        Line(
            [
                Cell(row["method"]), _says(row), number(row["sigma"], 6),
                number(row["relative"]), whole(row["steps"]), whole(row["blocks"]),
            ],
            _group(row),
        )
        for row in _answered_first(rows)
    ]  # fmt: skip
    titles = ["method", "what it says", "σ of one step", "of the tightest", "steps", "blocks"]
    caption = "σ: standard deviation of one step's noise, per parameter; of output perturbation, of its only noise."
    facts = [
        Fact("ε", digits(result["epsilon"])),
        Fact("δ", digits(result["delta"], 4)),
        Fact("Steps", f"{result['steps']:,}"),
    ]
    return Page(
        title="Methods of unlearning at one guarantee",
        subtitle=f"{result['algorithm']['name']}, made on {origin.today()}",
        answer=_answer(rows, best, "sigma", "noise per step", plural(result["steps"], "step")),
        tone="good" if best is not None else "warn",
        notes=["Requests do not pile up: each starts again from a clipped model, and groups of any size cost the same."],
        facts=facts,
        sections=[
            Section("single", "One request", curve=noise, rows=Rows("methods", titles, lines, caption)),
            _field(rows),
            *_about(rows),
        ],
        origin=origin.lines("compare", files=files, settings=settings(result)),
    )  # fmt: skip


def settings(result: _Record) -> dict[str, Any]:
    """Everything that a record says of the run, by name."""
    algorithm = {name: value for name, value in (result["algorithm"] or {}).items() if not isinstance(value, Mapping)}
    if "name" in algorithm:
        algorithm = {"algorithm": algorithm.pop("name"), **algorithm}
    names = ("sigma", "epsilon", "delta", "bound", "batches", "reference", "group_size", "contraction", "noise_multiplier")
    return {**(result["problem"] or {}), **algorithm, **{name: result[name] for name in names if name in result}}


def style(name: str) -> int:
    """The colour of a method, the same in every picture."""
    from accountant.methods import METHODS, VARIANTS

    known = [*METHODS, *VARIANTS]
    return known.index(name) if name in known else 0


def _answer(rows: Sequence[_Record], best: _Record | None, key: str, what: str, after: str) -> str:
    if best is None:
        return "None of the methods has an answer; the reasons stand below."
    answered = (row for row in rows if row["reason"] is None and row[key])
    others = [row for row in answered if 1.001 * best[key] < row[key] <= FAR * best[key]]
    who = f"{best['method']} ({best['title']})"
    told = f"{who} gets along with the least {what} after {after}: a standard deviation of {digits(best[key], 4)}."
    if others:
        second, last = (choose(others, key=lambda row: float(row[key])) for choose in (min, max))
        told += f" The next, {second['method']}, takes {times(second[key] / best[key])} times as much"
        told += "." if second is last else f", {last['method']} {times(last[key] / best[key])} times."
    return told


def times(value: float) -> str:
    """A factor for people.

    >>> times(3.456), times(4152.7)
    ('3.46', '4,153')
    """
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _cost(best: _Record | None, retrain: int | None) -> list[str]:
    if best is None or not retrain or not best["gradient_evaluations"]:
        return []
    spent = best["gradient_evaluations"]
    who = f"One request by {best['method']} costs {spent:,} gradients"
    return [f"{who}, one retraining {retrain:,}: {times(retrain / spent)} times as many."]


def _least(rows: Iterable[_Record], key: str) -> _Record | None:
    """The method with the least noise among those that need some; None if there is none."""
    return min((row for row in rows if row["reason"] is None and row[key]), key=lambda row: float(row[key]), default=None)


def _answered_first(rows: Iterable[_Record]) -> list[_Record]:
    return sorted(rows, key=lambda row: row["reason"] is not None)


def _group(row: _Record) -> str:
    return "with an answer" if row["reason"] is None else "without an answer"


def _says(row: _Record) -> Cell:
    """What the method is, or why it has no answer."""
    title = row["title"]
    return Cell(title, free=True) if row["reason"] is None else Cell("no answer", None, "warn", f"{title}: {row['reason']}")


def _methods(name: str, rows: Sequence[_Record]) -> Rows:
    titles = [
        "method", "what it says", "b", "σ", "noise in model", "epochs", "gradients", "of retraining", "accuracy reported",
    ]  # fmt: skip
    lines = [
        Line(
            [
                Cell(row["method"]), _says(row), whole(row["batch_size"]), number(row["sigma"]),
                number(row["released_std"]), whole(row["epochs"]), whole(row["gradient_evaluations"]),
                _share(row["relative"]), number(row["accuracy"] and row["accuracy"][0], 3, down=True),
            ],
            _group(row),
        )
        for row in _answered_first(rows)
    ]  # fmt: skip
    caption = (
        "Noise in model: standard deviation per coordinate of all the noise in the released model, which can be compared; σ "
        "means what its method says."
    )
    return Rows(name, titles, lines, caption)


def _streams(stream: _Record) -> Rows:
    titles = [
        "method",
        "what it says",
        "b",
        "σ",
        "noise in model",
        "epochs in all",
        "gradients in all",
        "of retraining every time",
    ]
    lines = []
    for row in _answered_first(stream["methods"]):
        done = row["reason"] is None
        lines.append(
            Line(
                [
                    Cell(row["method"]), _says(row), whole(row["batch_size"]), number(row["sigma"]),
                    number(row["released_std"]), whole(row["epochs"][-1] if done else None),
                    whole(row["gradient_evaluations"][-1] if done else None), _share(row["relative"]),
                ],
                _group(row),
            )
        )  # fmt: skip
    return Rows("methods in a stream", titles, lines, "All requests together, every one at the same guarantee.")


def _field(rows: Sequence[_Record]) -> Section:
    return Section("field", "What each method covers", rows=field.page_rows(rows))


def _about(rows: Sequence[_Record]) -> list[Section]:
    """What each method proves, and what it rests on, every line once under the methods that it is about."""
    proves = [f"{row['method']}: {row['title']}; proves {row['proves']}; {row['noise']}; {row['source']}" for row in rows]
    methods: dict[str, list[str]] = {}
    for row in rows:
        for line in row["assumptions"]:
            methods.setdefault(line, []).append(row["method"])
    shared: dict[str, list[str]] = {}
    for line, names in methods.items():
        shared.setdefault(", ".join(names), []).append(line)
    return [
        Section("methods", "What each method proves", lists=[("", proves)]),
        Section("assumptions", "What this rests on", lists=list(shared.items())),
    ]


def _about_data(result: _Record) -> str:
    problem, algorithm = result["problem"], result["algorithm"]
    data = problem["preset"] or f"n = {problem['n']:,}"
    size = algorithm["batch_size"]
    return f"{data}, {'full batches' if size == problem['n'] else f'batches of {size:,}'}"


def _share(value: float | None) -> Cell:
    return number(None) if value is None else Cell(f"{times(100 * value)} %", value)


def _positive(values: Iterable[float]) -> list[float | None]:
    """Nothing spent yet has no place on a logarithmic axis."""
    return [float(value) if value else None for value in values]
