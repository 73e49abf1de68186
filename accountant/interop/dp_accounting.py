"""Unlearning runs as events of ``dp_accounting`` (0.6), and an accountant that composes them (extra ``dp-accounting``).

Gaussian releases and guarantees are composed exactly, by :meth:`~accountant.curves.Guarantee.compose`. Everything else is
``dp_accounting``'s own privacy loss distribution; only where both occur is a guarantee put on its grid, from above.
What is composed must be about the same two datasets, so every event has one neighbouring relation: REPLACE_ONE for the
adjacency "replace", REPLACE_SPECIAL (a record becomes one without effect) for "zero-out" and ADD_OR_REMOVE_ONE for "remove".
"""

from __future__ import annotations

import enum
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from accountant.averaging import Visits
from accountant.curves import GAUSSIAN_MIXTURE, MAX_MU, Guarantee, origins, points_of
from accountant.numerics import InputError, MissingExtraError, integer, number, numbers, shown

try:
    import attr
    from dp_accounting import dp_event
    from dp_accounting.pld.pld_pmf import DensePLDPmf
    from dp_accounting.pld.pld_privacy_accountant import PLDAccountant
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
    from dp_accounting.privacy_accountant import NeighboringRelation
except ModuleNotFoundError as error:
    raise MissingExtraError("accountant.interop.dp_accounting", error.name or "dp_accounting", "dp-accounting") from None

#: Neighbouring relation by adjacency.
RELATIONS: Final = {
    "replace": NeighboringRelation.REPLACE_ONE,
    "zero-out": NeighboringRelation.REPLACE_SPECIAL,
    "remove": NeighboringRelation.ADD_OR_REMOVE_ONE,
}
#: By relation: distance of two sums of values of norm at most one. ``dp_accounting``'s PLD accountant reads it so, too.
_DISTANCE: Final = {
    NeighboringRelation.REPLACE_ONE: 2.0,
    NeighboringRelation.REPLACE_SPECIAL: 1.0,
    NeighboringRelation.ADD_OR_REMOVE_ONE: 1.0,
}
#: Points of the grid of an exported distribution, which holds them all, at most.
_POINTS: Final = 1 << 22
#: What ``dp_accounting``'s Fourier transforms may have taken from delta.
_NOISE: Final = 1e-14
#: Losses that count with less for delta are infinite.
_TAIL: Final = 1e-20


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(values)


