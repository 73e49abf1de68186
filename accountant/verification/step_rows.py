"""Verdicts on rows about fine-tuning: what the claimed bound and the tightest one prove, and what the blocks save."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from accountant.methods import STEP_METHODS, GradientClipping, Peer, StepBound
from accountant.numerics import Floats, Printed, digits
from accountant.problem import Stepping
from accountant.verification.rows import Judged
from accountant.verification.stepping import StepClaim
from accountant.verification.verdicts import Checked, Numbers, checked, counted, finite

#: Orders that the public code's conversion goes up to.
_LAST_ORDER: Final = 1000
#: Steps of a model clipped in every step that are checked, and up to which the fewest are looked for: each costs its time.
_MOST_STEPS: Final = 20_000
_MOST_FEWEST: Final = 4096.0
#: How far a number that somebody computed may be from ours to be the same.
_SAME: Final = 1e-6


def check_step_rows(claims: list[StepClaim], wasteful: float) -> list[Checked]:
    """Rows of one method and one algorithm."""
    lacking = [_lacking(claim) for claim in claims]
    long = [_contracts(claim.method, claim.algorithm) and claim.steps > _MOST_STEPS for claim in claims]
    complete = [claim for claim, names, far in zip(claims, lacking, long, strict=True) if not names and not far]
    judged = iter(_judged(complete, wasteful) if complete else [])
    said = f"more than {_MOST_STEPS} steps of a model that every step clips take too long to check"
    return [
        checked(claim, "unchecked", said) if far else _unjudged(claim, names) if names else next(judged)
        for claim, names, far in zip(claims, lacking, long, strict=True)
    ]


def _contracts(method: Peer[Stepping], algorithm: Stepping) -> bool:
    """Whether a method's bound on an algorithm is a chain of blocks."""
    return isinstance(method, StepBound) and algorithm.model_clip is not None


class _Judged(Judged[Stepping]):
    """Looks for the fewest steps only where that does not take for ever."""

    def fewest(self, method: Peer[Stepping]) -> Floats:
        if not _contracts(method, self.setup):
            return super().fewest(method)
        target = {"sigma": self.sigma, "epsilon": self.epsilon, "delta": self.delta}
        near = method.epsilon(self.setup, sigma=self.sigma, delta=self.delta, steps=self.steps) <= self.epsilon
        far = np.flatnonzero(~near & (self.steps < _MOST_FEWEST))
        if far.size:
            more = {"sigma": self.sigma[far], "delta": self.delta[far], "steps": np.full(far.size, _MOST_FEWEST)}
            near[far] = method.epsilon(self.setup, **more) <= self.epsilon[far]
        found = np.full(self.sigma.size, np.inf)
        found[near] = method.fewest(self.setup, **{name: value[near] for name, value in target.items()}, unit="steps")
        return found


def _lacking(claim: StepClaim) -> list[str]:
    names = [name for name in ("sigma", "epsilon") if getattr(claim, name) is None]
    return [*names, "steps"] if claim.count is None and claim.method.runs_steps else names


def _unjudged(claim: StepClaim, lacking: list[str]) -> Checked:
    """A row that does not say enough: the number that it leaves out, where that is one."""
    known: Numbers = {}
    method, algorithm, delta, steps = claim.method, claim.algorithm, np.array([claim.delta]), np.array([claim.steps])
    sigma, epsilon = (None if printed is None else np.array([printed.value]) for printed in (claim.sigma, claim.epsilon))
    if lacking == ["steps"] and not _contracts(method, algorithm):
        assert sigma is not None
        assert epsilon is not None
        known["epochs_needed"] = finite(float(method.fewest(algorithm, sigma=sigma, epsilon=epsilon, delta=delta)[0]))
    elif lacking == ["sigma"]:
        assert epsilon is not None
        known["sigma_needed"] = finite(float(method.sigma(algorithm, epsilon=epsilon, delta=delta, steps=steps)[0]))
    elif lacking == ["epsilon"]:
        assert sigma is not None
        known["epsilon_achieved"] = finite(float(method.epsilon(algorithm, sigma=sigma, delta=delta, steps=steps)[0]))
    return checked(claim, "unchecked", f"the row has no {' and no '.join(lacking)}", **known)


