"""What a bound is: a name, the curve it proves, its conditions, and the scale of that curve at sigma = 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accountant.algorithm import PNSGD
from accountant.divergences.curves import Curve
from accountant.reference import Reference

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """All that a bound depends on, besides the number of steps and the noise.

    given_distance: the distance at the start of unlearning comes from the caller instead of from learning.
    """

    algorithm: PNSGD
    reference: Reference
    given_distance: bool = False


class Bound(Protocol):
    """One file per bound; ``accountant/bounds/__init__.py`` has the table of names."""

    name: str
    #: Paper and theorem.
    source: str
    default_batches: str
    #: Fewest unlearning steps about which the bound says anything.
    minimum_steps: int

    def check(self, setting: Setting) -> None:
        """Raise InputError with the reason where the setting proves nothing."""
        ...

    def curve(self, setting: Setting) -> Curve: ...

    def log_scale(self, setting: Setting, positions: Floats, steps: Floats, log_start: Floats) -> Floats:
        """log mu (Rényi: log sqrt(2 rho)) at sigma = 1, shape (P, J), for positions (J,), steps (P,), log_start (P,).

        ``log_start`` is read only where the setting has a given distance.
        """
        ...
