"""The commands about algorithms whose steps both runs share: fine-tuning of networks, and convex losses without smoothness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from accountant.commands import curve as curves
from accountant.commands import present, risks, writing
from accountant.commands.curve import places
from accountant.commands.epochs import needed
from accountant.commands.expecting import number_of
from accountant.commands.following import following
from accountant.commands.options import Shared, check_told
from accountant.commands.plan import OF_PLANS
from accountant.commands.stepping_words import common_rows, compared, rows_of, show
from accountant.numerics import InputError, digits

if TYPE_CHECKING:
    from accountant.questions import StepOutcome

_NO_EPOCHS = "common steps are counted one by one, of batches in any order, so there is no epoch; give --steps"


def sigma(shared: Shared, **question: Any) -> None:
    """``accountant sigma``."""
    _answer(shared, "sigma", "Noise needed", question)


def epsilon(shared: Shared, **question: Any) -> None:
    """``accountant epsilon``."""
    _answer(shared, "epsilon", "Guarantee at delta", question)


def delta(shared: Shared, **question: Any) -> None:
    """``accountant delta``."""
    _answer(shared, "delta", "Guarantee at epsilon", question)


def _answer(shared: Shared, unknown: Literal["sigma", "epsilon", "delta"], title: str, question: dict[str, Any]) -> None:
    precision = question.pop("precision")
    present.check_precision(precision)
    _check(shared, question)
    check_told(_name(shared), closed=_closed(shared), **question)
    outcome = _asked(shared, unknown, **question)
    result = record(shared, unknown, outcome)
    result["comparison"] = _comparison(shared, unknown, question)
    value = float(outcome.answer)
    found = [] if unknown == "sigma" else [(unknown, digits(value, 10))]
    more: list[tuple[str, str]] = []
    if precision is not None:
        result["precision"], more = _precise(shared, precision, unknown, question)
    rows = [*found, *rows_of(result), *risks.rows(result), *compared(result["comparison"], unknown, value)]
    given = {} if unknown != "sigma" else {"sigma": float(digits(value, 10))}
    next_ = present.certifying(shared, **given)
    show(shared, result, rows, title, answer=present.said(result, unknown), more=more, next_=next_)


def _precise(
    shared: Shared, precision: int, unknown: Literal["sigma", "epsilon", "delta"], question: dict[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The JSON block and the row of ``--precision``."""
    from accountant.numerics import exact_text
    from accountant.problem import decimal
    from accountant.questions import enclose

    found = enclose(shared.step_accountant, unknown, digits=precision, **question)
    given = {**shared.step_accountant.algorithm.to_dict(), **question}
    inputs = {
        name: exact_text(decimal(value)) for name, value in given.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }  # fmt: skip
    return present.enclosed(found, unknown, precision, inputs)


def steps(shared: Shared, *, sigma: float, epsilon: float, delta: float | None, steps: bool, precision: int | None) -> None:
    """``accountant epochs --steps``, and ``accountant steps``."""
    _check(shared, {"precision": precision})
    if not steps:
        raise InputError(
            f"epochs must be left out for {_name(shared)}: {_NO_EPOCHS.replace('give --steps', 'ask for --steps')}"
        )
    question = {"sigma": sigma, "epsilon": epsilon, "delta": delta}
    check_told(_name(shared), closed=_closed(shared), **question)
    outcome = _asked(shared, "steps", **question)
    count = int(outcome.answer)
    result = record(shared, "epochs", outcome)
    result["epsilon_achieved"] = shared.step_accountant.epsilon(sigma=sigma, delta=delta, steps=count)
    result["comparison"] = _comparison(shared, "steps", question)
    rows = [
        ("steps", str(count) if result["schedule"] is None else f"{count}, after {outcome.step_count - count} of the schedule"),
        ("epsilon achieved", digits(result["epsilon_achieved"], 10)),
        *rows_of(result),
        *compared(result["comparison"], "steps", count),
    ]
    next_ = following("plan", shared.context, without=("steps",), requests=100)
    show(shared, result, rows, "Unlearning needed", answer=needed(result, "steps", count), next_=next_)