def _judged(claims: list[StepClaim], wasteful: float) -> list[Checked]:
    method, algorithm = claims[0].method, claims[0].algorithm
    best = STEP_METHODS[method.tightest]
    found = _Judged(claims, method, best, algorithm, "steps", 1)
    by_rounding = found.by_rounding()
    fewest = np.full(len(claims), np.inf)
    if best is not method and best.refusal(algorithm) is None:
        fewest = found.fewest(best)
    rows = []
    for at, (claim, numbers) in enumerate(zip(claims, found.numbers(all_tightest=True), strict=True)):
        least = min(numbers["sigma_needed"] or math.inf, numbers["sigma_tightest"] or math.inf)
        numbers["factor"] = finite(found.sigma[at] / least) if least > 0 else None
        holds = bool(found.holds[at])
        tight = numbers["epsilon_tightest"]
        if holds:
            verdict, reason = _enough(claim, numbers, least, float(fewest[at]), wasteful)
        elif tight is not None and tight <= found.epsilon[at]:
            verdict, reason = "certified-tighter", _short(claim, numbers)
        else:
            verdict, reason = "fails", _short(claim, numbers) + _order_left_out(claim)
        if at in by_rounding:
            reason += f"; only because of rounding: {by_rounding[at]}"
        rows.append(checked(claim, verdict, reason, rounding=at in by_rounding, **numbers))
    return rows


def _enough(claim: StepClaim, numbers: Numbers, least: float, fewest: float, wasteful: float) -> tuple[str, str]:
    """The verdict on a row that holds, with what would have done: fewer steps, or less noise."""
    assert claim.sigma is not None
    method, sigma, would = claim.method, claim.sigma.value, []
    steps = numbers["epochs_needed"]
    if steps is not None and 0 < steps < claim.steps:
        would.append(counted(steps, "steps"))
    if numbers["sigma_needed"] and numbers["sigma_needed"] < sigma * (1 - 1e-9):
        would.append(f"sigma = {digits(numbers['sigma_needed'], 5)}")
    said = [f"{' or '.join(would)} would do"] if would else []
    tightest = numbers["sigma_tightest"]
    if (
        method.tightest != method.name
        and tightest is not None
        and tightest < (numbers["sigma_needed"] or math.inf) * (1 - 1e-6)
    ):
        count = f"{counted(fewest, 'steps')} or " if 0 < fewest < claim.steps else ""
        said.append(f"under {method.tightest} {count}sigma = {digits(tightest, 5)}")
    if claim.sigma.low > wasteful * least:
        return "wasteful", "; ".join(said) + f": {digits(sigma / least, 3, down=True)} times less noise"
    return "certified", "; ".join(said)


def _short(claim: StepClaim, numbers: Numbers) -> str:
    """What a row comes to that the claimed bound does not certify."""
    method = claim.method
    achieved, needed, tight = numbers["epsilon_achieved"], numbers["sigma_needed"], numbers["epsilon_tightest"]
    says = f"{method.name} proves nothing here" if achieved is None else f"{method.name} gives epsilon = {digits(achieved, 5)}"
    if needed:
        says += f" and needs sigma = {digits(needed, 5)}"
    if method.tightest == method.name:
        return says
    says += f"; {method.tightest} " + ("proves nothing either" if tight is None else f"gives epsilon = {digits(tight, 5)}")
    return says + (f" and needs sigma = {digits(numbers['sigma_tightest'], 5)}" if numbers["sigma_tightest"] else "")


def logged_epsilon(renyi: float, delta: float) -> float:
    """What the public code logs for a Renyi epsilon: the usual conversion, as if that were the divergence at every order.

    >>> round(logged_epsilon(1.0, 1e-5), 10)
    1.0036092796
    """
    order = np.arange(2.0, _LAST_ORDER + 1)
    return renyi + float(np.min(np.log1p(-1 / order) - (math.log(delta) + np.log(order)) / (order - 1)))


def _order_left_out(claim: StepClaim) -> str:
    """The reason of a failure, where the row's epsilon is what the public code logs of its noise; "" elsewhere."""
    # The published formula is one of it, with a noise of its own.
    if type(claim.method) is not GradientClipping:
        return ""
    assert claim.epsilon is not None
    mu = _mu_of(claim)
    renyi = mu * mu / 2
    said = ""
    if claim.renyi is not None and not _same(claim.renyi, renyi):
        said = f"; its noise is made for epsilon_R = {renyi:.4g}, where {claim.renyi.value:g} is stated"
        renyi = claim.renyi.value
    if not _same(claim.epsilon, logged_epsilon(renyi, claim.delta)):
        return said
    return (
        f"{said}; the public code's conversion leaves the Renyi order out: its noise is made for mu = sqrt(2 epsilon_R) = "
        f"{mu:.5g}, epsilon_R = {renyi:.4g} (docs/guides/verifying.md)"
    )


def _mu_of(claim: StepClaim) -> float:
    """mu that the row's noise is made for."""
    assert claim.sigma is not None
    assert isinstance(claim.method, GradientClipping)
    return float(claim.method.mu(claim.algorithm, np.array([claim.steps]))[0]) / claim.sigma.value


def _same(printed: Printed, value: float) -> bool:
    """Whether a printed number may be that value."""
    return printed.low * (1 - _SAME) <= value <= printed.high * (1 + _SAME)
