"""Releases whose secret draws come from keys: what composing them asks for, and the mixtures that it gives.

Under one key the draw is the same in every release: given the draw the scales add as squares, mu_j^2 = sum_r mu_jr^2, and the
mixture is taken last. With a key each, the draws are independent, (j, k) has w_j v_k and sqrt(mu_j^2 + nu_k^2): the true pair
is a mixture in two dimensions, of vectors (mu_j, nu_k) whose inner products are at most the products of their lengths, so that
by Kahane's inequality no hockey-stick divergence is above that of the one-dimensional mixture of the lengths (docs/theory.md,
"Secret batches").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from accountant.curves.composition import LISTED
from accountant.numerics import Floats, InputError

#: What a sum of a few squares is raised by, for its roundings and for those of weights.
_SAFE: Final = 1 + 1e-11
#: Cells up to the largest outcome where there are too many to list.
_CELLS: Final = 1 << 13


def origins(context: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The contexts of the runs that a guarantee is composed of, those that say their problem."""
    if "problem" in context:
        yield context
    for part in _parts(context):
        yield from origins(part)


def points_of(origin: Mapping[str, Any]) -> int:
    """How many points a run's guarantee is about: those of all requests of a stream, or of one request."""
    points: int = origin.get("points", origin.get("group_size", 1))
    return points


def _parts(context: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    parts: Iterable[Mapping[str, Any]] = context.get("composed", [context["of"]] if "of" in context else [])
    return parts


def _keys(context: Mapping[str, Any]) -> set[str]:
    """The keys that are named anywhere in it."""
    found = {str(context["key"])} if context.get("key") is not None else set()
    return found.union(*(_keys(part) for part in _parts(context)))


def shared(one: Mapping[str, Any], other: Mapping[str, Any], asked: bool | None) -> bool:
    """Whether two releases share their key: what their contexts say, or the caller; InputError where neither does."""
    if asked is not None and not isinstance(asked, bool):
        raise InputError(f"shared_key must be True, False or None, got {asked!r}")
    first, second = _keys(one), _keys(other)
    if not first or not second:
        if asked is None:
            raise InputError(
                "shared_key must be True or False: whether both releases are of runs whose secret batches were drawn under one "
                "key. Under one key both tell of the same draw, and composed as independent they would claim too much"
            )
        return asked
    same = bool(first & second)
    if asked is not None and asked != same:
        raise InputError(f"shared_key must be {same} for runs under {'one key' if same else 'keys of their own'}, got {asked}")
    return same


def check_one_draw(*contexts: Mapping[str, Any]) -> None:
    """Refuse what cannot be composed under one key: components that are not the batches of one record."""
    for context in contexts:
        if _parts(context) and not context.get("shared_key", False):
            raise InputError(
                "shared_key must be False for a composition of independent releases: its components are no batches"
            )
        for run in origins(context):
            if run.get("algorithm", {}).get("assignment", "secret") != "secret" or points_of(run) != 1:
                raise InputError(
                    "shared_key=True is for one record that draws one batch for all epochs: the components of groups, streams "
                    "and other draws are sums over several draws, of which nobody can say which belong together"
                )
        for part in _parts(context):
            check_one_draw(part)


def under_one_key(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> Floats:
    """mu (J,) of both releases together, of weights and mu (J,) of each, component by component."""
    (weights, mu), (others, nu) = one, other
    if weights.shape != others.shape or not np.allclose(weights, others, rtol=1e-12, atol=0):
        raise InputError(
            "other must have the same batches with the same chances, under one key: what draws from two numbers of batches "
            "have in common is not known here"
        )
    return np.hypot(mu, nu) * _SAFE


def with_own_keys(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Weights and mu of both releases together, of weights and mu of each; many outcomes are rounded up to a grid of mu^2."""
    (weights, mu), (others, nu) = _merged(*one), _merged(*other)
    if weights.size * others.size <= LISTED:
        return _merged(np.outer(weights, others).ravel(), np.hypot.outer(mu, nu).ravel() * _SAFE)
    top = float(np.hypot(mu.max(), nu.max()))
    # What underflows still counts as something.
    cells = [np.maximum(np.ceil((values / top) ** 2 * _SAFE * _CELLS), values > 0).astype(np.int64) for values in (mu, nu)]
    masses = [np.bincount(cell, chances, _CELLS + 2) for cell, chances in zip(cells, (weights, others), strict=True)]
    total = np.convolve(masses[0], masses[1])
    some = np.flatnonzero(total)
    values = np.sqrt(some / _CELLS) * top * _SAFE
    return _merged(total[some].astype(np.float64), np.minimum(values, top * _SAFE))


def power_with_own_keys(one: tuple[Floats, Floats], count: int) -> tuple[Floats, Floats]:
    """The same of ``count`` >= 1 releases of one kind, each with a key of its own."""
    result, square = None, one
    while True:
        if count % 2:
            result = square if result is None else with_own_keys(result, square)
        count //= 2
        if not count:
            assert result is not None
            return result
        square = with_own_keys(square, square)


def _merged(weights: Floats, mu: Floats) -> tuple[Floats, Floats]:
    """Outcomes of positive probability, each once, in order."""
    some = weights > 0
    distinct, place = np.unique(mu[some], return_inverse=True)
    summed = np.bincount(place, weights[some], distinct.size)
    return summed / summed.sum(), distinct


def moved_outside(one: tuple[Floats, Floats], stand_in: tuple[Floats, Floats] | None) -> tuple[Floats, Floats]:
    """Weights and mu of an average outside of the divergences, which is never less (joint convexity)."""
    if stand_in is None:
        return one
    (weights, mu), (others, nu) = _few(*one), _few(*stand_in)
    return _merged(np.outer(weights, others).ravel(), np.add.outer(mu, nu).ravel() * _SAFE)


def _few(weights: Floats, mu: Floats) -> tuple[Floats, Floats]:
    """So few outcomes that all pairs can be listed, the others rounded up."""
    weights, mu = _merged(weights, mu)
    most = int(LISTED**0.5)
    if mu.size <= most:
        return weights, mu
    top = float(mu[-1])
    place = np.ceil(mu / top * (1 - 1e-12) * (most - 1)).astype(np.int64)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    return np.add.reduceat(weights, starts), np.maximum.reduceat(mu, starts)
