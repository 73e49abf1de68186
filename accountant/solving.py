"""``accountant.solve``: whichever one number of a question is not known, from all the others.

sigma, epsilon, delta, epochs and steps are the accountant's own answers. The other unknowns change the setting itself; what
makes their search right is one lemma. *Steps without a difference, smaller differences and a shorter history never hurt*: with
the shifts of the worse run, cut where the distance is already zero, the better run's distances stay below the worse run's, and
so it ends together at no larger mu. The published distances obey the same order. Hence (docs/theory.md, "Other unknowns")

- more epochs of matched learning prove less, and more where retraining starts apart;
- a larger group proves less;
- as long as the number of batches stays the same, the mu of each batch and its share of the points move in one direction
  with the batch size and with n; and with n mod b kept, a further batch never hurts.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Final, TypedDict, Unpack, cast, get_type_hints

import numpy as np
from numpy.typing import NDArray

from accountant.algorithm import MAX_POSITIONS
from accountant.assumptions import RANDOM, RESHUFFLE, WORST
from accountant.constants import DOUBLES
from accountant.roots import smallest_count
from accountant.schedule import Schedule
from accountant.settings import SCHEDULE, assembled, merged
from accountant.unlearning import MAX_EPSILON, UnlearningAccountant
from accountant.validation import MAX_COUNT, SMALLEST, InputError, UnreachableError, choice, integer, number, shown

Floats = NDArray[np.float64]

#: What can be solved for: the accountant's own methods first.
METHODS: Final = ("sigma", "epsilon", "delta", "epochs", "steps")
UNKNOWNS: Final = (*METHODS, "learn_epochs", "batch_size", "n", "group_size")
EXTREMES: Final = ("smallest", "largest")
#: Relative slack with which a range of values is excluded: above rounding, far below what matters.
_SLACK: Final = 1e-9
#: Batches up to which n is searched where every batch counts.
_MOST_BATCHES: Final = 100_000
#: log of a mu with which nothing is private.
_LARGEST: Final = 345.0


class NotUniqueWarning(UserWarning):
    """The answer is an extreme, but not all values on its other side meet the target; the message names one that does not."""


class Question(TypedDict, total=False):
    """The arguments of :func:`solve`: None for the unknown, and left out for the default."""

    sigma: float | None
    epsilon: float | None
    delta: float | None
    epochs: int | None
    steps: int | None
    preset: str | None
    problem: str | PathLike[str] | None
    n: int | None
    smoothness: float
    strong_convexity: float
    lipschitz: float
    adjacency: str
    batch_size: int | str | None
    step_size: float | None
    radius: float | None
    learn_epochs: int | str | None
    last_batch: str
    bound: str
    batches: str | int | Sequence[int] | None
    reference: str | int
    group_size: int | None
    schedule: Schedule | Sequence[Mapping[str, Any]] | None
    extreme: str | None


def solve(**question: Unpack[Question]) -> float | int:
    """The one argument that is None, from the others: a float, or an int for what is counted.

    Arguments (all keywords, scalars, names and domains as everywhere else): sigma, epsilon, delta; epochs or steps; the problem
    (n, smoothness, strong_convexity, lipschitz, adjacency), or ``preset`` or ``problem`` (a TOML file) for it, each key
    overriding; batch_size, step_size, radius, learn_epochs, last_batch; bound, batches, reference, group_size, schedule.

    Exactly one of sigma, epsilon, delta, epochs, steps, learn_epochs, batch_size, n and group_size must be None: the unknown.
    What is left out, or is the word "default", has its default (learn_epochs: converged; delta: 1/n, where n is known).

    - sigma, epsilon, delta, epochs, steps: the smallest that proves the target, as the methods of ``UnlearningAccountant`` (but
      for a rounding, where that is needed to meet it put back); sigma and delta are never below 1e-300;
    - learn_epochs: the largest that meets it; with a reference that starts apart, where learning longer helps, the smallest;
    - group_size: the largest; n: the smallest, all constants staying what they are;
    - batch_size: the largest for given epochs, the smallest for given steps, or as ``extreme`` says ("smallest", "largest").
      All sizes are searched, because those that meet the target need not be neighbours.

    A count was put back and met the target; the next one beyond it (larger for a largest, smaller for a smallest) did not,
    unless its range ends there. Of n and batch_size the values that meet it need not be neighbours: NotUniqueWarning if the
    next one inwards, or the next with a short last batch, does not. Raises InputError for arguments outside their domain and
    for unknowns in settings where no search is proved right, UnreachableError where no value meets the target, or where all
    do and there is no largest.
    """
    unknown, settings = _read(question)
    search = _Search(settings, unknown)
    return _SOLVERS[unknown](search) if unknown in _SOLVERS else _own(search)


def _read(question: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The unknown's name and all settings but it, checked as far as they do not depend on each other."""
    names = tuple(get_type_hints(Question))
    for name in question:
        if name not in names:
            raise InputError(f"argument {name!r} is unknown: it must be one of {', '.join(names)}")
    marked = [name for name in UNKNOWNS if name in question and question[name] is None]
    if len(marked) != 1:
        raise InputError(
            f"exactly one of {', '.join(UNKNOWNS)} must be None, the unknown, got {' and '.join(marked) or 'none'}; "
            "what is left out has its default"
        )
    unknown = marked[0]
    options = {name: value for name, value in question.items() if name not in ("preset", "problem")}
    settings = merged(options, preset_name=question.get("preset"), problem_file=question.get("problem"))
    settings.pop(unknown, None)
    for name in ("sigma", "epsilon"):
        if name != unknown and name not in settings:
            raise InputError(f"{name} must be given: it is not the unknown and has no default")
    lengths = [name for name in ("epochs", "steps") if name in settings]
    if unknown in ("epochs", "steps") and lengths:
        raise InputError(f"{lengths[0]} must be left out where {unknown} is the unknown, got {settings[lengths[0]]!r}")
    limits: dict[str, dict[str, float]] = {
        "sigma": {"above": 0},
        "epsilon": {"at_least": 0, "at_most": MAX_EPSILON},
        "delta": {"above": 0, "below": 1},
        "epochs": {"at_least": 0, "at_most": MAX_COUNT},
        "steps": {"at_least": 0, "at_most": MAX_COUNT},
    }
    for name, allowed in limits.items():
        if name in settings:
            number(name, settings[name], **allowed)
    if "extreme" in settings:
        choice("extreme", settings["extreme"], EXTREMES)
        if unknown != "batch_size":
            raise InputError(f"extreme must be left out unless batch_size is the unknown, got {settings['extreme']!r}")
    if unknown in ("learn_epochs", "batch_size", "n") and SCHEDULE in settings:
        raise InputError(f"schedule must be left out where {unknown} is the unknown: its phases may say that themselves")
    if unknown in ("batch_size", "n", "group_size") and np.ndim(settings.get("batches", 0)) > 0:
        raise InputError(f"batches must be a word or a position where {unknown} is the unknown: numbers per batch fix it")
    if unknown == "n" and "delta" not in settings:
        raise InputError("delta must be given where n is the unknown: its default 1/n would move with it")
    if unknown not in (*METHODS, "n"):
        settings.setdefault("delta", assembled(settings | {unknown: 1}).accountant.default_delta)
    return unknown, settings


