"""What a method is: a way of honouring deletions, with its noise, its guarantee and its length from one another."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import (
    LARGEST,
    MAX_COUNT,
    SMALLEST,
    Floats,
    InputError,
    UnreachableError,
    decreasing_root,
    integer,
    number,
    numbers,
    smallest_count,
)
from accountant.problem import PNSGD, Problem, parse_reference
from accountant.requests import Followed


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a method is asked about; None leaves a choice to the method. Fields as in Problem, PNSGD and UnlearningAccountant.

    dimension: number of parameters of the model, for the one formula that needs it.
    """

    problem: Problem
    batch_size: int | str | None = None
    step_size: float | None = None
    radius: float | None = None
    learn_epochs: int | None = None
    last_batch: str = "keep"
    group_size: int = 1
    batches: str | int | None = None
    reference: str | int = "matched"
    dimension: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.problem, Problem):
            raise InputError(f"problem must be a Problem, got {self.problem!r}")
        integer("group_size", self.group_size, at_least=1, at_most=self.problem.n)
        parse_reference(self.reference)
        if self.dimension is not None:
            integer("dimension", self.dimension, at_least=1)

    @cached_property
    def algorithm(self) -> PNSGD:
        """The noisy SGD of this setup, full batch where no size is given."""
        size = "full" if self.batch_size is None else self.batch_size
        return PNSGD(
            self.problem,
            size,
            step_size=self.step_size,
            radius=self.radius,
            learn_epochs=self.learn_epochs,
            last_batch=self.last_batch,
        )

    @property
    def default_delta(self) -> float:
        """1/n, which is no probability below one for a single point."""
        if self.problem.n == 1:
            raise InputError("delta must be given for n = 1: the default 1/n would be 1")
        return 1 / self.problem.n

    def with_(self, **changes: object) -> Setup:
        return replace(self, **changes)  # type: ignore[arg-type]


class Stream(ABC):
    """Requests one after the other under a method, at one noise and one target, counted in whole epochs or steps."""

    @abstractmethod
    def follow(self, counts: Floats, points: Floats) -> Followed:
        """Answer the next requests, (k,) points each, with (k,) epochs (or steps), whether or not that is enough."""

    @abstractmethod
    def request(self, points: int = 1) -> int:
        """Answer one request with the fewest epochs (or steps) that keep the target; UnreachableError if none do."""


