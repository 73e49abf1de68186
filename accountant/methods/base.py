"""What a method is: a way of honouring deletions, with its noise, its guarantee and its length from one another."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from accountant.methods.about import About
from accountant.numerics import (
    LARGEST,
    MAX_COUNT,
    SMALLEST,
    Floats,
    Indices,
    InputError,
    UnreachableError,
    decreasing_root,
    integer,
    limit_of,
    number,
    numbers,
    smallest_count,
    smallest_whole,
)
from accountant.questions import Setup
from accountant.requests import Followed

#: Relative error of a sum of logarithms for each unit of their sizes.
ROUNDING: Final = 8 * 2.0**-53
#: What a method is asked about: the setup of noisy SGD, or an algorithm whose steps both runs share.
Asked = TypeVar("Asked", contravariant=True)
#: What streams and lengths are counted in.
Unit = Literal["epochs", "steps"]


class Needed(NamedTuple):
    """The smallest sigma of each row, and why some rows have none: the others' sigma is a number, theirs is inf."""

    #: In the common shape of the question.
    sigma: Floats
    #: A sentence by row, counted through the flattened sigma.
    refusals: dict[int, str]


class Stream(ABC):
    """Requests one after the other under a method, at one noise and one target, counted in whole epochs or steps."""

    @abstractmethod
    def follow(self, counts: Floats, points: Floats) -> Followed:
        """Answer the next requests, (k,) points each, with (k,) epochs (or steps), whether or not that is enough."""

    @abstractmethod
    def request(self, points: int = 1) -> int:
        """Answer one request with the fewest epochs (or steps) that keep the target; UnreachableError if none do."""