def _rows(values: Iterable[Iterable[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, values))


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


class Curve(enum.Enum):
    """Kind and conversion of a :class:`~accountant.curves.Guarantee`.

    No field of an event may be a text: ``dp_accounting`` 0.6 takes it for a list of letters when it converts to named tuples.
    """

    GDP = ("gdp", "exact")
    GDP_TANGENT = ("gdp-tangent", "exact")
    GAUSSIAN_MIXTURE = ("gaussian-mixture", "exact")
    LINEAR_BASIC = ("linear", "basic")
    LINEAR_IMPROVED = ("linear", "improved")
    NOT_CONVERGED_BASIC = ("not-converged", "basic")
    NOT_CONVERGED_IMPROVED = ("not-converged", "improved")


@attr.s(frozen=True, slots=True, auto_attribs=True)
class UnlearningEvent(dp_event.DpEvent):
    """Learning on a dataset and unlearning one record of it, compared with retraining without that record.

    curve, weights, values: the privacy curve, as of a :class:`~accountant.curves.Guarantee`, which checks them; so are
    stand_in (weights and values, or nothing), added and redrawn, of records that draw their batches by themselves.
    neighboring_relation: REPLACE_ONE, REPLACE_SPECIAL or ADD_OR_REMOVE_ONE. assumptions: what the curve rests on.
    Several such events are runs with noise, batch orders and keys of their own: releases of runs that share a key are one
    event, of the guarantee that ``Guarantee.compose(other, shared_key=True)`` gives.
    Frozen, hashable, picklable; ``to_named_tuple`` and ``from_named_tuple`` keep every bit. InputError for anything else.
    """

    curve: Curve
    weights: tuple[float, ...] = attr.ib(converter=_floats)
    values: tuple[float, ...] = attr.ib(converter=_floats)
    neighboring_relation: NeighboringRelation
    assumptions: tuple[str, ...] = attr.ib(default=(), converter=_texts)
    stand_in: tuple[tuple[float, ...], ...] = attr.ib(default=(), converter=_rows)
    added: float = 0.0
    redrawn: float = 0.0

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.curve, Curve):
            raise InputError(f"curve must be a Curve, got {self.curve!r}")
        _relation(self.neighboring_relation)
        _ = self.guarantee

    @classmethod
    def from_guarantee(
        cls, guarantee: Guarantee, *, neighboring_relation: NeighboringRelation | None = None
    ) -> UnlearningEvent:
        """The event of a guarantee, under the neighbouring relation of its problem's adjacency.

        neighboring_relation: needed where the guarantee does not say its problem. InputError if it contradicts the guarantee,
        and for guarantees about several records at once: neighbouring datasets differ in one.
        """
        runs = _runs_of_one_record(guarantee)
        found = {RELATIONS[origin["problem"]["adjacency"]] for origin in runs}
        if neighboring_relation is not None:
            found.add(_relation(neighboring_relation))
        if len(found) != 1:
            names = " and ".join(sorted(relation.name for relation in found)) or "a guarantee that does not say its adjacency"
            raise InputError(f"neighboring_relation must be one, that of the guarantee's adjacency, got {names}")
        return cls(
            curve=Curve((guarantee.kind, guarantee.conversion)),
            weights=guarantee.weights.tolist(),
            values=guarantee.values.tolist(),
            neighboring_relation=found.pop(),
            assumptions=guarantee.assumptions,
            stand_in=() if guarantee.stand_in is None else [part.tolist() for part in guarantee.stand_in],
            added=guarantee.added,
            redrawn=guarantee.redrawn,
        )

    @property
    def guarantee(self) -> Guarantee:
        """The guarantee, without its statement and context."""
        kind, conversion = self.curve.value
        stand_in = [np.array(part) for part in self.stand_in]
        if len(stand_in) not in (0, 2):
            raise InputError(f"stand_in must be weights and values, or nothing, got {self.stand_in!r}")
        return Guarantee(
            kind,
            np.array(self.weights),
            np.array(self.values),
            conversion,
            assumptions=self.assumptions,
            stand_in=(stand_in[0], stand_in[1]) if stand_in else None,
            added=self.added,
            redrawn=self.redrawn,
        )

    def pld(self, *, value_discretization_interval: float = 1e-4) -> PrivacyLossDistribution:
        """For ``dp_accounting``'s own algebra: a distribution whose curve is above the guarantee's, in both directions."""
        return pessimistic_pld(self.guarantee, value_discretization_interval=value_discretization_interval)


