"""How results look: one JSON object, or a table that fits 80 columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from accountant.commands import layout
from accountant.commands.options import Shared
from accountant.numerics import MAX_DIGITS, InputError, integer, number
from accountant.numerics import digits as digits
from accountant.problem import noise_in_units

if TYPE_CHECKING:
    from accountant.questions import Enclosed, Outcome, Unknown, UnlearningAccountant

#: What sigma is of common steps.
STEP_NOISE: Final = "the standard deviation of one step's noise, per parameter; no sqrt(2 eta) in it"


class Digits(TypedDict):
    """What ``--precision`` says of many digits: how many, and what they were computed in."""

    digits: int
    arithmetic: str
    proved: bool


def record(shared: Shared, command: str, outcome: Outcome, *, delta_is_default: bool) -> dict[str, Any]:
    """The keys that every computing command prints; numbers in full double precision, null where undefined."""
    from accountant._version import __version__

    algorithm, sigma, way = outcome.placing.setting.algorithm, number("sigma", outcome.sigma), outcome.way
    settings, in_units = outcome.settings, noise_in_units(algorithm, sigma, algorithm.rounding or "float64")
    return {
        "command": command,
        "sigma": sigma,
        "epsilon": outcome.epsilon,
        "delta": outcome.delta,
        "delta_is_default": delta_is_default,
        "epochs": outcome.epochs,
        "steps": outcome.step_count,
        **{name: settings[name] for name in ("bound", "batches", "reference", "group_size")},
        "gradient_evaluations": outcome.gradient_evaluations,
        "averaging": outcome.averaging,
        "contraction": algorithm.contraction,
        "mu_worst": outcome.mu_worst,
        "tightness": outcome.tightness_worst,
        "blocks": outcome.blocks,
        "split": list(outcome.split),
        "noise_std": algorithm.noise_std(sigma),
        "noise_multiplier": algorithm.noise_multiplier(sigma),
        "noise_in_units": in_units if math.isfinite(in_units) else None,
        "rounding_share": outcome.rounding_share,
        "assignment": algorithm.assignment,
        "oversize": None if way is None else {"redraw": way.redrawn > 0, "chance": max(way.added, way.redrawn)},
        "assumptions": list(outcome.assumptions),
        "problem": {"preset": shared.preset, **settings["problem"]},
        "algorithm": {**settings["algorithm"], "steps_per_epoch": outcome.length.steps_per_epoch},
        "schedule": settings["schedule"],
        "version": __version__,
    }


def asked(accountant: UnlearningAccountant, unknown: Unknown, **question: Any) -> Outcome:
    """The accountant's outcome of a single question; InputError where it has none."""
    outcome = accountant.ask(unknown, **question)
    if outcome.refusals:
        raise InputError(outcome.refusals[0])
    return outcome


def length(outcome: Outcome) -> dict[str, int]:
    """The length of unlearning, as the accountant's methods take it: nothing for a schedule that says it."""
    return {} if outcome.length.closed else {"steps": outcome.step_count - outcome.length.scheduled_steps}


def comparison(shared: Shared, unknown: Unknown, **question: Any) -> dict[str, Any]:
    """The same question under the published bound (under optimal, if that was asked for the published one).

    Of records that draw their batches by themselves, of which no published bound is: on one partition of all records.
    """
    result: dict[str, Any] = {"bound": "optimal", "batches": shared.accountant.batches, unknown: None}
    own = shared.accountant.algorithm.own_draws
    try:
        if own:
            from accountant.questions import UnlearningAccountant

            other = UnlearningAccountant.of(shared.accountant.setup.undrawn)
            result |= {"assignment": other.algorithm.assignment, "adjacency": other.algorithm.problem.adjacency}
        else:
            other = shared.accountant.beside("paper" if shared.accountant.bound == "optimal" else "optimal")
            result |= {"bound": other.bound, "batches": other.batches}
        value = other.answer(unknown, **question)
        result[unknown] = int(value) if unknown in ("epochs", "steps") else value
    except InputError as error:
        result["reason"] = str(error)
    return result


