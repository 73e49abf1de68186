"""Rows that stand for themselves: epsilon under both bounds, what would have done, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import numpy as np

from accountant.methods import METHODS, Method, Peer, Unit
from accountant.numerics import SMALLEST, Floats, Indices, Printed, digits, shown
from accountant.verification.claims import Claim
from accountant.verification.verdicts import ARITHMETIC, Checked, Numbers, checked, counted, finite, unchecked, value_of

#: What the methods are asked about.
Setting = TypeVar("Setting")


class Claimed(Protocol):
    """What a row that stands for itself says."""

    @property
    def sigma(self) -> Printed | None: ...
    @property
    def epsilon(self) -> Printed | None: ...
    @property
    def delta(self) -> float: ...
    @property
    def steps(self) -> float: ...


#: epsilon is printed with so many digits at least where its rounding counts; 0.5 or 1 are targets, not results.
_RESULT_DIGITS: Final = 3


def check_rows(claims: list[Claim], wasteful: float) -> list[Checked]:
    """Rows of one method and one setup."""
    method, setup = claims[0].method, claims[0].setup
    refusal = method.refusal(setup)
    if refusal is not None:
        return [unchecked(claim, refusal) for claim in claims]
    lacking = [_lacking(claim) for claim in claims]
    complete = [claim for claim, names in zip(claims, lacking, strict=True) if not names]
    judged = iter(_judged(complete, wasteful) if complete else [])
    return [_unjudged(claim, names) if names else next(judged) for claim, names in zip(claims, lacking, strict=True)]


def _lacking(claim: Claim) -> list[str]:
    """Of sigma, epsilon and the length those that a row should say and does not."""
    names = [name for name in ("sigma", "epsilon") if getattr(claim, name) is None]
    if claim.count is None and claim.method.family != "retrain" and claim.method.name != "dp":
        names.append(claim.unit)
    return names


def _unjudged(claim: Claim, lacking: list[str]) -> Checked:
    """A row that does not say enough: the number that it leaves out, where that is one."""
    known: Numbers = {}
    method, setup, delta, steps = claim.method, claim.setup, np.array([claim.delta]), np.array([claim.steps])
    sigma, epsilon = (None if printed is None else np.array([printed.value]) for printed in (claim.sigma, claim.epsilon))
    if len(lacking) == 1:
        if sigma is not None and epsilon is not None:
            fewest = float(method.fewest(setup, sigma=sigma, epsilon=epsilon, delta=delta, unit=claim.unit)[0])
            if math.isfinite(fewest):
                known["epochs_needed"] = fewest if claim.unit == "epochs" else fewest / method.steps_per_epoch(setup)
        elif epsilon is not None:
            known["sigma_needed"] = finite(float(method.sigma(setup, epsilon=epsilon, delta=delta, steps=steps)[0]))
        elif sigma is not None:
            known["epsilon_achieved"] = finite(float(method.epsilon(setup, sigma=sigma, delta=delta, steps=steps)[0]))
    options = " and ".join(f"--{name}" for name in lacking)
    empty = [name for name in lacking if name not in claim.lacking]
    said = [f"the row has no {' and no '.join(empty)}: fill in its cell, or give {options}"] if empty else []
    said += [claim.lacking[name] for name in lacking if name in claim.lacking]
    return unchecked(claim, "; ".join(said), **known)


def _judged(claims: list[Claim], wasteful: float) -> list[Checked]:
    """Rows of one method and one setup that say all of sigma, epsilon and their length."""
    method, setup = claims[0].method, claims[0].setup
    found = Judged(claims, method, METHODS[method.tightest], setup, claims[0].unit, method.steps_per_epoch(setup))
    by_rounding = found.by_rounding()
    rows = []
    for at, (claim, numbers) in enumerate(zip(claims, found.numbers(), strict=True)):
        verdict, reason = _verdict(claim, METHODS[method.tightest], bool(found.holds[at]), numbers, wasteful)
        if setup.algorithm.own_draws and at in found.unproved:
            # Batches that are too large are a reason that one can do something about.
            reason += f": {found.unproved[at]}"
        if at in by_rounding:
            reason += f"; only because of rounding: {by_rounding[at]}"
        rows.append(checked(claim, verdict, reason, rounding=at in by_rounding, **numbers))
    return rows


class Judged(Generic[Setting]):
    """Rows of one method and one setting that say all of sigma, epsilon and their length; arrays (P,), inf where none is."""

    def __init__(
        self, claims: Sequence[Claimed], method: Peer[Setting], best: Peer[Setting], setup: Setting, unit: Unit, per_epoch: int
    ) -> None:
        self.claims, self.method, self.best, self.setup = claims, method, best, setup
        self.unit, self.per_epoch = unit, per_epoch
        self.sigma = np.array([claim.sigma.value for claim in claims if claim.sigma is not None])
        self.epsilon = np.array([claim.epsilon.value for claim in claims if claim.epsilon is not None])
        self.delta, self.steps = np.array([claim.delta for claim in claims]), np.array([claim.steps for claim in claims])
        self.achieved = self.reached(self.sigma, np.arange(len(claims)))
        self.holds = self.achieved <= self.epsilon
        #: Why no sigma proves a row, by row.
        self.unproved: dict[int, str] = {}
        near = np.flatnonzero(~self.holds & (self.achieved <= self.epsilon * (1 + 1e-9) + 1e-300))
        self.holds[near] = self.reached(self.sigma[near] * ARITHMETIC, near) <= self.epsilon[near]

    def reached(self, sigma: Floats, rows: Indices) -> Floats:
        """epsilon of some rows under the claimed bound at other noise."""
        return self.method.epsilon(self.setup, sigma=sigma, delta=self.delta[rows], steps=self.steps[rows])

    def by_rounding(self) -> dict[int, str]:
        """Rows that some number which rounds to the printed one would certify, with that number in words."""
        return _by_rounding(self.claims, np.flatnonzero(~self.holds), self.reached)

    def fewest(self, method: Peer[Setting]) -> Floats:
        """The smallest length, in the unit of the rows, under a method."""
        return method.fewest(self.setup, sigma=self.sigma, epsilon=self.epsilon, delta=self.delta, unit=self.unit)

    def numbers(self, *, all_tightest: bool = False) -> list[Numbers]:
        """What is known of every row; ``all_tightest``: the tightest sigma of those, too, that the claimed bound certifies."""
        method, setup = self.method, self.setup
        below = np.arange(self.sigma.size) if all_tightest else np.flatnonzero(~self.holds)
        needed, self.unproved = method.needed(setup, epsilon=self.epsilon, delta=self.delta, steps=self.steps)
        fewest = self.fewest(method)
        if self.unit == "steps":
            fewest = fewest / self.per_epoch
        tight, least = self._tightest(below)
        return [
            {
                "epsilon_achieved": finite(self.achieved[at]),
                "epsilon_tightest": finite(tight[at]),
                "sigma_needed": finite(needed[at]),
                "epochs_needed": finite(fewest[at]),
                "sigma_tightest": finite(least[at]),
                "factor": finite(self.sigma[at] / needed[at]) if 0 < needed[at] < math.inf else None,
            }
            for at in range(len(self.claims))
        ]

    def _tightest(self, below: Indices) -> tuple[Floats, Floats]:
        """epsilon under the tightest bound, and the sigma that it needs in the rows ``below``."""
        tight, least, setup = self.achieved, np.full(self.sigma.size, np.inf), self.setup
        if self.best.refusal(setup) is not None:
            return tight, least
        if self.best is not self.method:
            own = self.best.epsilon(setup, sigma=self.sigma, delta=self.delta, steps=self.steps)
            tight = np.fmin(tight, own)
        target = {"epsilon": self.epsilon[below], "delta": self.delta[below]}
        least[below] = self.best.sigma(setup, **target, steps=self.steps[below])
        return tight, least


def short_retraining(claim: Claim, steps: float) -> str:
    """Why a retraining of fewer than so many steps is none, in the unit of the claim."""
    whole = steps if claim.unit == "steps" else steps / claim.method.steps_per_epoch(claim.setup)
    verb = "is" if claim.count == 1 else "are"
    return f"{counted(claim.count or 0.0, claim.unit)} {verb} not a retraining ({shown(whole)})"


def _by_rounding(claims: Sequence[Claimed], below: Indices, reached: Callable[[Floats, Indices], Floats]) -> dict[int, str]:
    """Rows that some number which rounds to the printed one would certify, with that number in words."""
    found: dict[int, str] = {}
    if not below.size:
        return found
    noise = np.array([printed.high for at in below.tolist() if (printed := claims[at].sigma) is not None])
    for at, value in zip(below.tolist(), reached(noise, below).tolist(), strict=True):
        sigma, epsilon = claims[at].sigma, claims[at].epsilon
        assert sigma is not None
        assert epsilon is not None
        if value <= epsilon.value:
            found[at] = f"sigma up to {sigma.high:.10g} prints the same and would do"
        elif epsilon.digits >= _RESULT_DIGITS and value <= epsilon.high:
            found[at] = f"sigma up to {sigma.high:.10g} and epsilon up to {epsilon.high:.10g} print the same and would do"
    return found


def _verdict(claim: Claim, best: Method, holds: bool, numbers: Numbers, wasteful: float) -> tuple[str, str]:
    method = claim.method
    epsilon, sigma = value_of(claim.epsilon), claim.sigma
    assert epsilon is not None
    assert sigma is not None
    achieved, tight, needed = numbers["epsilon_achieved"], numbers["epsilon_tightest"], numbers["sigma_needed"]
    if holds:
        if method.family != "retrain" and needed and sigma.low > wasteful * needed:
            if needed <= SMALLEST:
                return "wasteful", "any noise at all would do"
            return "wasteful", f"sigma = {digits(needed, 5)} would do, {digits(sigma.value / needed, 3, down=True)} times less"
        return "certified", ""
    if method.family == "retrain":
        return "fails", short_retraining(claim, (numbers["epochs_needed"] or 0.0) * claim.method.steps_per_epoch(claim.setup))
    says = f"{method.name} proves nothing here" if achieved is None else f"{method.name} gives epsilon = {digits(achieved, 5)}"
    if needed is not None and needed > 0:
        says += f" and needs sigma = {digits(needed, 5)}"
    if best is method:
        return "fails", says
    if tight is not None and tight <= epsilon:
        return "certified-tighter", f"{says}; {best.name} gives epsilon = {digits(tight, 5)}"
    tightest = "proves nothing either" if tight is None else f"gives epsilon = {digits(tight, 5)}"
    if numbers["sigma_tightest"]:
        tightest += f" and needs sigma = {digits(numbers['sigma_tightest'], 5)}"
    return "fails", f"{says}; {best.name} {tightest}"