class UnlearningPrivacyAccountant(PLDAccountant):
    """``dp_accounting``'s PLD accountant that takes :class:`UnlearningEvent` and keeps Gaussians exact.

    neighboring_relation: REPLACE_ONE, REPLACE_SPECIAL or ADD_OR_REMOVE_ONE; events of the others are not supported. A
        GaussianDpEvent is one with mu = 2/noise_multiplier under REPLACE_ONE, as in PLDAccountant (RdpAccountant has
        1/noise_multiplier), and 1/noise_multiplier otherwise.
    value_discretization_interval: of the grid for everything that is neither Gaussian nor a guarantee.
    Supports what PLDAccountant does under the same relation. Epsilon and delta are on the safe side.
    """

    _pld: PrivacyLossDistribution

    def __init__(
        self,
        neighboring_relation: NeighboringRelation = NeighboringRelation.REPLACE_ONE,
        value_discretization_interval: float = 1e-4,
    ) -> None:
        interval = number("value_discretization_interval", value_discretization_interval, above=0)
        super().__init__(_relation(neighboring_relation), interval)
        self._nothing = self._pld
        #: What is composed exactly, by kind.
        self._parts: dict[str, Guarantee] = {}

    def _maybe_compose(
        self, event: dp_event.DpEvent, count: int, do_compose: bool
    ) -> PLDAccountant.CompositionErrorDetails | None:
        try:
            if isinstance(event, (dp_event.GaussianDpEvent, UnlearningEvent)):
                part = self._part(event)
                if do_compose:
                    self._add(part, count)
                return None
            for noisy in (event, getattr(event, "event", None)):
                number("noise_multiplier", getattr(noisy, "noise_multiplier", 0.0), at_least=0)
        except InputError as error:
            return self.CompositionErrorDetails(invalid_event=event, error_message=str(error))
        return super()._maybe_compose(event, count, do_compose)

    def _part(self, event: dp_event.DpEvent) -> Guarantee | None:
        """What the event guarantees; None for nothing. InputError if it is not for this accountant."""
        if isinstance(event, UnlearningEvent):
            if event.neighboring_relation is not self.neighboring_relation:
                raise InputError(
                    f"neighboring_relation must be {event.neighboring_relation.name}, as in the event, "
                    f"got {self.neighboring_relation.name}"
                )
            return event.guarantee
        noise = number("noise_multiplier", event.noise_multiplier, at_least=0)
        distance = _DISTANCE[self.neighboring_relation]
        if noise <= distance / MAX_MU * 2:
            return None
        return Guarantee("gdp", np.ones(1), np.array([math.nextafter(distance / noise, math.inf)]))

    def _add(self, part: Guarantee | None, count: int) -> None:
        try:
            if part is not None and part.redrawn:
                # What a redrawn key costs is known for one release: its distribution is composed as that of any other.
                pld = pessimistic_pld(part, value_discretization_interval=self._value_discretization_interval)
                self._pld = self._pld.compose(pld.self_compose(count))
            elif part is not None and (part.values.any() or part.added):
                # Where there are keys, every run has its own.
                key = {"shared_key": False} if part.kind == GAUSSIAN_MIXTURE else {}
                part = part.self_compose(count, **key)
                while (same := self._parts.pop(part.kind, None)) is not None:
                    part = _bare(same.compose(part, **(key if part.kind == same.kind == GAUSSIAN_MIXTURE else {})))
                self._parts[part.kind] = _bare(part)
        except InputError:  # more than any double says
            part = None
        if part is None:
            self._contains_non_dp_event = True

    def privacy_loss_distribution(self) -> PrivacyLossDistribution:
        """Everything composed so far as one pessimistic distribution, unless some of it is not private at all."""
        if self._contains_non_dp_event:
            raise InputError("events must be private to have a privacy loss distribution")
        result = self._pld
        for part in self._parts.values():
            pld = pessimistic_pld(part, value_discretization_interval=self._value_discretization_interval)
            result = result.compose(pld)
        return result

    @property
    def _alone(self) -> Guarantee | None:
        """The one exact part if there is nothing else."""
        return next(iter(self._parts.values())) if len(self._parts) == 1 and self._pld is self._nothing else None

    def get_epsilon(self, target_delta: float) -> float:
        """Smallest epsilon found at ``target_delta`` in [0, 1], never below the true one; infinity if there is none."""
        delta = float(numbers("target_delta", target_delta, at_least=0, at_most=1))
        if self._contains_non_dp_event:
            return math.inf
        if delta == 1 or not self._parts:
            return 0.0 if delta == 1 else float(super().get_epsilon(delta))
        if self._alone is not None:
            return float(self._alone.epsilon(delta)) if delta > 0 else math.inf
        if delta <= _NOISE:
            return math.inf
        pld = self.privacy_loss_distribution()
        # Asked where epsilon is zero, the library may overflow.
        return 0.0 if pld.get_delta_for_epsilon(0.0) <= delta - _NOISE else float(pld.get_epsilon_for_delta(delta - _NOISE))

    def get_delta(self, target_epsilon: float) -> float:
        """Smallest delta found at ``target_epsilon`` >= 0 (infinity allowed), never below the true one."""
        epsilon = float(numbers("target_epsilon", target_epsilon, at_least=0, finite=False))
        if self._contains_non_dp_event:
            return 1.0
        if not self._parts:
            return float(super().get_delta(epsilon))
        if self._alone is not None:
            return float(self._alone.delta(epsilon)) if epsilon < math.inf else 0.0
        return min(1.0, float(self.privacy_loss_distribution().get_delta_for_epsilon(epsilon)) + _NOISE)