class Method(ABC):
    """One file per method; ``methods/__init__.py`` has the table of names.

    Questions are arrays that broadcast: sigma > 0, epsilon >= 0, delta in (0, 1), steps >= 0. What sigma means is the method's
    (``noise``). Results are on the safe side; inf where nothing is proved, or where no number of steps is enough.
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
    noise: str = "every step adds N(0, 2 eta sigma^2 I)"

    #: Where the deleted points lie unless the setup says it.
    default_batches: str = "full"

    @abstractmethod
    def check(self, setup: Setup) -> None:
        """Raise InputError, with the reason, where the method proves nothing."""

    @abstractmethod
    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats: ...

    @abstractmethod
    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats: ...

    @abstractmethod
    def sigma(self, setup: Setup, *, epsilon: Floats, delta: Floats, steps: Floats) -> Floats: ...

    @abstractmethod
    def fewest(self, setup: Setup, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: str = "epochs") -> Floats:
        """Smallest number of epochs (or steps)."""

    @abstractmethod
    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: str = "epochs") -> Stream: ...

    @abstractmethod
    def assumptions(self, setup: Setup) -> tuple[str, ...]: ...

    @abstractmethod
    def released_std(self, setup: Setup, sigma: float) -> float | None:
        """Largest standard deviation, per coordinate, of all noise in the released model; None where it has no limit."""

    def steps_per_epoch(self, setup: Setup) -> int:
        return setup.algorithm.steps_per_epoch

    def evaluations(self, setup: Setup, steps: int) -> int:
        """Per-sample gradients in so many steps of unlearning."""
        return setup.algorithm.gradient_evaluations(steps)


class FullBatch(Method):
    """Methods that run on all points at every step, so that a step is an epoch, from a formula of their own.

    Subclasses give epsilon; sigma, delta and the number of steps are found from it by the one root-finder.
    """

    def check(self, setup: Setup) -> None:
        problem, size = setup.problem, setup.batch_size
        if size not in (None, "full", problem.n):
            raise InputError(f"batch_size must be full for {self.name}, which uses all points in every step, got {size}")
        if not problem.strong_convexity > 0:
            raise InputError(f"strong_convexity must be > 0 for {self.name}, got 0")
        if setup.radius is not None:
            raise InputError(f"radius must be left out for {self.name}, whose formula knows no projection, got {setup.radius}")
        if isinstance(setup.reference, int):
            raise InputError(f"reference must be matched or converged for {self.name}, got {setup.reference}")

    def steps_per_epoch(self, setup: Setup) -> int:
        return 1

    def evaluations(self, setup: Setup, steps: int) -> int:
        return steps * setup.problem.n

    def fewest(self, setup: Setup, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: str = "epochs") -> Floats:
        noise, target, chance = flat(sigma, epsilon, delta)

        def holds(count: Floats, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
            return self.epsilon(setup, sigma=noise[rows], delta=chance[rows], steps=count) <= target[rows]

        return shaped(smallest_count(holds, low=np.zeros(noise.size)), sigma, epsilon, delta)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        noise, target, count = flat(sigma, epsilon, steps)

        def excess(x: Floats, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
            over = self.epsilon(setup, sigma=noise[rows], delta=np.exp(x), steps=count[rows]) - target[rows]
            # Equality over a range of delta is no root: its lower end is.
            return np.where(over == 0, -1.0, over), np.zeros_like(x)

        low, high = np.full(noise.size, math.log(1e-300)), np.full(noise.size, math.log1p(-1e-15))
        met = excess(high, np.arange(noise.size))[0] <= 0
        result = np.ones(noise.size)
        some = np.flatnonzero(met)
        if some.size:

            def among(x: Floats, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
                return excess(x, some[rows])

            root = decreasing_root(among, start=high[some], low=low[some], high=high[some])
            result[some] = np.minimum(np.exp(root) * (1 + 1e-13), 1.0)
        return shaped(result, sigma, epsilon, steps)


def flat(*arrays: Floats) -> list[Floats]:
    """The arrays in one shape, flattened."""
    return [np.ravel(array).astype(np.float64) for array in np.broadcast_arrays(*arrays)]


def shaped(values: Floats, *arrays: Floats) -> Floats:
    """Flattened results in the common shape of the arguments."""
    return values.reshape(np.broadcast_shapes(*(np.shape(array) for array in arrays)))


def smallest_sigma(reached: Callable[[Floats], Floats], guess: Floats, epsilon: Floats) -> Floats:
    """``guess`` (P,), raised by a few roundings until ``reached(sigma)`` <= epsilon, elementwise; never below 1e-300."""
    sigma, push = np.maximum(guess, SMALLEST), np.full_like(guess, 2.0**-52)
    while True:
        if not np.all(sigma <= LARGEST):
            row = int(np.argmin(sigma <= LARGEST))
            raise UnreachableError(f"no sigma up to {LARGEST:g} proves epsilon={epsilon[row]:g}")
        unmet = ~(reached(sigma) <= epsilon)
        if not unmet.any():
            return sigma
        sigma[unmet] *= 1 + push[unmet]
        push[unmet] *= 2


class CountedStream(Stream):
    """A stream whose guarantee after the next request is a function of how long that request is worked on."""

    def __init__(self, setup: Setup, *, sigma: float, epsilon: float, delta: float) -> None:
        self.setup = setup
        self.sigma = number("sigma", sigma, above=0)
        self.target = number("epsilon", epsilon, at_least=0)
        self.delta = number("delta", delta, above=0, below=1)
        #: Points that are left to delete.
        self.left = setup.problem.n
        #: The last answer, from which the next is looked for.
        self._guess = 0.0

    @abstractmethod
    def reached(self, count: float, points: float) -> float:
        """epsilon after a request of so many points that is answered with ``count`` steps; inf where nothing is proved."""

    @abstractmethod
    def advance(self, count: float, points: float) -> None:
        """Take the request as answered."""

    def needed(self, points: float) -> float:
        def holds(count: Floats, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
            return np.array([self.reached(float(count[0]), points) <= self.target])

        guess = np.array([self._guess])
        if holds(guess, np.zeros(1, dtype=np.intp))[0]:
            found = smallest_count(holds, low=np.zeros(1), high=guess)
        else:
            found = smallest_count(holds, low=guess + 1)
        if np.isfinite(found[0]):
            self._guess = float(found[0])
        return float(found[0])

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
        count = self.needed(float(integer("points", points, at_least=1, at_most=max(self.left, 1))))
        if not count <= MAX_COUNT:
            raise UnreachableError(f"no number of epochs up to {MAX_COUNT} reaches epsilon={self.target:g}")
        self._delete(float(points))
        self.advance(count, float(points))
        return int(count)

    def _delete(self, points: float) -> None:
        if points > self.left:
            raise InputError(f"points must be at most {self.left}, what is left of the dataset, got {points:.0f}")
        self.left -= int(points)