def curve(
    shared: Shared, *, sigma: float, delta: float | None, epochs: int | None, steps: int | None, over: str,
    first: float | None, last: float | None, points: int, precision: int | None, output: list[str] | None, plot: bool,
) -> None:  # fmt: skip
    """``accountant curve``."""
    _check(shared, {"epochs": epochs, "precision": precision})
    writing.check(output, writing.ALL)
    grid = places(over, first, last, points)
    chance = float(grid[0]) if delta is None and over == "delta" else delta
    question = {"sigma": sigma, "delta": chance, "steps": steps}
    check_told(_name(shared), closed=_closed(shared), **question)
    outcome = _asked(shared, "epsilon", **question)
    if over == "alpha" and outcome.mu is None:
        raise InputError("over must be delta where blocks contract: they prove points of a curve, and no Renyi divergence")
    if over == "delta":
        # The split into blocks is found anew for each point.
        values = np.asarray(shared.step_accountant.epsilon(sigma=sigma, delta=grid, steps=steps))
    else:
        values = np.asarray(outcome.guarantee.rdp(grid))
    result = record(shared, "curve", outcome) | {"over": over}
    result["points"] = [
        dict(zip(present.names_of(result), pair, strict=True)) for pair in zip(grid.tolist(), values.tolist(), strict=True)
    ]
    curves.show(shared, result, [*rows_of(result), *common_rows(result)], output=output, plot=plot)


def plan(
    shared: Shared, *, epsilon: float, requests: str, sigma: float | None, delta: float | None, precision: int | None,
    csv: str | None, plot: str | None, output: list[str] | None, optimize: bool, unit: str, for_: str | None, **others: Any,
) -> None:  # fmt: skip
    """``accountant plan``: requests do not pile up, so there is one number of steps for all of them."""
    _check(shared, {"precision": precision})
    given = {"csv": csv, "plot": plot, "output": output, "optimize": optimize or None, **others}
    for name in (name for name, value in given.items() if value is not None):
        raise InputError(f"{name} must be left out for {_name(shared)}: its requests do not pile up, each takes the same steps")
    if unit == "epochs":
        raise InputError(f"unit must be steps for {_name(shared)}: {_NO_EPOCHS}")
    from accountant.requests import told

    if not told(requests):
        raise InputError(
            f"requests must be a number or a rate for {_name(shared)}, whose requests all take the same steps, got "
            f"{requests[:40]!r}"
        )
    count = number_of(requests, for_)
    if sigma is None:
        raise InputError("sigma must be given")
    question = {"sigma": sigma, "epsilon": epsilon, "delta": delta}
    check_told(_name(shared), closed=_closed(shared), **question)
    outcome = _asked(shared, "steps", **question)
    each = outcome.step_count
    result = record(shared, "plan", outcome)
    said = (
        "requests do not pile up: each starts again from the clipped model, and its release alone is compared with a reference "
        "of its own; groups of any size cost the same"
    )
    together = "all releases after a deletion are post-processing of the first; against independent references they compose"
    result |= {"requests": count, "steps_each": each, "steps_in_all": each * count, "piles_up": False}
    result["assumptions"] = [*result["assumptions"], said, together]
    rows = [
        ("requests", str(count)),
        ("steps each", str(each)),
        ("steps in all", str(each * count)),
        ("requests do not pile up", "each starts again from the clipped model, and takes the same steps"),
        *rows_of(result),
    ]
    guarantee = present.guarantee_row(result)[1]
    said = f"Each of {present.plural(count, 'request')} takes {present.plural(each, 'noisy step')}, {each * count} in all"
    answer = f"{said}, with sigma = {digits(result['sigma'], 10)}: {guarantee}, after every one; requests do not pile up"
    next_ = following("epsilon", shared.context, without=("epsilon", "requests", *OF_PLANS), steps=each)
    show(shared, result, rows, "In all", answer=answer, next_=next_)


