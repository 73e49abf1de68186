"""Noisy projected SGD under the accountant's bounds, as methods: the product's own and the published ones."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from accountant.bounds import BOUNDS
from accountant.methods.base import Method, Setup, Stream, flat, shaped
from accountant.methods.langevin import accumulated_std
from accountant.numerics import Floats, InputError, UnreachableError
from accountant.questions import UnlearningAccountant
from accountant.requests import Followed, UnlearningStream

if TYPE_CHECKING:
    from accountant.numerics import Enclosure


@lru_cache(maxsize=512)
def accountant_of(setup: Setup, bound: str) -> UnlearningAccountant:
    """The accountant of a setup under a bound."""
    return UnlearningAccountant(
        setup.algorithm,
        bound=bound,
        batches=setup.batches,
        reference=setup.reference,
        group_size=setup.group_size,
    )


class BoundMethod(Method):
    """A bound of ``accountant.bounds`` on noisy SGD."""

    family = "pnsgd"
    tightest = "optimal"

    def __init__(self, name: str, title: str, *, bound: str, proves: str, first_bound: str | None = None) -> None:
        self.name, self.title, self.bound, self.proves = name, title, bound, proves
        self.first_bound = first_bound
        self.source = BOUNDS[bound].source
        self.default_batches = BOUNDS[bound].default_batches

    def accountant(self, setup: Setup) -> UnlearningAccountant:
        """For a single request."""
        return accountant_of(setup, self.first_bound or self.bound)

    def check(self, setup: Setup) -> None:
        self.accountant(setup).check()

    def run(self, steps: Floats) -> Floats:
        """The steps that the method runs, of those asked about."""
        return steps

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        return self._proved(self.accountant(setup).epsilon, setup, sigma=sigma, delta=delta, steps=self.run(steps))

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        proved = self._proved(self.accountant(setup).delta, setup, sigma=sigma, epsilon=epsilon, steps=self.run(steps))
        return np.minimum(proved, 1.0)

    def sigma(self, setup: Setup, *, epsilon: Floats, delta: Floats, steps: Floats) -> Floats:
        return np.asarray(self.accountant(setup).sigma(epsilon=epsilon, delta=delta, steps=self.run(steps)))

    def enclose(self, setup: Setup, unknown: str, *, digits: int, steps: float, **question: Any) -> Enclosure:
        """ "sigma", "epsilon" or "delta" from the others, numbers for once, to so many digits (``precision.enclose``)."""
        from accountant.questions import enclose

        count = int(self.run(np.array([steps]))[0])
        return enclose(self.accountant(setup), unknown, digits=digits, steps=count, **question)

    def fewest(self, setup: Setup, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: str = "epochs") -> Floats:
        count = getattr(self.accountant(setup), unit)
        return self._proved(count, setup, sigma=sigma, epsilon=epsilon, delta=delta)

    def _proved(self, ask: Any, setup: Setup, **question: Floats) -> Floats:
        """The answers; inf where there is none."""
        names = list(question)
        arrays = flat(*question.values())
        result = np.full(arrays[0].size, np.inf)

        def fill(rows: slice) -> None:
            try:
                result[rows] = ask(**{name: array[rows] for name, array in zip(names, arrays, strict=True)})
            except (UnreachableError, InputError):
                if rows.stop - rows.start > 1:
                    middle = (rows.start + rows.stop) // 2
                    fill(slice(rows.start, middle))
                    fill(slice(middle, rows.stop))

        if result.size:
            self.check(setup)
            fill(slice(0, result.size))
        return shaped(result, *question.values())

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: str = "epochs") -> BoundStream:
        accountant = accountant_of(setup.with_(group_size=1), self.bound)
        return BoundStream(
            UnlearningStream(accountant, sigma=sigma, epsilon=epsilon, delta=delta, unit=unit, first_bound=self.first_bound)
        )

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        return self.accountant(setup).assumptions()

    def released_std(self, setup: Setup, sigma: float) -> float | None:
        return accumulated_std(setup, sigma)


class NotConverged(BoundMethod):
    """The published form for learning of finitely many epochs, which needs a radius."""

    def check(self, setup: Setup) -> None:
        if setup.learn_epochs is None:
            raise InputError(f"learn_epochs must be given for {self.name}")
        super().check(setup)


class BoundStream(Stream):
    """:class:`~accountant.requests.UnlearningStream` as a method's stream."""

    def __init__(self, stream: UnlearningStream) -> None:
        self.stream = stream

    def follow(self, counts: Floats, points: Floats) -> Followed:
        return self.stream.follow(counts, points)

    def request(self, points: int = 1) -> int:
        steps = self.stream.request(points)
        return steps // self.stream.accountant.algorithm.steps_per_epoch if self.stream.unit == "epochs" else steps
