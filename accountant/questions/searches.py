"""The searches of :func:`~accountant.solve` for counts that change the setting itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from accountant.curves import Mixture, unpaid
from accountant.numerics import (
    MAX_COUNT,
    SMALLEST,
    Floats,
    InputError,
    UnreachableError,
    digits,
    integer,
    limit_of,
    shown,
    smallest_whole,
)
from accountant.problem import ASSIGNMENTS, DOUBLES, MAX_POSITIONS, RANDOM, RESHUFFLE, WORST, oversize
from accountant.questions.accountant import UnlearningAccountant
from accountant.questions.settings import assembled

#: What can be solved for: the accountant's own methods first.
METHODS: Final = ("sigma", "epsilon", "delta", "epochs", "steps")
SOLVABLE: Final = (*METHODS, "learn_epochs", "batch_size", "n", "group_size")
#: Relative slack with which a range of values is excluded: above rounding, far below what matters.
_SLACK: Final = 1e-9
#: Batches up to which n is searched where every batch counts.
_MOST_BATCHES: Final = 100_000
#: Step sizes are tried in such ratios, so many of them, and the answer is found to this.
_RATIO, _RATIOS, _CLOSE = 2 ** (-1 / 16), 256, 1e-9
#: log of a mu with which nothing is private.
_LARGEST: Final = 345.0


class NotUniqueWarning(UserWarning):
    """The answer is an extreme, but not all values on its other side meet the target; the message names one that does not."""


def among(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: settings[name] for name in names if name in settings}


@dataclass(frozen=True)
class Search:
    """A question whose setting has one open count; the settings say sigma, epsilon and delta."""

    settings: dict[str, Any]
    unknown: str

    def accountant(self, value: float) -> UnlearningAccountant:
        return assembled(self.settings | {self.unknown: value}).accountant

    def epsilon(self, value: float) -> float:
        """What the value proves; inf for nothing."""
        asked = self.settings | {self.unknown: value}
        try:
            return float(self.accountant(value).epsilon(**among(asked, "sigma", "delta", "epochs", "steps")))
        except UnreachableError:
            return math.inf

    @property
    def own_draws(self) -> bool:
        """Whether records draw their batches by themselves."""
        assignment = self.settings.get("assignment", "")
        return assignment in ASSIGNMENTS and ASSIGNMENTS[assignment].own

    def pays(self, value: float) -> bool:
        """Whether batches of own draws that are too large leave anything of delta."""
        own = self.accountant(value)
        count = self.settings.get("steps", own.algorithm.steps_per_epoch * self.settings.get("epochs", 0))
        return oversize(own.algorithm, steps=int(count), points=own.group_size).pays(self.settings["delta"])

    def meets_unpaid(self, value: float) -> bool:
        """Whether the value would meet the target if no batch of own draws were ever too large, or nearly."""
        query = self.accountant(value).run(**among(self.settings, "epochs", "steps")).query
        mixture = query.mixture(query.steps[None], query.start[None])
        return self._met(mixture._replace(curve=unpaid(mixture.curve)))

    def meets(self, value: float) -> bool:
        """Whether the value, put back, meets the target."""
        return self.epsilon(value) <= self.settings["epsilon"]

    def smallest(self, *, low: int, high: int, holds: Callable[[int], bool] | None = None) -> int | None:
        """The smallest value in the range that meets the target (that ``holds``); None if there is none."""
        value = smallest_whole(holds or self.meets, low, high, start=low)
        return value if value <= high else None

    def largest(self, *, low: int, high: int) -> int:
        """The largest value in the range that meets the target; low - 1 if there is none."""
        return smallest_whole(lambda value: not self.meets(value), low, high, start=low) - 1

    def outermost(self, low: int, high: int, *, largest: bool) -> int | None:
        """The outermost value that meets the target among those with equally many batches; None if there is none."""
        if self.own_draws:
            # A larger divisor hides more, and a batch is less likely too large for it.
            found = high if self.meets(high) else None
            return found if largest or found is None else self.smallest(low=low, high=high)
        ranges = [(low, high)]
        while ranges:
            low, high = ranges.pop()
            end = high if largest else low
            if self.meets(end):
                return end
            if low == high or self._excluded(low, high):
                continue
            low, high = (low, high - 1) if largest else (low + 1, high)
            middle = (low + high) // 2
            halves = [(low, middle), (middle + 1, high)] if low < high else [(low, high)]
            ranges += halves if largest else reversed(halves)
        return None

    def unreachable(self, reason: str) -> UnreachableError:
        said = ", ".join(f"{name}={shown(value)}" for name, value in among(self.settings, *METHODS).items())
        return UnreachableError(f"no {self.unknown} is the answer for {said}: {reason}")

    def warn(self, answer: float, which: str, beyond: Iterable[float]) -> None:
        """Warn if one of the values ``beyond`` the answer, where one may expect it, does not meet the target."""
        for value in beyond:
            if not self.meets(value):
                side = "larger" if value > answer else "smaller"
                warnings.warn(
                    f"{self.unknown}={answer} is the {which} that meets the target, but not all {side} ones do: "
                    f"{self.unknown}={value} does not",
                    NotUniqueWarning,
                    stacklevel=4,
                )
                break

    def at(self, value: int) -> str:
        """What holds at a value, in words."""
        reached = self.epsilon(value)
        proved = f"epsilon={digits(reached, 4)}" if math.isfinite(reached) else "nothing"
        return f"{self.unknown}={limit_of(value)} proves {proved}"

    def _excluded(self, low: int, high: int) -> bool:
        """Whether surely no value from ``low`` to ``high``, which have equally many batches, meets the target.

        Between the two ends each batch has at least the smaller of their shares and the smaller of their mu: the law of mu that
        has these, and zero for the rest, proves at least as much.
        """
        length = among(self.settings, "epochs", "steps")
        ends = [self.accountant(value).components_at(DOUBLES, **length) for value in (low, high)]
        # Dropped points are a last component, which is missing where there are none.
        size = max(end.log_weights.size for end in ends)

        def least(arrays: Iterable[Floats]) -> Floats:
            return np.min([np.pad(array, (0, size - array.size), constant_values=-np.inf) for array in arrays], axis=0)

        log_weights = least(end.log_weights for end in ends)
        if self.accountant(low).algorithm.radius is not None and self._may_contract(low, high, length):
            return False
        log_mu = least(end.log_mu(np.array([self.settings["sigma"]]))[0] for end in ends)
        rest = max(1 - float(np.exp(log_weights).sum()), SMALLEST)
        weights = np.append(log_weights, math.log(rest))
        return not self._met(Mixture(weights, np.append(log_mu, -np.inf)[None], ends[0].curve), sigma=1.0)

    def _may_contract(self, low: int, high: int, length: Mapping[str, Any]) -> bool:
        """Whether blocks are looked for at an end: then nothing is excluded by what strings prove."""
        target = {name: self.settings[name] for name in ("sigma", "delta")}
        return any(self.accountant(value).ask("epsilon", **target, **length).blocks > 1 for value in (low, high))

    def _met(self, mixture: Mixture, sigma: float | None = None) -> bool:
        """Whether one row of components meets the target, or nearly."""
        log_mu = mixture.log_mu(np.array([self.settings["sigma"] if sigma is None else sigma]))
        met = mixture.curve.meets(
            np.array([self.settings["epsilon"] * (1 + _SLACK)]),
            np.array([min(math.log(self.settings["delta"]) + _SLACK, 0.0)]),
            mixture.log_weights,
            np.minimum(log_mu, _LARGEST),
        )
        return bool(met[0])


def solve_learn_epochs(search: Search) -> int:
    accountant = search.accountant(1)
    accountant.check()
    if accountant.bound == "paper" and accountant.algorithm.log_contraction < 0:
        raise InputError(
            "learn_epochs must be given for bound=paper with strong convexity, whose form for finite learning need not go one "
            "way with it; bound=optimal does"
        )
    assignment = accountant.algorithm.assignment
    if accountant.starts_apart and ASSIGNMENTS[assignment].finite:
        raise InputError(
            f"learn_epochs must be given with assignment={assignment} and a reference that starts apart: longer learning helps "
            "there, but every draw may come out too large"
        )
    if accountant.starts_apart:
        found = search.smallest(low=1, high=MAX_COUNT)
        if found is None:
            raise search.unreachable(f"learning longer helps, but {search.at(MAX_COUNT)}")
        return found
    # Quickly known, where it is so.
    longest = MAX_COUNT if search.meets(MAX_COUNT) else search.largest(low=1, high=MAX_COUNT)
    if longest < 1:
        raise search.unreachable(f"learning longer never proves more, and {search.at(1)}")
    if longest == MAX_COUNT:
        raise search.unreachable(f"there is no largest, because every number of epochs up to {limit_of(MAX_COUNT)} meets it")
    return longest


def solve_group_size(search: Search) -> int:
    one = search.accountant(1)
    high = one.placing.room
    if high > 1:
        search.accountant(2).check()
    low = 1
    if one.batches in (RANDOM, RESHUFFLE):
        # What holds whatever the order is quickly known, and the average is no worse.
        surely = Search(search.settings | {"batches": WORST}, search.unknown).largest(low=1, high=high)
        low = surely if surely > 1 and search.meets(surely) else 1
    size = search.largest(low=low, high=high)
    if size < 1:
        raise search.unreachable(f"a larger group never proves more, and {search.at(1)}")
    return size


def solve_batch_size(search: Search) -> int:
    _check_share(search)
    one = search.accountant(1)
    _check_layout(search, one)
    n, keep = one.algorithm.problem.n, one.algorithm.last_batch == "keep"
    if n > MAX_POSITIONS:
        raise InputError(f"n must be at most {MAX_POSITIONS} where batch_size is the unknown: all sizes are searched, got {n}")
    which = search.settings.get("extreme", "largest" if "epochs" in search.settings else "smallest")
    largest = which == "largest"
    top = n
    if isinstance(one.batches, int) and one.batches > 0:
        # The batch must exist.
        top = (n - 1) // one.batches if keep else n // (one.batches + 1)
    at = top if largest else 1
    while 1 <= at <= top:
        # All sizes that make equally many batches.
        if keep:
            count = -(-n // at)
            low, high = -(-n // count), (n - 1) // (count - 1) if count > 1 else n
        else:
            count = n // at
            low, high = n // (count + 1) + 1, n // count
        found = search.outermost(low, min(high, top), largest=largest)
        if found is not None:
            # The next size inwards, and the next with the shortest last batch.
            inwards = [found - 1, low - 1] if largest else [found + 1, high]
            search.warn(found, which, (b for b in inwards if 1 <= b <= top and b != found))
            return found
        at = low - 1 if largest else high + 1
    raise search.unreachable(f"none from 1 to {top} meets it")


def solve_n(search: Search) -> int:
    _check_share(search)
    given = search.settings.get("batch_size", "full")
    fewest = integer("group_size", search.settings.get("group_size", 1), at_least=1)
    if isinstance(given, str):
        # One batch, whose single sensitivity falls with n.
        found = search.smallest(low=fewest, high=MAX_COUNT)
        if found is None:
            raise search.unreachable(f"more points help, but {search.at(MAX_COUNT)}")
        return found
    size = integer("batch_size", given, at_least=1)
    largest = search.settings.get("largest_n")
    most_n = min(_MOST_BATCHES * size, MAX_COUNT // 2) if search.own_draws else MAX_COUNT
    widest = search.accountant(most_n if largest is None else integer("largest_n", largest, at_least=size))
    _check_layout(search, widest)
    keep, batches = widest.algorithm.last_batch == "keep", widest.batches
    if not keep and batches == RANDOM:
        raise InputError(
            "last_batch must be keep where n is the unknown of batches=random: the share of dropped points goes up and down "
            "with n"
        )
    if isinstance(widest.reference, int) and "steps" in search.settings:
        raise InputError(
            f"epochs must be given instead of steps where n is the unknown and reference={widest.reference}: how much of "
            "retraining the steps are changes with n"
        )
    fewest = max(fewest, size)
    if isinstance(batches, int):
        # The batch must exist.
        fewest = max(fewest, batches * size + 1 if keep else (batches + 1) * size)

    def block(count: int) -> tuple[int, int]:
        """All n that make so many batches."""
        low = (count - 1) * size + 1 if keep else count * size
        return max(low, fewest), low + size - 1

    def holds(count: int) -> bool:
        return search.outermost(*block(count), largest=False) is not None

    if search.own_draws:
        end = _MOST_BATCHES if largest is None else -(-largest // size)
        return _smallest_of_own_draws(search, block, least=-(-fewest // size), most=min(end, _MOST_BATCHES))
    most = _MOST_BATCHES if batches == RANDOM else MAX_COUNT // size - 1
    most = min(most, int(MAX_COUNT // max(search.settings.get("epochs", 1), 1)))
    least = -(-fewest // size) if keep else fewest // size
    count = search.smallest(low=least, high=most, holds=holds)
    if count is None:
        raise search.unreachable(f"none up to {block(most)[1]} meets it")
    found = search.outermost(*block(count), largest=False)
    assert found is not None
    # The next n, and the next with a last batch of one point.
    search.warn(found, "smallest", (found + 1, block(count + 1)[0]))
    return found


def _smallest_of_own_draws(search: Search, block: Callable[[int], tuple[int, int]], *, least: int, most: int) -> int:
    """Among equally many batches the fewest records do best: what is left is to find how many batches.

    More batches prove more, but for those that are too large, which become more likely: so the fewest that would do without
    those, and on from there.
    """
    count = search.smallest(low=least, high=most, holds=lambda count: search.meets_unpaid(block(count)[0]))
    if count is None:
        raise search.unreachable(f"none up to {block(most)[1]} meets it")
    for batches in range(count, most + 1):
        found = block(batches)[0]
        if search.meets(found):
            search.warn(found, "smallest", (n for n in (found + 1, block(batches)[1]) if n <= block(most)[0]))
            return found
        if not search.pays(found):
            raise search.unreachable(
                f"fewer than {found} points do not meet it, and with more of them batches are too large too often"
            )
    raise search.unreachable(f"none up to {block(most)[1]} meets it")


def solve_step_size(search: Search) -> float:
    """The largest, from the largest that there is downwards in small ratios."""
    accountant = assembled(search.settings).accountant
    accountant.check()
    problem = accountant.algorithm.problem
    top = 2 / problem.smoothness
    if search.own_draws and problem.strong_convexity > 0:
        top = min(top, 1 / problem.strong_convexity)
    # With 2/smoothness itself a partition's steps do not contract, which may have no answer of its own.
    if search.own_draws and search.meets(top):
        return top
    high = top
    for _ in range(_RATIOS):
        low = high * _RATIO
        if search.meets(low):
            break
        high = low
    else:
        raise search.unreachable(f"none from {shown(high)} to {shown(top)} meets it")
    while high > low * (1 + _CLOSE):
        middle = low + (high - low) / 2
        low, high = (middle, high) if search.meets(middle) else (low, middle)
    search.warn(low, "largest", (low * _RATIO, low / 2, low / 16))
    return low


def _check_share(search: Search) -> None:
    """Refuse a share of public records, of which there are whole ones in a batch."""
    share = search.settings.get("public_share")
    if share:
        raise InputError(
            f"public_share must be left out where {search.unknown} is the unknown: whole public records per batch go up and "
            f"down with it, got {share}"
        )


def _check_layout(search: Search, accountant: UnlearningAccountant) -> None:
    """Refuse averages whose law does not go one way with the size of a batch; those over own draws do."""
    if search.own_draws:
        accountant.check()
        return
    if accountant.batches == RESHUFFLE or (accountant.group_size > 1 and accountant.batches != WORST):
        whose = " of a group" if accountant.group_size > 1 else ""
        raise InputError(f"batches must be worst where {search.unknown} is the unknown{whose}, got {accountant.batches}")
