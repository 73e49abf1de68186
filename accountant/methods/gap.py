"""Methods that are known by name only: a row of the table with the reason why nothing is stated, instead of a number."""

from __future__ import annotations

import numpy as np

from accountant.methods.about import About
from accountant.methods.base import Method, Needed, Stream, Unit
from accountant.numerics import Floats, InputError
from accountant.questions import Setup


class Gap(Method):
    """A published method whose theorem could not be read, or does not say enough: always refused, with the reason.

    about: as of other rows, of what is published: what it would be about.

    >>> about = About("gradient descent", losses="smooth", data=("replace",), requests=("one",), code=None, year=2026)
    >>> words = {"source": "nobody", "reason": "its constants are not public", "tightest": "optimal", "about": about}
    >>> gap = Gap("example", "an example", **words)
    >>> gap.refusal(None)
    'example is a gap: its constants are not public'
    """

    family = "gap"
    proves = "nothing that is known here"
    noise = "not known here"

    def __init__(self, name: str, title: str, *, source: str, reason: str, tightest: str, about: About) -> None:
        self.name, self.title, self.source, self.tightest, self.about = name, title, source, tightest, about
        self.reason = f"{name} is a gap: {reason}"

    def refusal(self, setup: Setup | None) -> str:
        return self.reason

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        return _nothing(np.inf, sigma, delta, steps)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        return _nothing(1.0, sigma, epsilon, steps)

    def needed(self, setup: Setup, *, epsilon: Floats, delta: Floats, steps: Floats) -> Needed:
        sigma = _nothing(np.inf, epsilon, delta, steps)
        return Needed(sigma, dict.fromkeys(range(sigma.size), self.reason))

    def fewest(self, setup: Setup, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: Unit = "epochs") -> Floats:
        return _nothing(np.inf, sigma, epsilon, delta)

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> Stream:
        raise InputError(self.reason)

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        return (self.reason,)

    def released_std(self, setup: Setup, sigma: float) -> None:
        return None


def _nothing(value: float, *arrays: Floats) -> Floats:
    return np.full(np.broadcast_shapes(*(np.shape(array) for array in arrays)), value)