def _among(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: settings[name] for name in names if name in settings}


@dataclass(frozen=True)
class _Search:
    """A question whose setting has one open count; the settings say sigma, epsilon and delta."""

    settings: dict[str, Any]
    unknown: str

    def accountant(self, value: float) -> UnlearningAccountant:
        return assembled(self.settings | {self.unknown: value}).accountant

    def epsilon(self, value: float) -> float:
        """What the value proves; inf for nothing."""
        asked = self.settings | {self.unknown: value}
        try:
            return float(self.accountant(value).epsilon(**_among(asked, "sigma", "delta", "epochs", "steps")))
        except UnreachableError:
            return math.inf

    def meets(self, value: float) -> bool:
        """Whether the value, put back, meets the target."""
        return self.epsilon(value) <= self.settings["epsilon"]

    def smallest(self, *, low: int, high: int, holds: Callable[[int], bool] | None = None) -> int | None:
        """The smallest value in the range that meets the target (that ``holds``), by bisection; None if there is none."""
        asked = holds or self.meets
        found = smallest_count(lambda x, _: np.array([asked(int(x[0]))]), low=np.array([float(low)]), high=float(high))[0]
        return int(found) if math.isfinite(found) else None

    def largest(self, *, low: int, high: int) -> int:
        """The largest value in the range that meets the target, by bisection; low - 1 if there is none."""
        fails = self.smallest(low=low, high=high, holds=lambda value: not self.meets(value))
        return high if fails is None else fails - 1

    def outermost(self, low: int, high: int, *, largest: bool) -> int | None:
        """The outermost value that meets the target among those with equally many batches; None if there is none."""
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
        said = ", ".join(f"{name}={shown(value)}" for name, value in _among(self.settings, *METHODS).items())
        return UnreachableError(f"no {self.unknown} is the answer for {said}: {reason}")

    def warn(self, answer: int, which: str, beyond: Iterable[int]) -> int:
        """The answer, with a warning if one of the values ``beyond`` it, where one may expect it, does not meet the target."""
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
        return answer

    def at(self, value: int) -> str:
        """What holds at a value, in words."""
        reached = self.epsilon(value)
        proved = f"epsilon={reached:.4g}" if math.isfinite(reached) else "nothing"
        return f"{self.unknown}={value} proves {proved}"

    def _excluded(self, low: int, high: int) -> bool:
        """Whether surely no value from ``low`` to ``high``, which have equally many batches, meets the target.

        Between the two ends each batch has at least the smaller of their shares and the smaller of their mu: the law of mu that
        has these, and zero for the rest, proves at least as much.
        """
        length = _among(self.settings, "epochs", "steps")
        ends = [self.accountant(value).components_at(DOUBLES, **length) for value in (low, high)]
        # Dropped points are a last component, which is missing where there are none.
        size = max(end.log_weights.size for end in ends)

        def least(arrays: Iterable[Floats]) -> Floats:
            return np.min([np.pad(array, (0, size - array.size), constant_values=-np.inf) for array in arrays], axis=0)

        log_weights = least(end.log_weights for end in ends)
        log_mu = least(end.log_mu(np.array([self.settings["sigma"]]))[0] for end in ends)
        rest = max(1 - float(np.exp(log_weights).sum()), SMALLEST)
        met = ends[0].curve.meets(
            np.array([self.settings["epsilon"] * (1 + _SLACK)]),
            np.array([min(math.log(self.settings["delta"]) + _SLACK, 0.0)]),
            np.append(log_weights, math.log(rest)),
            np.append(np.minimum(log_mu, _LARGEST), -np.inf)[None],
        )
        return not met[0]


