"""The accountant's guarantees as mechanisms of autodp, which composes and calibrates them (the extra ``autodp``).

    from accountant.interop.autodp import UnlearningMechanism
    mechanism = UnlearningMechanism(0.01, accountant=UnlearningAccountant(algorithm), epochs=1)
    Composition()([mechanism], [10]).get_approxDP(1e-5)

autodp reads every view from the curve itself: Rényi divergences, epsilon and delta, the trade-off function
(docs/guides/interop-autodp.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from accountant.curves import MAX_ALPHA, Guarantee
from accountant.numerics import InputError, MissingExtraError, UnreachableError, integer, number
from accountant.questions import UnlearningAccountant

try:
    from autodp import converter, transformer_zoo
    from autodp.autodp_core import Calibrator, Mechanism
except ModuleNotFoundError as error:
    raise MissingExtraError("accountant.interop.autodp", error.name or "autodp", "autodp") from None

#: autodp's word for the relation; it has none for a gradient that is dropped while batches and divisors stay, which is not its
#: "add_remove": its own transformers know neither. A record that draws its batches by itself is really removed.
NEIGHBORING: Final = {"replace": "replace_one", "zero-out": "zero_out", "remove": "add_remove"}
#: A Rényi divergence does not decrease in its order, so orders up to one take the value of this one.
_LEAST_ORDER: Final = 1 + 1e-6
#: How the better of two bounds is taken, view by view.
_BETTER: Final = {
    "RenyiDP": converter.pointwise_minimum,
    "approxDP": converter.pointwise_minimum,
    "approx_delta": converter.pointwise_minimum,
    "fDP": converter.pointwise_maximum,
}


class GuaranteeMechanism(Mechanism):
    """A guarantee in autodp's words: each view is read from the curve itself, none is converted from another.

    Raises InputError for orders below 0, delta and false positive rates outside [0, 1], and epsilon below 0.
    """

    def __init__(
        self, guarantee: Guarantee, *, name: str, params: dict[str, object], neighboring: str, group_size: int
    ) -> None:
        super().__init__()
        if guarantee.added or guarantee.redrawn:
            raise InputError(
                "guarantee must have added and redrawn 0, got batches of own draws that may be too large, by a chance that "
                "delta pays: autodp composes Rényi divergences, which have no place for it; Guarantee.compose has"
            )
        self.guarantee = guarantee
        self.name = name
        self.params = params
        self.neighboring = neighboring
        self.group_size = group_size
        self.delta0 = 0
        self.RenyiDP = self._renyi
        self.approxRDP = self._approximate_renyi
        self.approxDP = self._epsilon
        self.approx_delta = self._delta
        self.fDP = self._type_ii
        self.log_phi_p2q = self.log_phi_q2p = self._log_phi

    @property
    def _endless(self) -> float:
        """What no failure probability and no order bounds: infinity, unless nothing differs at all."""
        return np.inf if self.guarantee.values.any() else 0.0

    def _renyi(self, alpha: float) -> float:
        order = float(alpha)
        if not order >= 0:
            raise InputError(f"alpha must be a number >= 0, got {alpha!r}")
        if order > MAX_ALPHA:
            return self._endless
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
        if chance in (0, 1):
            return 0.0 if chance else self._endless
        return float(self.guarantee.epsilon(chance))

    def _delta(self, eps: float) -> float:
        return float(self.guarantee.delta(number("eps", eps, at_least=0)))

    def _type_ii(self, fpr: float) -> float:
        return float(self.guarantee.tradeoff(number("fpr", fpr, at_least=0, at_most=1)))

    def _log_phi(self, t: complex) -> complex:
        raise InputError(
            "ComposeAFA is not supported, as autodp 0.2.3 looks for epsilon below 0 only with a recent SciPy: use Composition"
        )


class UnlearningMechanism(GuaranteeMechanism):
    """The release of one model: unlearned, or with epochs=0 or steps=0 just learned.

    sigma > 0 is the only argument that autodp's calibrators give; ``accountant`` and exactly one of ``epochs`` and ``steps``
    (neither for a schedule that says its length) are bound by ``functools.partial``. ``guarantee`` is the whole curve,
    ``neighboring`` "replace_one", "zero_out" or "add_remove" as the problem's adjacency says. Composition multiplies runs
    whose noise, batch orders and keys are drawn independently. Raises InputError, too where batches may be too large.
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
        noise = number("sigma", sigma, above=0)
        _check(accountant)
        guarantee = accountant.guarantee(sigma=noise, epochs=epochs, steps=steps, start_distance=start_distance)
        super().__init__(
            guarantee,
            name="Unlearning" if name is None else name,
            # More than a sigma: autodp takes a mechanism whose only parameter is sigma for a Gaussian of that width.
            params={"sigma": noise, "steps": guarantee.context["steps"]},
            neighboring=NEIGHBORING[accountant.algorithm.problem.adjacency],
            group_size=accountant.group_size,
        )


