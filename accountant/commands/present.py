"""What commands say of a run: the keys of the record, the rows of the table, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack

from accountant.commands import risks, telling
from accountant.commands.following import following
from accountant.commands.options import Shared
from accountant.numerics import MAX_DIGITS, InputError, integer, number
from accountant.numerics import digits as digits
from accountant.problem import RANDOM, SECRET, WORST, noise_in_units

if TYPE_CHECKING:
    from accountant.numerics import Enclosure
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
        **risks.told(shared, outcome.guarantee),
        "assignment": algorithm.assignment,
        "oversize": None if way is None else {"redraw": way.redrawn > 0, "chance": max(way.added, way.redrawn)},
        "assumptions": list(outcome.assumptions),
        "problem": {"preset": shared.named, **settings["problem"]},
        "constants": shared.stated.to_dict(),
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
    return enclosed(found, unknown, precision, exact_inputs(shared.accountant, **known))


def enclosed(
    found: Enclosure, unknown: str, precision: int, inputs: dict[str, str]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """An enclosure of ``unknown`` as the JSON block and the row of ``--precision``; inputs: the exact numbers that it is of."""
    lower, upper = found.ends
    block = {
        "digits": precision, "arithmetic": found.arithmetic, "proved": found.proved, unknown: str(found), "lower": lower,
        "upper": upper, "inputs": inputs,
    }  # fmt: skip
    return block, [(f"{unknown}, {plural(precision, 'digit')}", f"{found}, {_arithmetic(proved=found.proved)}")]


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
    rows = [*found, *rows, comparison_row(result["comparison"], unknown, value)]
    given = {} if unknown != "sigma" else {"sigma": float(digits(value, 10))}
    show(shared, result, rows, title, answer=said(result, unknown), more=more, next_=certifying(shared, **given))


def said(result: dict[str, Any], unknown: str) -> str:
    """The answer in a sentence: what was asked for comes first."""
    guarantee, after = guarantee_row(result)[1], after_length(result)
    noise = digits(result["sigma"], 10)
    if unknown == "sigma":
        return f"sigma = {noise} is enough noise: {guarantee}, {after}"
    if unknown == "delta":
        delta = digits(result["delta"], 10)
        return f"delta = {delta} at epsilon = {digits(result['epsilon'])} is proved with sigma = {noise}, {after}"
    default = " (1/n, the default)" if result["delta_is_default"] else ""
    return (
        f"epsilon = {digits(result['epsilon'], 10)} at delta = {digits(result['delta'])}{default} is proved with "
        f"sigma = {noise}, {after}"
    )


def after_length(result: Mapping[str, Any]) -> str:
    """How long unlearning is, as the end of a sentence."""
    if not result["steps"]:
        return "without any unlearning"
    steps = plural(result["steps"], "noisy step" if result["epochs"] is None else "step")
    if result["epochs"] is None or result["epochs"] != int(result["epochs"]):
        return f"after {steps} of unlearning"
    return f"after {plural(int(result['epochs']), 'epoch')} of unlearning ({steps})"


def certifying(shared: Shared, **given: Any) -> str | None:
    """What to do once an answer stands: have it certified where there are certificates, else look at the whole curve."""
    if certifiable(shared):
        return following("certify", shared.context, without=("epsilon", *_OF_CURVES), **given, output="certificate.json")
    return following("curve", shared.context, without=("epsilon",), **given)


def certifiable(shared: Shared) -> bool:
    """Whether there are certificates of what was asked about; of rare settings no, where nobody has to be sure."""
    if shared.stepping is not None:
        return shared.stepping.name == "fine-tuning" and shared.step_accountant.schedule is None
    accountant, algorithm = shared.accountant, shared.accountant.algorithm
    plain = accountant.bound == "optimal" and accountant.constant and algorithm.rounding is None
    plain = plain and not algorithm.public_share and algorithm.norm_class == 1
    usual = algorithm.dropped_points == 0 and not accountant.starts_apart
    drawn = not algorithm.own_draws or (algorithm.assignment == SECRET and algorithm.problem.adjacency != "replace")
    placed = accountant.batches == WORST or (accountant.batches == RANDOM and accountant.group_size == 1)
    return plain and usual and drawn and placed


#: Options of ``accountant curve`` that no other command has.
_OF_CURVES: Final = ("over", "first", "last", "points", "plot")


def kind(precision: int) -> Digits:
    """The JSON block of ``--precision`` where answers stand elsewhere: the digits, and what they were computed in."""
    from accountant.numerics import arithmetic_kind

    computed = arithmetic_kind()
    return {"digits": precision, "arithmetic": computed["arithmetic"], "proved": computed["proved"]}


def how(block: Digits) -> str:
    """That block in words."""
    return f"to {plural(block['digits'], 'digit')}, {_arithmetic(proved=block['proved'])}"


def _arithmetic(*, proved: bool) -> str:
    return f"{'proved (interval arithmetic)' if proved else 'evaluated (mpmath), not proved'}, rounded up"


def check_precision(precision: int | None) -> None:
    """Refuse a number of digits before any work is done."""
    if precision is not None:
        integer("precision", precision, at_least=1, at_most=MAX_DIGITS)


def show(
    shared: Shared, result: dict[str, Any], rows: Iterable[tuple[str, str]], title: str, **told: Unpack[telling.Told]
) -> None:
    """Print the record: as JSON, or what :func:`~telling.listed` says of it, with the rows that all commands have."""
    telling.listed(shared, result, [] if shared.json else [*rows, *common_rows(shared, result)], title, **told)


def guarantee_row(result: Mapping[str, Any]) -> tuple[str, str]:
    default = " (1/n, the default)" if result["delta_is_default"] else ""
    return "guarantee", f"epsilon = {digits(result['epsilon'])} at delta = {digits(result['delta'])}{default}"


def names_of(result: Mapping[str, Any]) -> tuple[str, str]:
    """The two numbers of a point of a curve, as JSON calls them."""
    return ("delta", "epsilon") if result["over"] == "delta" else ("alpha", "rdp")


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


def common_rows(shared: Shared, result: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows that all commands about a run have."""
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
    rows += risks.rows(result)
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
    if value is None:
        return "-"
    # Nobody wants four digits of such a number, whose exponent takes the room of two.
    odd = value != 0 and math.isfinite(value) and not 1e-99 < abs(value) < 1e100
    return digits(value, max(count - 2, 1) if odd else count)


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