def precise(
    shared: Shared, precision: int | None, unknown: Enclosed, **question: Any
) -> tuple[dict[str, Any] | None, list[tuple[str, str]]]:
    """The JSON block and the row of ``--precision``: ``unknown`` to so many digits, rounded up; nothing if not asked."""
    if precision is None:
        return None, []
    from accountant.questions import enclose, exact_inputs

    found = enclose(shared.accountant, unknown, digits=precision, **question)
    known = {name: question.get(name) for name in ("sigma", "epsilon", "delta", "alpha") if name in question}
    lower, upper = found.ends
    block = {
        "digits": precision, "arithmetic": found.arithmetic, "proved": found.proved, unknown: str(found), "lower": lower,
        "upper": upper, "inputs": exact_inputs(shared.accountant, **known),
    }  # fmt: skip
    how = "proved (interval arithmetic)" if found.proved else "evaluated (mpmath), not proved"
    return block, [(f"{unknown}, {plural(precision, 'digit')}", f"{found}, {how}, rounded up")]


def answer(
    shared: Shared, unknown: Literal["sigma", "epsilon", "delta"], title: str, *, precision: int | None = None, **question: Any
) -> None:
    """Ask for ``unknown`` once, compare, and show."""
    check_precision(precision)
    outcome = asked(shared.accountant, unknown, **question)
    result = record(shared, unknown, outcome, delta_is_default=unknown != "delta" and question["delta"] is None)
    result["comparison"] = comparison(shared, unknown, **question)
    value = float(outcome.answer)
    found = [] if unknown == "sigma" else [(unknown, digits(value, 10))]
    block, more = precise(shared, precision, unknown, **question)
    if block is not None:
        result["precision"] = block
    rows = [noise_row(result), guarantee_row(result), length_row(result)]
    show(shared, result, [*found, *more, *rows, comparison_row(result["comparison"], unknown, value)], title)


def kind(precision: int) -> Digits:
    """The JSON block of ``--precision`` where answers stand elsewhere: the digits, and what they were computed in."""
    from accountant.numerics import arithmetic_kind

    computed = arithmetic_kind()
    return {"digits": precision, "arithmetic": computed["arithmetic"], "proved": computed["proved"]}


def how(block: Digits) -> str:
    """That block in words."""
    proved = "proved (interval arithmetic)" if block["proved"] else "evaluated (mpmath), not proved"
    return f"to {plural(block['digits'], 'digit')}, {proved}, rounded up"


def check_precision(precision: int | None) -> None:
    """Refuse a number of digits before any work is done."""
    if precision is not None:
        integer("precision", precision, at_least=1, at_most=MAX_DIGITS)


def show(shared: Shared, result: dict[str, Any], rows: Iterable[tuple[str, str]], title: str) -> None:
    """Print the record: as JSON, or as a table of ``rows`` followed by the rows that all commands have."""
    listed(shared, result, [] if shared.json else [*rows, *_common_rows(shared, result)], title)


def listed(shared: Shared, result: dict[str, Any], rows: Iterable[tuple[str, str]], title: str) -> None:
    """Print the record: as JSON, or as a table of ``rows`` and what it rests on."""
    if shared.json:
        print(json.dumps(result, allow_nan=False))
        return
    screen = layout.console()
    screen.print(title, style="italic")
    screen.print(layout.facts(rows))
    screen.print("[bold]Assumptions[/bold]")
    for line in result["assumptions"]:
        screen.print(layout.bullet(line))


def guarantee_row(result: dict[str, Any]) -> tuple[str, str]:
    default = " (1/n, the default)" if result["delta_is_default"] else ""
    return "guarantee", f"epsilon = {digits(result['epsilon'])} at delta = {digits(result['delta'])}{default}"


def noise_row(result: dict[str, Any]) -> tuple[str, str]:
    return "noise sigma", digits(result["sigma"], 10)


