"""The curve of a first string and the blocks that contract it, read at their own mu, not at logarithms that are searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from accountant.curves.contraction import CONTRACTION, Chained, averaged, chained
from accountant.curves.hockey_stick import mixture_tail_epsilon, rounded_down
from accountant.numerics import Floats, Indices, decreasing_root

_FLOOR: Final = 1e-12


@dataclass(frozen=True, eq=False)
class ChainCurve:
    """``blocks``: mu of the blocks after the first, in order; what is called log_mu is the mu (P, C) of the first block's
    components, which are averaged after the last."""

    blocks: Floats

    @property
    def kind(self) -> str:
        return CONTRACTION

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return np.minimum(self._at(epsilon, log_weights, log_mu).log_delta, 0.0)

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        target = rounded_down(log_delta)

        def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
            found = self._at(x, log_weights, log_mu[active])
            least = np.clip(found.log_delta, -1e300, -1e-300)
            # Nearly affine, where the chain itself falls super-exponentially.
            return np.log(target[active] / least), -found.by_epsilon / least

        # The last block alone, whatever was before it.
        last = np.full((log_delta.size, 1), self.blocks[-1]) if self.blocks.size else log_mu.max(axis=1, keepdims=True)
        high = mixture_tail_epsilon(log_delta, np.zeros(1), last) * (1 + 1e-9)
        low = np.zeros(log_delta.size)
        met = excess(low, np.arange(low.size))[0] <= 0
        return decreasing_root(excess, start=0.7 * high, low=low, high=np.where(met, 0.0, high), floor=_FLOOR)

    def _at(self, epsilon: Floats, log_weights: Floats, mu: Floats) -> Chained:
        each = np.broadcast_to(epsilon[:, None], mu.shape)
        after = [(np.full(mu.shape, block), 1) for block in self.blocks.tolist()]
        return averaged(chained(each, [(mu, 1), *after]), log_weights)