class UnlearningCalibrator(Calibrator):
    """The smallest sigma for (eps, delta), on the safe side; autodp's own calibrators stop within 1e-3 of eps, on either.

    Call with ``eps``, ``delta`` and the keyword arguments of :class:`UnlearningMechanism`; gives that mechanism.
    """

    def __init__(self) -> None:
        super().__init__()
        self.name = "unlearning_calibrator"
        self.calibrate: Callable[..., UnlearningMechanism] = self.param_from_eps_delta

    def param_from_eps_delta(
        self,
        eps: float,
        delta: float,
        *,
        accountant: UnlearningAccountant,
        name: str | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        start_distance: float | None = None,
    ) -> UnlearningMechanism:
        _check(accountant)
        sigma = accountant.sigma(
            epsilon=number("eps", eps, at_least=0),
            delta=number("delta", delta, above=0, below=1),
            epochs=epochs,
            steps=steps,
            start_distance=start_distance,
        )
        return UnlearningMechanism(
            float(sigma), name, accountant=accountant, epochs=epochs, steps=steps, start_distance=start_distance
        )


def compose(mechanisms: Sequence[UnlearningMechanism], counts: Sequence[int]) -> Mechanism:
    """autodp's Composition of so many (0 or more) independent runs each, with their relation, and no worse than Gaussian.

    autodp itself gives every composed mechanism its default relation, "add_remove", and composes Rényi divergences only. Where
    all are Gaussian mixtures, mu^2 = sum_i counts_i mu_i^2 at their worst placements holds, too (exactly for batches="worst"
    or a position), and the better of the two is reported. InputError for mechanisms whose relations or group sizes differ.
    """
    if not mechanisms or len(mechanisms) != len(counts) or not all(isinstance(m, UnlearningMechanism) for m in mechanisms):
        raise InputError(f"mechanisms and counts must be lists of one length, from 1, got {mechanisms!r} and {counts!r}")
    times = [integer("counts", count, at_least=0) for count in counts]
    kinds = {(mechanism.neighboring, mechanism.group_size) for mechanism in mechanisms}
    if len(kinds) > 1:
        raise InputError(f"mechanisms must have one relation and one group size, got {sorted(kinds)}")
    neighboring, group_size = next(iter(kinds))
    composed = transformer_zoo.Composition()(list(mechanisms), times)
    composed.neighboring, composed.group_size = neighboring, group_size
    worst = [mechanism.guarantee.mu_worst for mechanism in mechanisms]
    if None not in worst:
        mu = math.hypot(*(math.sqrt(count) * float(each or 0.0) for count, each in zip(times, worst, strict=True)))
        gaussian = GuaranteeMechanism(
            Guarantee("gdp", np.ones(1), np.array([mu * (1 + 1e-15 * (2 + len(times)))])),
            name=composed.name,
            params=composed.params,
            neighboring=neighboring,
            group_size=group_size,
        )
        for view, better in _BETTER.items():
            setattr(composed, view, better(getattr(composed, view), getattr(gaussian, view)))
    return composed


def _check(accountant: object) -> None:
    if not isinstance(accountant, UnlearningAccountant):
        raise InputError(f"accountant must be an UnlearningAccountant, got {accountant!r}")
