"""Requests under the published bounds: distances add up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accountant.bounds import Setting
from accountant.curves import Mixture
from accountant.numerics import Floats, Indices, Numbers, decreasing_root
from accountant.requests.rules import Place, Rule
from accountant.requests.state import StreamState


class PublishedRule(Rule):
    """Distances add up as published; the newest request's is averaged where batches are random."""

    def meets(self, state: StreamState, place: Place, steps: int) -> bool:
        room = place.room.get(steps)
        if room is None:
            room = place.room[steps] = self._find_room(place, steps)
        return state.distance <= room

    def before(self, state: StreamState, place: Place, steps: int) -> tuple[Any, Any]:
        return state.distance, 0.0

    def mixtures(self, place: Place, steps: int, before: Numbers) -> list[Mixture]:
        weights, own, _ = self.shares(place)
        setting, ar = Setting(self.algorithm, self.reference, given_distance=True, number=self.number), self.arithmetic
        with np.errstate(divide="ignore"):
            log_sum = ar.log(ar.minimum(before[:, :1] + own, self.limit)) + self.log_unit
        log_mu = self.raised(self.bound.log_scale(setting, log_sum, np.full(before.shape[0], float(steps))))
        return [Mixture(ar.log(weights), log_mu - self.log_sigma, self.bound.curve(setting))]

    def _find_room(self, place: Place, steps: int) -> float:
        own = self.shares(place)[1]

        def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
            return self.epsilon_after(place, steps, np.array([[-x[0], 0.0]])) - self.epsilon, np.zeros(1)

        def fits(distance: float) -> bool:
            return bool(excess(np.array([-distance]), np.zeros(1, dtype=np.intp))[0][0] <= 0)

        if not fits(0.0):
            return -math.inf
        if math.isfinite(self.limit) and fits(self.limit):
            return math.inf
        # A bracket of a real root, as tight as doubling makes it: another one would move the root by a rounding.
        high = float(own.max())
        while fits(high):
            high *= 2
        none = np.zeros(1)
        return float(-decreasing_root(excess, start=none, low=np.array([-high]), high=none, floor=1e-9 * high)[0])

    def advance(self, state: StreamState, place: Place, steps: int) -> None:
        state.distance = self.least(state.distance + self.worst(state, place), self.limit) * self.kept(steps)

    def mu_now(self, state: StreamState) -> float | None:
        return None
