"""Noisy projected SGD under the accountant's bounds, as methods: the product's own and the published ones."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from accountant.bounds import BOUNDS
from accountant.methods.about import About
from accountant.methods.base import Method, Needed, Stream, Unit, schedule_refusal
from accountant.methods.langevin import accumulated_std
from accountant.numerics import Floats, InputError
from accountant.questions import Setup, UnlearningAccountant
from accountant.requests import Followed, UnlearningStream

if TYPE_CHECKING:
    from accountant.numerics import Enclosure
    from accountant.questions import Outcome, Unknown

#: What a row may be asked for to many digits.
Target = Literal["sigma", "epsilon", "delta"]


@lru_cache(maxsize=512)
def accountant_of(setup: Setup, bound: str) -> UnlearningAccountant:
    """The accountant of a setup under a bound."""
    return UnlearningAccountant.of(setup, bound=bound)


class BoundMethod(Method):
    """A bound of ``accountant.bounds`` on noisy SGD."""

    family = "pnsgd"
    tightest = "optimal"

    def __init__(self, name: str, title: str, *, bound: str, proves: str, about: About, first_bound: str | None = None) -> None:
        self.name, self.title, self.bound, self.proves, self.about = name, title, bound, proves, about
        self.first_bound = first_bound
        self.source = BOUNDS[bound].source
        self.default_batches = BOUNDS[bound].default_batches

    def accountant(self, setup: Setup) -> UnlearningAccountant:
        """For a single request."""
        return accountant_of(setup, self.first_bound or self.bound)

    def refusal(self, setup: Setup) -> str | None:
        try:
            self.accountant(setup).check()
        except InputError as error:
            return str(error)
        return schedule_refusal(self.name, setup, classes=True)

    def run(self, steps: Floats) -> Floats:
        """The steps that the method runs, of those asked about."""
        return steps

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        return np.asarray(self._ask(setup, "epsilon", sigma=sigma, delta=delta, steps=self.run(steps)).answer)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        proved = self._ask(setup, "delta", sigma=sigma, epsilon=epsilon, steps=self.run(steps)).answer
        return np.minimum(proved, 1.0)

    def needed(self, setup: Setup, *, epsilon: Floats, delta: Floats, steps: Floats) -> Needed:
        outcome = self._ask(setup, "sigma", epsilon=epsilon, delta=delta, steps=self.run(steps))
        return Needed(np.asarray(outcome.answer), outcome.refusals)

    def enclose(
        self,
        setup: Setup,
        unknown: Target,
        *,
        digits: int,
        steps: float,
        sigma: float | None = None,
        epsilon: float | None = None,
        delta: float | None = None,
    ) -> Enclosure:
        """One of the three from the others, numbers for once, to so many digits (``questions.enclose``)."""
        from accountant.questions import enclose

        count = int(self.run(np.array([steps]))[0])
        accountant = self.accountant(setup)
        return enclose(accountant, unknown, digits=digits, steps=count, sigma=sigma, epsilon=epsilon, delta=delta)

    def fewest(self, setup: Setup, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: Unit = "epochs") -> Floats:
        return np.asarray(self._ask(setup, unit, sigma=sigma, epsilon=epsilon, delta=delta).answer)

    def _ask(self, setup: Setup, unknown: Unknown, **question: Floats) -> Outcome:
        self.check(setup)
        return self.accountant(setup).ask(unknown, **question)

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> BoundStream:
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

    def refusal(self, setup: Setup) -> str | None:
        if setup.algorithm.learn_epochs is None:
            return f"learn_epochs must be given for {self.name}"
        return super().refusal(setup)


class BoundStream(Stream):
    """:class:`~accountant.requests.UnlearningStream` as a method's stream."""

    def __init__(self, stream: UnlearningStream) -> None:
        self.stream = stream

    def follow(self, counts: Floats, points: Floats) -> Followed:
        found = self.stream.follow(np.asarray(counts) * self._stride, points)
        return found._replace(needed=found.needed / self._stride)

    def request(self, points: int = 1) -> int:
        return self.stream.request(points) // self._stride

    @property
    def _stride(self) -> int:
        """Steps in what is counted."""
        return self.stream.accountant.algorithm.steps_per_epoch if self.stream.unit == "epochs" else 1
