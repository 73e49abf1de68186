"""Composition of guarantees: which ones compose, as what, and what the result rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from accountant.curves import composition, hockey_stick, keys, renyi
from accountant.curves.contraction import CONTRACTION
from accountant.curves.curves import GAUSSIAN_MIXTURE, TANGENT
from accountant.numerics import Floats, InputError, integer

#: By whether they share their key.
_UNDER: Final = ("with independent randomness and keys", "under one key, with independent noise")
_INDEPENDENT: Final = (
    "composed releases draw their noise and their batch orders independently of one another",
    "composed releases draw their noise independently of one another, and their batches under one key",
)
#: What a result of two roundings is raised by.
_UP: Final = 1 + 1e-15


class Release(Protocol):
    """What composition reads of a guarantee."""

    @property
    def kind(self) -> str: ...
    @property
    def weights(self) -> Floats: ...
    @property
    def values(self) -> Floats: ...
    @property
    def conversion(self) -> str: ...
    @property
    def statement(self) -> str: ...
    @property
    def assumptions(self) -> tuple[str, ...]: ...
    @property
    def context(self) -> Mapping[str, Any]: ...
    @property
    def stand_in(self) -> tuple[Floats, Floats] | None: ...
    @property
    def added(self) -> float: ...
    @property
    def redrawn(self) -> float: ...


class Composed(NamedTuple):
    """The fields of a guarantee, in their order."""

    kind: str
    weights: Floats
    values: Floats
    conversion: str
    statement: str
    assumptions: tuple[str, ...]
    context: Mapping[str, Any]
    stand_in: tuple[Floats, Floats] | None
    added: float


class _Law(NamedTuple):
    """A curve alone."""

    kind: str
    weights: Floats
    values: Floats
    conversion: str = "exact"


def _check_composable(part: Release) -> None:
    if part.kind == CONTRACTION:
        raise InputError(
            "a guarantee of kind contraction does not compose: blocks prove points of a curve, and nothing that adds up; "
            "compose the privacy losses of both (pld), which is an upper bound"
        )


def composed(one: Release, other: Release, shared_key: bool | None) -> Composed:
    """Both releases together; see :meth:`Guarantee.compose`."""
    for part in (one, other):
        _check_composable(part)
    _check_same_neighbours(one, other)
    parts = one, other
    context: dict[str, Any] = {"composed": [part.context for part in parts]}
    under = 0
    if one.kind == other.kind == GAUSSIAN_MIXTURE:
        context["shared_key"] = same = keys.shared(one.context, other.context, shared_key)
        under = int(same)
    elif shared_key is not None:
        raise InputError("shared_key must be left out, as it is for two guarantees of kind gaussian-mixture")
    pairs = one.kind == other.kind == GAUSSIAN_MIXTURE
    statement = f"Both of these, {_UNDER[under] if pairs else 'with independent randomness'}. "
    statement += f"First: {one.statement} Second: {other.statement}"
    added = _added(*parts)
    if pairs and under:
        keys.check_one_draw(one.context, other.context)
        mu = keys.under_one_key((one.weights, one.values), (other.weights, other.values))
        return _result(_law(one), one.weights, mu**2, parts, context, statement, added=added, stand_in=_stand_in(one, other))
    if pairs and one.stand_in is other.stand_in is None:
        weights, mu = keys.with_own_keys((one.weights, one.values), (other.weights, other.values))
        return _result(_law(one), weights, mu**2, parts, context, statement, added=added)
    first, second = _composable(one), _composable(other)
    if first.kind != second.kind:
        first, second = _as_renyi(first), _as_renyi(second)
    if first.kind != second.kind:
        raise InputError(f"other must be of a family that composes with {first.kind}, got {second.kind}")
    squares = first.kind == "gdp"
    power = 2 if squares else 1
    weights, sums = composition.sum_of_two(
        (first.weights, first.values**power), (second.weights, second.values**power), squares=squares
    )
    conversion = first.conversion if first.conversion == second.conversion else "basic"
    return _result(first, weights, sums, parts, context, statement, conversion=conversion, added=added)


def self_composed(one: Release, count: int, shared_key: bool | None) -> Composed | None:
    """So many such releases together, None for itself; see :meth:`Guarantee.self_compose`."""
    times = integer("count", count, at_least=1)
    if times > 1:
        _check_composable(one)
    pair = one.kind == GAUSSIAN_MIXTURE
    if not pair and shared_key is not None:
        raise InputError("shared_key must be left out, as it is for a guarantee of kind gaussian-mixture")
    if times == 1:
        return None
    context: dict[str, Any] = {"times": times, "of": one.context}
    statement = f"{times} releases with independent randomness, each: {one.statement}"
    added, parts = _added(one, times=times), (one,)
    if pair:
        # Like this one are releases of its own run as well as other runs: the caller says which are meant.
        context["shared_key"] = same = keys.shared({}, {}, shared_key)
        statement = f"{times} releases, {_UNDER[same]}, each: {one.statement}"
        if same:
            keys.check_one_draw(one.context)
            beside = None if one.stand_in is None else (one.stand_in[0], one.stand_in[1] * (times**0.5 * _UP))
            sums = one.values**2 * (times * _UP)
            return _result(_law(one), one.weights, sums, parts, context, statement, added=added, stand_in=beside)
        if one.stand_in is None:
            weights, mu = keys.power_with_own_keys((one.weights, one.values), times)
            return _result(_law(one), weights, mu**2, parts, context, statement, added=added)
    first = _composable(one)
    squares = first.kind == "gdp"
    weights, sums = composition.sum_of_many(first.weights, first.values ** (2 if squares else 1), times, squares=squares)
    return _result(first, weights, sums, parts, context, statement, added=added)


def _stand_in(one: Release, other: Release) -> tuple[Floats, Floats] | None:
    """The stand-in of both releases under one key: sqrt((a + b)^2 + (c + d)^2) <= sqrt(a^2 + c^2) + sqrt(b^2 + d^2)."""
    if one.stand_in is None and other.stand_in is None:
        return None
    if one.stand_in is None or other.stand_in is None:
        raise InputError("other must have a stand-in if and only if the first one does, under one key")
    return one.stand_in[0], keys.under_one_key(one.stand_in, other.stand_in)


def _added(*parts: Release, times: int = 1) -> float:
    """What all of them add to delta."""
    if any(part.redrawn for part in parts):
        raise InputError(
            "redrawn must be 0 for a composition: what a redrawn key costs is known for one release; pay with added instead"
        )
    return min(sum(part.added for part in parts) * times * _UP, 1.0)


def _law(one: Release) -> _Law:
    return _Law(one.kind, one.weights, one.values, one.conversion)


def _composable(one: Release) -> _Law:
    """Itself, or what it proves as a GDP mixture, but for what is added.

    That is the worst component of a law that is an upper bound for convex functions of mu only, and the average of a Gaussian
    mixture taken outside.
    """
    if one.kind == TANGENT:
        return _Law("gdp", np.ones(1), one.values.max(keepdims=True))
    if one.kind == GAUSSIAN_MIXTURE:
        return _Law("gdp", *keys.moved_outside((one.weights, one.values), one.stand_in))
    return _law(one)


def _as_renyi(one: _Law) -> _Law:
    if one.kind != "gdp":
        return one
    return _Law("linear", one.weights, 0.5 * one.values**2 * _UP, "improved")


def _result(
    like: _Law,
    weights: Floats,
    sums: Floats,
    parts: tuple[Release, ...],
    context: dict[str, Any],
    statement: str,
    *,
    conversion: str | None = None,
    added: float = 0.0,
    stand_in: tuple[Floats, Floats] | None = None,
) -> Composed:
    """A guarantee of the kind of ``like``, of weights and mu^2 or rho."""
    gaussian = like.kind in ("gdp", GAUSSIAN_MIXTURE)
    if added and not gaussian:
        raise InputError("added must be 0 beside a Rényi curve: what may go wrong by chance has no Rényi divergence")
    limit = hockey_stick.MAX_MU**2 if gaussian else renyi.MAX_RHO
    if not sums.max() <= limit * (1 - 1e-9):
        raise InputError("the composition is too large: nothing is guaranteed any more")
    lines = dict.fromkeys(line for part in parts for line in part.assumptions)
    return Composed(
        kind=like.kind,
        weights=weights,
        values=np.sqrt(sums) * _UP if gaussian else sums,
        conversion=like.conversion if conversion is None else conversion,
        statement=statement,
        assumptions=(*lines, _INDEPENDENT[bool(context.get("shared_key", False))]),
        context=context,
        stand_in=stand_in,
        added=added,
    )


def _check_same_neighbours(one: Release, other: Release) -> None:
    """Refuse to compose statements about different pairs of datasets."""
    runs = [*keys.origins(one.context), *keys.origins(other.context)]
    for name, kinds in (
        ("adjacency", {str(run["problem"]["adjacency"]) for run in runs}),
        ("number of deleted points", {str(keys.points_of(run)) for run in runs}),
    ):
        if len(kinds) > 1:
            raise InputError(f"other must be about the same {name} to compose with, got {' and '.join(sorted(kinds))}")