def length_row(result: dict[str, Any]) -> tuple[str, str]:
    per_epoch = result["algorithm"]["steps_per_epoch"]
    if result["epochs"] is None:
        return "unlearning", f"{plural(result['steps'], 'step')}, of batches of several sizes"
    epochs = "1 epoch" if result["epochs"] == 1 else f"{result['epochs']:.6g} epochs"
    return "unlearning", f"{plural(result['steps'], 'step')} = {epochs} of {plural(per_epoch, 'step')}"


def comparison_row(other: dict[str, Any], unknown: str, mine: float) -> tuple[str, str]:
    name = f"{other['bound']} bound"
    where = f"(batches {other['batches']})"
    if "assignment" in other:
        name, where = "one partition", f"({other['adjacency']})"
    value = other[unknown]
    if value is None:
        return name, f"no answer: {other['reason']}"
    factor = f", {value / mine:.3g} times as much" if mine > 0 and value != mine else ""
    return name, f"{unknown} = {digits(value, 10)}{factor} {where}"


def _common_rows(shared: Shared, result: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("gradients", f"{result['gradient_evaluations']} per-sample gradient evaluations"),
        ("bound used", f"{result['bound']}, batches {result['batches']}, reference {result['reference']}"),
        ("contraction c", digits(result["contraction"], 10)),
    ]
    if result["mu_worst"] is not None:
        tight = result["tightness"]
        says = ""
        # Said only where it is proved: with a ball a smaller one may be.
        if tight is not None and result["algorithm"]["radius"] is None:
            exact = tight < 1 + 1e-9
            says = (
                " (two Gaussian runs attain it: it cannot be smaller)" if exact else f" (at most {tight:.6g} times what is due)"
            )
        worst = "mu, worst batch" if result["group_size"] == 1 else "mu, worst placement"
        rows.append((worst, f"{digits(result['mu_worst'])}{says}"))
    if result.get("blocks", 1) > 1:
        first, *others = result["split"]
        lengths = f"{others[0]} to {others[-1]}" if others[0] != others[-1] else f"{others[0]}"
        after = "learning" if first == 0 else f"learning and {plural(first, 'step')}"
        told = f"{plural(len(others), 'block')} of {lengths} steps contract what {after} proved; no mu, points of a curve"
        rows.append(("blocks", told))
    if result.get("oversize") is not None:
        rows += _oversize_rows(result)
    if result["averaging"] != "exact":
        rows.append(("average taken by", result["averaging"]))
    rows.append(("noise per step", f"standard deviation sqrt(2 eta) sigma = {digits(result['noise_std'])}"))
    if result.get("noise_in_units") is not None:
        kind = result["algorithm"].get("rounding", "float64")
        units = digits(result["noise_in_units"], 3, down=True)
        rows.append(("", f"{units} units in the last place ({kind}) of parameters of size M/m"))
    if result.get("rounding_share") is not None:
        rows.append(("rounding", f"{kind}, costs {digits(result['rounding_share'], 3)} of epsilon, included"))
    rows.append(("as in DP-SGD", f"noise multiplier b sigma sqrt(2/eta)/M = {digits(result['noise_multiplier'])}"))
    return rows


def _oversize_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """What batches cost that come out too large, and what must be run for it."""
    chance, sizes = digits(result["oversize"]["chance"], 3), "batches that come out too large"
    if result["oversize"]["chance"] == 0:
        return [("batches", "own draws: none can be too large")]
    if result["oversize"]["redraw"]:
        told = f"own draws; {sizes}: redraw the key at the start until there is none"
        return [("batches", told), ("", f"costs e^epsilon {chance} of delta, included")]
    return [("batches", f"own draws, never redrawn; {sizes} cost {chance} of delta, included")]


def rough(value: float | None, count: int = 4) -> str:
    """A number for a narrow table, rounded up; a hyphen for none."""
    return "-" if value is None else digits(value, count)


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