def pessimistic_pld(guarantee: Guarantee, *, value_discretization_interval: float = 1e-4) -> PrivacyLossDistribution:
    """A guarantee as ``dp_accounting``'s distribution of a privacy loss; InputError where it has too many points."""
    interval = number("value_discretization_interval", value_discretization_interval, above=0)
    # What is added counts as infinite, and must not make everything so.
    largest = float(replace(guarantee, added=0.0, redrawn=0.0).epsilon(_TAIL))
    if not (least := 2 * largest / _POINTS) <= interval:
        raise InputError(
            f"value_discretization_interval must be at least {least:.3g}, for losses up to {largest:.4g}, got {shown(interval)}"
        )
    loss = guarantee.pld(interval=interval, tail=_TAIL)
    last = int(loss.multiples[-1])
    masses = np.zeros(2 * last + 1)
    masses[loss.multiples + last] = loss.probabilities
    return PrivacyLossDistribution(DensePLDPmf(interval, -last, masses, loss.infinite, True))


class MixtureExport(NamedTuple):
    """``dp_accounting``'s own event, and what must be added to delta each time that it is composed, for too large batches."""

    event: dp_event.MixtureOfGaussiansDpEvent
    added: float


class SharedKeyWarning(UserWarning):
    """An event that composes only over runs with keys of their own."""


def mixture_event(guarantee: Guarantee, *, components: int | None = None) -> MixtureExport:
    """A guarantee of kind "gaussian-mixture" for adjacency "remove" as an event for accountants with ADD_OR_REMOVE_ONE.

    Exactly, in each direction by itself, where :class:`UnlearningEvent` has the larger of both.

    components: at most so many (from 2), rounded up, as the library takes long for many; default: all. Raises InputError for
    other kinds, groups, stand-ins and redrawn keys; warns (SharedKeyWarning) every time, as the event knows of no key.
    """
    runs = _runs_of_one_record(guarantee)
    if guarantee.kind != GAUSSIAN_MIXTURE or any(run["problem"]["adjacency"] != "remove" for run in runs):
        raise InputError(f"guarantee must be of kind {GAUSSIAN_MIXTURE} for adjacency remove, got {guarantee.kind}")
    if guarantee.stand_in is not None or guarantee.redrawn:
        raise InputError(
            "guarantee must have no stand-in and no redrawn key, which dp_accounting has no event for: use UnlearningEvent"
        )
    paid = f"; add {guarantee.added:.3g} to delta each time, for batches that are too large" if guarantee.added else ""
    warnings.warn(
        "MixtureOfGaussiansDpEvent composes only over runs with keys of their own: releases of runs that share a key are one "
        f"event, of Guarantee.compose(other, shared_key=True){paid}",
        SharedKeyWarning,
        stacklevel=2,
    )
    law = Visits(0.0, guarantee.weights, guarantee.values)
    if components is not None:
        law = law.pooled(integer("components", components, at_least=2))
    event = dp_event.MixtureOfGaussiansDpEvent(1.0, law.values.tolist(), law.weights.tolist())
    return MixtureExport(event, guarantee.added)


def _runs_of_one_record(guarantee: object) -> list[Mapping[str, Any]]:
    """The contexts of the runs; InputError for what is no guarantee about one record."""
    if not isinstance(guarantee, Guarantee):
        raise InputError(f"guarantee must be a Guarantee, got {guarantee!r}")
    runs = list(origins(guarantee.context))
    points = max(map(points_of, runs), default=1)
    if points > 1:
        raise InputError(f"guarantee must be about one record, as neighbouring datasets are, got {points} points")
    return runs


def _relation(relation: object) -> NeighboringRelation:
    if relation not in _DISTANCE:
        raise InputError(f"neighboring_relation must be REPLACE_ONE, REPLACE_SPECIAL or ADD_OR_REMOVE_ONE, got {relation!r}")
    return relation


def _bare(guarantee: Guarantee) -> Guarantee:
    """Only the curve: the texts of a million compositions are left out."""
    return replace(guarantee, statement="", assumptions=(), context={})