class Peer(ABC, Generic[Asked]):
    """What every method answers, about settings of its own kind: one file per method, ``methods/names.py`` has their tables.

    Questions are arrays that broadcast: sigma > 0, epsilon >= 0, delta in (0, 1), steps >= 0, about a setting that has no
    ``refusal``. What sigma means is the method's (``noise``). Results are on the safe side; inf (for delta: 1) in the rows
    where nothing is proved, or where no number of steps is enough. Nothing is raised for the sake of a row.
    """

    name: str
    #: A few words for tables.
    title: str
    source: str
    #: What runs: noisy SGD, descent with output noise, retraining. Methods of a family are bounds on the same runs.
    family: str
    #: What is proved.
    proves: str
    #: The method with the tightest bound known for the same run.
    tightest: str
    #: What sigma is.
    noise: str
    #: What runs, for which losses, data and requests, whose code, and since when: required, tables have it.
    about: About

    @abstractmethod
    def refusal(self, setup: Asked) -> str | None:
        """Why the method proves nothing about a setting, whatever the numbers; None where it does prove something."""

    def check(self, setup: Asked) -> None:
        """Raise InputError, with the reason, where the method proves nothing."""
        reason = self.refusal(setup)
        if reason is not None:
            raise InputError(reason)

    @abstractmethod
    def epsilon(self, setup: Asked, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        """Smallest epsilon proved."""

    @abstractmethod
    def delta(self, setup: Asked, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        """Smallest delta proved, at most 1."""

    @abstractmethod
    def needed(self, setup: Asked, *, epsilon: Floats, delta: Floats, steps: Floats) -> Needed:
        """Smallest sigma that proves the target, with the reasons of the rows that no sigma does."""

    def sigma(self, setup: Asked, *, epsilon: Floats, delta: Floats, steps: Floats) -> Floats:
        """Smallest sigma that proves the target.

        >>> from accountant import PNSGD, preset
        >>> from accountant.methods import METHODS
        >>> setup, one = Setup(PNSGD(preset("mnist"))), {"delta": np.array([1e-5]), "steps": np.array([0.0, 1.0])}
        >>> METHODS["d2d"].sigma(setup, epsilon=np.array([1.0]), **one).round(3).tolist()
        [inf, 3.429]
        """
        return self.needed(setup, epsilon=epsilon, delta=delta, steps=steps).sigma

    @abstractmethod
    def fewest(self, setup: Asked, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: Unit = "epochs") -> Floats:
        """Smallest number of epochs (or steps)."""

    @abstractmethod
    def assumptions(self, setup: Asked) -> tuple[str, ...]:
        """What the guarantee rests on, a sentence each."""


class Method(Peer[Setup]):
    """A method for convex losses: noisy SGD on batches, and what competes with it."""

    noise = "every step adds N(0, 2 eta sigma^2 I)"

    #: Where the deleted points lie unless the setup says it.
    default_batches: str = "full"

    @abstractmethod
    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> Stream:
        """Requests from now on; InputError where ``refusal`` has a reason, or where the method has no streams."""

    @abstractmethod
    def released_std(self, setup: Setup, sigma: float) -> float | None:
        """Largest standard deviation, per coordinate, of all noise in the released model; None where it has no limit."""

    def steps_per_epoch(self, setup: Setup) -> int:
        """Steps that the method counts as an epoch."""
        return setup.algorithm.steps_per_epoch

    def evaluations(self, setup: Setup, steps: int) -> int:
        """Per-sample gradients in so many steps of unlearning."""
        return setup.algorithm.gradient_evaluations(steps)


class Searched(Method):
    """Methods from a formula of their own: subclasses give epsilon, and a sigma close to the smallest.

    sigma, delta and the number of steps are found from epsilon by the searches of ``numerics``.
    """

    def unproved(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> dict[int, str]:
        """Why some rows, of arrays (P,), are proved by no sigma; empty where all are by some."""
        return {}

    @abstractmethod
    def nearly(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> Floats:
        """The smallest sigma up to some roundings, (P,), of rows that ``unproved`` does not name."""

    def needed(self, setup: Setup, *, epsilon: Floats, delta: Floats, steps: Floats) -> Needed:
        target, chance, count = flat(epsilon, delta, steps)
        refusals = self.unproved(setup, target, chance, count)
        proved = np.ones(target.size, dtype=np.bool_)
        proved[list(refusals)] = False
        rows = np.flatnonzero(proved)
        target, chance, count = target[rows], chance[rows], count[rows]

        def reached(noise: Floats, at: Indices) -> Floats:
            return self.epsilon(setup, sigma=noise, delta=chance[at], steps=count[at])

        sigma = np.full(proved.size, np.inf)
        sigma[rows] = smallest_sigma(reached, self.nearly(setup, target, chance, count), target)
        for at in np.flatnonzero(np.isinf(sigma[rows])).tolist():
            refusals[int(rows[at])] = f"no sigma up to {LARGEST:g} proves epsilon={target[at]:g}"
        return Needed(shaped(sigma, epsilon, delta, steps), refusals)

    def fewest(self, setup: Setup, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: Unit = "epochs") -> Floats:
        noise, target, chance = flat(sigma, epsilon, delta)
        stride = self.steps_per_epoch(setup) if unit == "epochs" else 1

        def holds(count: Floats, rows: Indices) -> NDArray[np.bool_]:
            reached = self.epsilon(setup, sigma=noise[rows], delta=chance[rows], steps=count * stride)
            return reached <= target[rows]

        return shaped(smallest_count(holds, low=np.zeros(noise.size)), sigma, epsilon, delta)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        noise, target, count = flat(sigma, epsilon, steps)

        def excess(x: Floats, rows: Indices) -> tuple[Floats, Floats]:
            over = self.epsilon(setup, sigma=noise[rows], delta=np.exp(x), steps=count[rows]) - target[rows]
            # Equality over a range of delta is no root: its lower end is.
            return np.where(over == 0, -1.0, over), np.zeros_like(x)

        low, high = np.full(noise.size, math.log(1e-300)), np.full(noise.size, math.log1p(-1e-15))
        met = excess(high, np.arange(noise.size))[0] <= 0
        result = np.ones(noise.size)
        some = np.flatnonzero(met)
        if some.size:

            def among(x: Floats, rows: Indices) -> tuple[Floats, Floats]:
                return excess(x, some[rows])

            root = decreasing_root(among, start=high[some], low=low[some], high=high[some])
            result[some] = np.minimum(np.exp(root) * (1 + 1e-13), 1.0)
        return shaped(result, sigma, epsilon, steps)


class FullBatch(Searched):
    """Methods that run on all points at every step, so that a step is an epoch."""

    def refusal(self, setup: Setup) -> str | None:
        problem, algorithm = setup.problem, setup.algorithm
        if algorithm.batch_size != problem.n:
            return f"batch_size must be full for {self.name}, which uses all points in every step, got {algorithm.batch_size}"
        if algorithm.own_draws:
            return f"assignment must be partition for {self.name}, which draws no batches, got {algorithm.assignment}"
        if not problem.strong_convexity > 0:
            return f"strong_convexity must be > 0 for {self.name}, got 0"
        if algorithm.rounding is not None:
            return (
                f"rounding must be left out for {self.name}, whose formula knows exact numbers only, got {algorithm.rounding}"
            )
        if algorithm.radius is not None:
            return f"radius must be left out for {self.name}, whose formula knows no projection, got {algorithm.radius}"
        if isinstance(setup.reference, int):
            return f"reference must be matched or converged for {self.name}, got {setup.reference}"
        return schedule_refusal(self.name, setup)

    def steps_per_epoch(self, setup: Setup) -> int:
        return 1

    def evaluations(self, setup: Setup, steps: int) -> int:
        return steps * setup.problem.n


def schedule_refusal(name: str, setup: Setup, *, classes: bool = False) -> str | None:
    """Methods are about constant settings, at which all of them can be asked the same; classes: of norm are known."""
    if setup.algorithm.norm_class < 1 and not classes:
        share = setup.algorithm.norm_class
        return f"norm_class must be left out for {name}, whose formula knows one bound M for all records, got {share}"
    return None if setup.schedule is None else f"schedule must be left out for {name}, which is asked about constant settings"


def flat(*arrays: Floats) -> list[Floats]:
    """The arrays in one shape, flattened."""
    return [np.ravel(array).astype(np.float64) for array in np.broadcast_arrays(*arrays)]


def shaped(values: Floats, *arrays: Floats) -> Floats:
    """Flattened results in the common shape of the arguments."""
    return values.reshape(np.broadcast_shapes(*(np.shape(array) for array in arrays)))


def smallest_sigma(reached: Callable[[Floats, Indices], Floats], guess: Floats, epsilon: Floats) -> Floats:
    """``guess`` (P,), raised by a few roundings until ``reached(sigma, rows)`` <= epsilon; at least 1e-300, inf above 1e300."""
    sigma, push = np.maximum(guess, SMALLEST), np.full_like(guess, 2.0**-52)
    unmet = np.flatnonzero(sigma <= LARGEST)
    while unmet.size:
        unmet = unmet[~(reached(sigma[unmet], unmet) <= epsilon[unmet])]
        sigma[unmet] *= 1 + push[unmet]
        push[unmet] *= 2
        unmet = unmet[sigma[unmet] <= LARGEST]
    return np.where(sigma <= LARGEST, sigma, np.inf)


class CountedStream(Stream):
    """A stream whose guarantee after the next request is a function of how long that request is worked on."""

    def __init__(self, setup: Setup, *, sigma: float, epsilon: float, delta: float) -> None:
        self.setup = setup
        self.sigma = number("sigma", sigma, above=0)
        self.target = number("epsilon", epsilon, at_least=0)
        self.delta = number("delta", delta, above=0, below=1)
        #: Points that are left to delete.
        self.left = setup.algorithm.private_records
        #: The last answer, from which the next is looked for.
        self._last = 0

    @abstractmethod
    def reached(self, count: float, points: float) -> float:
        """epsilon after a request of so many points that is answered with ``count`` steps; inf where nothing is proved."""

    @abstractmethod
    def advance(self, count: float, points: float) -> None:
        """Take the request as answered."""

    def needed(self, points: float) -> float:
        """Fewest steps that answer a request of so many points; inf where no number does."""
        fewest = smallest_whole(lambda count: self.reached(float(count), points) <= self.target, 0, MAX_COUNT, start=self._last)
        if fewest > MAX_COUNT:
            return math.inf
        self._last = fewest
        return float(fewest)

    def follow(self, counts: Floats, points: Floats) -> Followed:
        counts = numbers("counts", counts, at_least=0, at_most=MAX_COUNT, whole=True)
        points = np.broadcast_to(numbers("points", points, at_least=1, at_most=MAX_COUNT, whole=True), counts.shape)
        self._delete(float(points.sum()))
        epsilon, needed = np.empty(counts.size), np.empty(counts.size)
        for at, (count, size) in enumerate(zip(counts.tolist(), points.tolist(), strict=True)):
            epsilon[at], needed[at] = self.reached(count, size), self.needed(size)
            self.advance(count, size)
        return Followed(epsilon, needed)

    def request(self, points: int = 1) -> int:
        size = float(integer("points", points, at_least=1, at_most=max(self.left, 1)))
        self._check_left(size)
        count = self.needed(size)
        if not count <= MAX_COUNT:
            raise UnreachableError(f"no number of epochs up to {limit_of(MAX_COUNT)} reaches epsilon={self.target:g}")
        self._delete(size)
        self.advance(count, size)
        return int(count)

    def _delete(self, points: float) -> None:
        self._check_left(points)
        self.left -= int(points)

    def _check_left(self, points: float) -> None:
        if points > self.left:
            raise InputError(f"points must be at most {self.left}, what is left of the dataset, got {points:.0f}")
