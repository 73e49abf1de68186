"""Answers to any number of digits, from the same formulas in other arithmetics: proved (interval) or evaluated (mp).

``interval`` encloses every result, so all digits that it gives are proved; it needs the extra ``certify``. ``mp`` evaluates at
two precisions that agree. Numbers are read as the decimals that they print as (0.03 is 3/100), and the defaults delta = 1/n and
step_size = 1/smoothness are exact fractions, also where they come as the doubles next to them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal, get_args

from accountant.curves import PrivacyCurve
from accountant.numerics import (
    ARITHMETICS,
    DEFAULT_DIGITS,
    MAX_DIGITS,
    Enclosure,
    InputError,
    Precise,
    arithmetic_available,
    choice,
    exact_text,
    integer,
    number,
    settle,
)
from accountant.problem import Number, Read, decimal, exact_step_size
from accountant.questions.accountant import UnlearningAccountant
from accountant.questions.ball_enclosing import enclose_blocks
from accountant.questions.step_accountant import StepAccountant
from accountant.questions.step_enclosing import enclose_steps

#: What can be enclosed.
Enclosed = Literal["sigma", "epsilon", "delta", "rdp"]


def enclose(
    accountant: UnlearningAccountant | StepAccountant,
    unknown: Enclosed,
    *,
    digits: int = DEFAULT_DIGITS,
    arithmetic: str | None = None,
    read: Read = decimal,
    sigma: float | Fraction | None = None,
    epsilon: float | Fraction | None = None,
    delta: float | Fraction | None = None,
    alpha: float | Fraction | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    start_distance: float | None = None,
) -> Enclosure:
    """The accountant's ``unknown`` ("sigma", "epsilon", "delta" or "rdp") to ``digits`` digits, 1 to 1000; scalars only.

    The question as in the methods of :class:`UnlearningAccountant`; fractions are taken exactly, floats through ``read``.
    Raises what they raise, and InputError where an average over placements is bounded on a grid. Blocks, behind a radius or
    of common steps (a :class:`StepAccountant`), are those into which the run was split in doubles; of common steps strings are
    those of affine moduli.
    """
    choice("unknown", unknown, get_args(Enclosed))
    integer("precision", digits, at_least=1, at_most=MAX_DIGITS)
    name = choice("arithmetic", arithmetic_available() if arithmetic is None else arithmetic, ARITHMETICS)
    length: dict[str, Any] = {"epochs": epochs, "steps": steps, "start_distance": start_distance}
    given: dict[str, Any] = {"sigma": sigma, "epsilon": epsilon, "delta": delta, "alpha": alpha}
    needed = {"sigma": ("epsilon", "delta"), "epsilon": ("sigma", "delta"), "delta": ("sigma", "epsilon"),
              "rdp": ("sigma", "alpha")}[unknown]  # fmt: skip
    if "delta" in needed and not isinstance(accountant, StepAccountant):
        given["delta"] = exact_delta(accountant, delta, read)
    exact = {}
    for key in needed:
        value = given[key]
        exact[key] = value if isinstance(value, Fraction) else read(number(key, value))
    if isinstance(accountant, StepAccountant):
        if epochs is not None:
            raise InputError("epochs must be left out: common steps are counted one by one, give steps")
        if accountant.stages is None:
            integer("steps", steps, at_least=1)
        else:
            accountant.stages.total(steps)
        return enclose_steps(
            accountant, unknown, exact, digits=digits, arithmetic=name, read=read, steps=steps, start_distance=start_distance
        )
    # The double answer checks the question, and is where the search starts.
    question = {key: float(value) for key, value in exact.items()}
    if unknown != "rdp" and accountant.setting.algorithm.radius is not None:
        outcome = accountant.ask(unknown, **question, **length)
        if not outcome.refusals and outcome.blocks > 1:
            return enclose_blocks(outcome, unknown, exact, digits=digits, arithmetic=name, read=read)
    double = accountant.rdp(**question, **length) if unknown == "rdp" else accountant.answer(unknown, **question, **length)
    start = float(double)

    def evaluate(ar: Precise, bits: int) -> Any:
        mixture = accountant.components_at(Number(ar, read), **length)
        return PrivacyCurve(mixture, ar, bits).answer(unknown, {k: ar.asarray(v)[()] for k, v in exact.items()}, start)

    return settle(evaluate, digits, name)


def exact_delta(accountant: UnlearningAccountant, delta: float | Fraction | None, read: Read = decimal) -> Any:
    """delta; 1/n exactly where none is given, or a double that is 1/n to the last bit."""
    n = accountant.algorithm.problem.n
    given = accountant.default_delta if delta is None else delta
    return Fraction(1, n) if read is decimal and type(given) is float and given == 1 / n else given


def exact_inputs(accountant: UnlearningAccountant, **values: float | None) -> dict[str, str]:
    """The numbers that ``enclose`` computes with, as exact decimals or fractions."""
    problem, algorithm = accountant.algorithm.problem, accountant.algorithm
    inputs = {name: decimal(getattr(problem, name)) for name in ("smoothness", "strong_convexity", "lipschitz")}
    inputs["step_size"] = exact_step_size(algorithm)
    if algorithm.norm_class < 1:
        inputs["norm_class"] = decimal(algorithm.norm_class)
    if algorithm.radius is not None:
        inputs["radius"] = decimal(algorithm.radius)
    for name, value in values.items():
        exact = exact_delta(accountant, value) if name == "delta" else value
        if exact is not None:
            inputs[name] = exact if isinstance(exact, Fraction) else decimal(exact)
    return {name: exact_text(value) for name, value in inputs.items()}
