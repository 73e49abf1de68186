"""The accountant's guarantees as mechanisms of autodp, which composes and calibrates them (the extra ``autodp``).

    from accountant.interop.autodp import UnlearningMechanism
    mechanism = UnlearningMechanism(0.01, accountant=UnlearningAccountant(algorithm), epochs=1)
    Composition()([mechanism], [10]).get_approxDP(1e-5)

autodp reads every view directly: Rényi divergences, epsilon and delta, the trade-off function, and for Gaussian mixtures the
characteristic functions of the privacy loss (docs/interop-autodp.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from accountant.divergences.renyi import MAX_ALPHA
from accountant.guarantee import Guarantee
from accountant.unlearning import UnlearningAccountant
from accountant.validation import InputError, MissingExtraError, UnreachableError, integer, number

try:
    from autodp import transformer_zoo
    from autodp.autodp_core import Calibrator, Mechanism
except ModuleNotFoundError as error:
    raise MissingExtraError("accountant.interop.autodp", error.name or "autodp", "autodp") from None

#: autodp's word for the relation; it has none for a gradient that is dropped while batches and divisors stay, which is not its
#: "add_remove": its own transformers know neither.
NEIGHBORING: Final = {"replace": "replace_one", "zero-out": "zero_out"}
#: A Rényi divergence does not decrease in its order, so orders up to one take the value of this one.
_LEAST_ORDER: Final = 1 + 1e-6


class UnlearningMechanism(Mechanism):
    """The release of one model: unlearned, or with epochs=0 or steps=0 just learned.

    sigma > 0 is the only positional argument, as autodp's calibrators want it; ``accountant`` and exactly one of ``epochs`` and
    ``steps`` (neither for a schedule that says its length) are bound by ``functools.partial``. ``guarantee`` is the whole
    curve, ``neighboring`` "replace_one" or "zero_out" as the problem's adjacency says. Composition multiplies runs whose noise
    and batch orders are drawn independently. Raises InputError.
    """

    def __init__(
        self,
        sigma: float,
        name: str | None = None,
        *,
        accountant: UnlearningAccountant,
        epochs: int | None = None,
        steps: int | None = None,
        start_distance: float | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(accountant, UnlearningAccountant):
            raise InputError(f"accountant must be an UnlearningAccountant, got {accountant!r}")
        self.guarantee: Guarantee = accountant.guarantee(
            sigma=number("sigma", sigma, above=0), epochs=epochs, steps=steps, start_distance=start_distance
        )
        self.name = "Unlearning" if name is None else name
        # More than a sigma: autodp takes a mechanism whose only parameter is sigma for a Gaussian of that width.
        self.params = {"sigma": float(sigma), "steps": self.guarantee.context["steps"]}
        self.neighboring = NEIGHBORING[accountant.algorithm.problem.adjacency]
        self.group_size = accountant.group_size
        self.delta0 = 0
        self.RenyiDP = self._renyi
        self.approxDP = self._epsilon
        self.approx_delta = self._delta
        self.fDP = self._type_ii
        self.approxRDP = self._approximate_renyi
        if self.guarantee.kind == "gdp":
            # The privacy loss of a Gaussian pair is the same in both directions.
            self.log_phi_p2q = self.log_phi_q2p = self._log_phi

    def _renyi(self, alpha: float) -> float:
        order = float(alpha)
        if not order >= 0:
            raise InputError(f"alpha must be a number >= 0, got {alpha!r}")
        if order > MAX_ALPHA:
            return 0.0 if not self.guarantee.values.any() else np.inf
        try:
            return float(self.guarantee.rdp(max(order, _LEAST_ORDER)))
        except UnreachableError:
            return np.inf

    def _approximate_renyi(self, delta: float, alpha: float) -> float:
        """Without any failure it is the divergence itself."""
        number("delta", delta, at_least=0, at_most=1)
        return self._renyi(alpha)

    def _epsilon(self, delta: float) -> float:
        chance = number("delta", delta, at_least=0, at_most=1)
        if chance == 1:
            return 0.0
        if chance == 0:
            return 0.0 if not self.guarantee.values.any() else np.inf
        return float(self.guarantee.epsilon(chance))

    def _delta(self, eps: float) -> float:
        return float(self.guarantee.delta(number("eps", eps, at_least=0)))

    def _type_ii(self, fpr: float) -> float:
        return float(self.guarantee.tradeoff(number("fpr", fpr, at_least=0, at_most=1)))

    def _log_phi(self, t: complex) -> complex:
        """log E exp(i t L) of the privacy loss L, a mixture of N(mu^2/2, mu^2): the batch's position is part of the output."""
        square = self.guarantee.values**2
        return complex(np.log((self.guarantee.weights * np.exp((1j * t - t * t) * square / 2)).sum()))


class UnlearningCalibrator(Calibrator):
    """The smallest sigma for (eps, delta), on the safe side; autodp's own calibrators stop within 1e-3 of eps, on either.

    Call with ``eps``, ``delta`` and the keyword arguments of :class:`UnlearningMechanism`; gives that mechanism.
    """

    def __init__(self) -> None:
        super().__init__()
        self.name = "unlearning_calibrator"
        self.calibrate: Callable[..., UnlearningMechanism] = self.param_from_eps_delta

    def param_from_eps_delta(
        self, eps: float, delta: float, *, accountant: UnlearningAccountant, name: str | None = None, **length: Any
    ) -> UnlearningMechanism:
        if not isinstance(accountant, UnlearningAccountant):
            raise InputError(f"accountant must be an UnlearningAccountant, got {accountant!r}")
        target = {"epsilon": number("eps", eps, at_least=0), "delta": number("delta", delta, above=0, below=1)}
        sigma = accountant.sigma(**target, **length)
        return UnlearningMechanism(sigma, name, accountant=accountant, **length)


def compose(mechanisms: Sequence[UnlearningMechanism], counts: Sequence[int]) -> Any:
    """autodp's Composition of ``counts`` independent runs each, in Rényi divergence, which keeps the relation.

    autodp itself gives every composed mechanism its default relation, "add_remove". InputError for mechanisms whose relations
    or group sizes differ.
    """
    if not mechanisms or len(mechanisms) != len(counts) or not all(isinstance(m, UnlearningMechanism) for m in mechanisms):
        raise InputError(f"mechanisms and counts must be lists of one length, from 1, got {mechanisms!r} and {counts!r}")
    times = [integer("counts", count, at_least=0) for count in counts]
    kinds = {(mechanism.neighboring, mechanism.group_size) for mechanism in mechanisms}
    if len(kinds) > 1:
        raise InputError(f"mechanisms must have one relation and one group size, got {sorted(kinds)}")
    composed = transformer_zoo.Composition()(list(mechanisms), times)
    composed.neighboring, composed.group_size = next(iter(kinds))
    return composed