def _own(search: _Search) -> float | int:
    """The accountant's own answer, which has to meet the target put back."""
    unknown = search.unknown
    accountant = assembled(search.settings).accountant
    value = cast(float, getattr(accountant, unknown)(**_among(search.settings, *METHODS)))
    if unknown == "sigma":
        return value
    if unknown == "epsilon":
        return max(value, SMALLEST) if value > 0 else value
    if unknown == "delta":
        value = max(value, SMALLEST)
    # Each of the answers is rounded to the safe side, so that there and back may miss by a rounding.
    push = 2.0**-50
    while value < 1 or unknown != "delta":
        if search.meets(value):
            return value
        value = value * (1 + push) if unknown == "delta" else value + 1
        push *= 2
    raise search.unreachable("only delta = 1 is proved, which says nothing")


def _learn_epochs(search: _Search) -> int:
    accountant = search.accountant(1)
    accountant.check()
    if accountant.bound == "paper" and accountant.algorithm.log_contraction < 0:
        raise InputError(
            "learn_epochs must be given for bound=paper with strong convexity, whose form for finite learning need not go one "
            "way with it; bound=optimal does"
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
        raise search.unreachable(f"there is no largest, because every number of epochs up to {MAX_COUNT} meets it")
    return longest


def _group_size(search: _Search) -> int:
    one = search.accountant(1)
    high = one.largest_group
    if high > 1:
        search.accountant(2).check()
    low = 1
    if one.batches in (RANDOM, RESHUFFLE):
        # What holds whatever the order is quickly known, and the average is no worse.
        surely = _Search(search.settings | {"batches": WORST}, search.unknown).largest(low=1, high=high)
        low = surely if surely > 1 and search.meets(surely) else 1
    size = search.largest(low=low, high=high)
    if size < 1:
        raise search.unreachable(f"a larger group never proves more, and {search.at(1)}")
    return size


def _batch_size(search: _Search) -> int:
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
            return search.warn(found, which, (b for b in inwards if 1 <= b <= top and b != found))
        at = low - 1 if largest else high + 1
    raise search.unreachable(f"none from 1 to {top} meets it")


def _n(search: _Search) -> int:
    given = search.settings.get("batch_size", "full")
    fewest = integer("group_size", search.settings.get("group_size", 1), at_least=1)
    if isinstance(given, str):
        # One batch, whose single sensitivity falls with n.
        found = search.smallest(low=fewest, high=MAX_COUNT)
        if found is None:
            raise search.unreachable(f"more points help, but {search.at(MAX_COUNT)}")
        return found
    size = integer("batch_size", given, at_least=1)
    widest = search.accountant(MAX_COUNT)
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

    most = _MOST_BATCHES if batches == RANDOM else MAX_COUNT // size - 1
    most = min(most, int(MAX_COUNT // max(search.settings.get("epochs", 1), 1)))
    least = -(-fewest // size) if keep else fewest // size
    count = search.smallest(low=least, high=most, holds=holds)
    if count is None:
        raise search.unreachable(f"none up to {block(most)[1]} meets it")
    found = search.outermost(*block(count), largest=False)
    assert found is not None
    # The next n, and the next with a last batch of one point.
    return search.warn(found, "smallest", (found + 1, block(count + 1)[0]))


def _check_layout(search: _Search, accountant: UnlearningAccountant) -> None:
    """Refuse averages whose law does not go one way with the size of a batch."""
    if accountant.batches == RESHUFFLE or (accountant.group_size > 1 and accountant.batches != WORST):
        whose = " of a group" if accountant.group_size > 1 else ""
        raise InputError(f"batches must be worst where {search.unknown} is the unknown{whose}, got {accountant.batches}")


_SOLVERS: Final[dict[str, Callable[[_Search], int]]] = {
    "learn_epochs": _learn_epochs,
    "batch_size": _batch_size,
    "n": _n,
    "group_size": _group_size,
}