def _check(shared: Shared, question: dict[str, Any]) -> None:
    """Refuse what there is not for common steps; takes ``epochs`` and ``precision`` out of the question."""
    if question.pop("epochs", None) is not None:
        raise InputError(f"epochs must be left out for {_name(shared)}: {_NO_EPOCHS}")
    if question.pop("precision", None) is not None:
        raise InputError(
            f"precision goes with sigma, epsilon and delta for {_name(shared)}; other answers are rounded in doubles"
        )


def _name(shared: Shared) -> str:
    assert shared.stepping is not None
    return shared.stepping.name


def _closed(shared: Shared) -> bool:
    """Whether a schedule says how many steps there are."""
    stages = shared.step_accountant.stages
    return stages is not None and not stages.open


def _asked(shared: Shared, unknown: Literal["sigma", "epsilon", "delta", "steps"], **question: Any) -> StepOutcome:
    """The outcome of a single question; InputError where it has none."""
    outcome = shared.step_accountant.ask(unknown, **question)
    if outcome.refusals:
        raise InputError(outcome.refusals[0])
    return outcome


def record(shared: Shared, command: str, outcome: StepOutcome) -> dict[str, Any]:
    """The keys that every computing command prints, null where common steps have nothing, and what they have beside."""
    from accountant._version import __version__

    settings, noise = outcome.settings, float(outcome.sigma or 0.0)
    return {
        "command": command,
        "sigma": noise,
        "epsilon": outcome.epsilon,
        "delta": outcome.delta,
        "delta_is_default": False,
        "epochs": None,
        "steps": outcome.step_count,
        "bound": settings["bound"],
        **dict.fromkeys(("batches", "reference", "group_size", "gradient_evaluations", "averaging", "contraction")),
        "mu_worst": outcome.mu,
        "tightness": outcome.tightness,
        "noise_std": noise,
        **dict.fromkeys(("noise_multiplier", "noise_in_units", "rounding_share", "assignment", "oversize")),
        **risks.told(shared, outcome.guarantee),
        "blocks": outcome.blocks,
        "split": list(outcome.split),
        "assumptions": list(outcome.assumptions),
        "problem": None,
        "constants": None,
        "algorithm": settings["algorithm"],
        "schedule": settings.get("schedule"),
        "version": __version__,
    }


def _comparison(shared: Shared, unknown: str, question: dict[str, Any]) -> dict[str, Any] | None:
    """The same question under the published bound; None where there is none for the algorithm, or for a schedule."""
    from accountant.methods import STEP_METHODS

    algorithm = shared.stepping
    assert algorithm is not None
    if algorithm.name != "fine-tuning" or shared.step_accountant.schedule is not None:
        return None
    method = STEP_METHODS["finetune-model-clipping" if getattr(algorithm, "clip_first", False) else "finetune-clipping"]
    result: dict[str, Any] = {"bound": method.name, "batches": None, unknown: None, "reason": method.refusal(algorithm)}
    if result["reason"] is None:
        arrays: dict[str, Any] = {name: np.array([float(value)]) for name, value in question.items()}
        if unknown == "sigma":
            needed = method.needed(algorithm, **arrays)
            value, result["reason"] = float(needed.sigma[0]), needed.refusals.get(0)
        elif unknown == "steps":
            value = float(method.fewest(algorithm, **arrays)[0])
        elif unknown == "epsilon":
            value = float(method.epsilon(algorithm, **arrays)[0])
        else:
            value = float(method.delta(algorithm, **arrays)[0])
        if np.isfinite(value) and not (unknown == "delta" and value == 1):
            result[unknown] = int(value) if unknown == "steps" else value
        elif result["reason"] is None:
            none = "no number of steps is enough" if unknown == "steps" else "it proves nothing here"
            result["reason"] = f"{none} by the published formula"
    if result["reason"] is None:
        del result["reason"]
    return result
