"""The result that everything else reads: a privacy curve together with the reasons for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, overload

import numpy as np
from numpy.typing import ArrayLike

from accountant.curves import composition, gdp, hockey_stick, renyi
from accountant.curves.curves import TANGENT
from accountant.curves.privacy_loss import PrivacyLoss, connect_dots
from accountant.numerics import Floats, InputError, checked_mixture, choice, integer, number, numbers, plain, read_json

#: Version of the JSON form.
FORMAT: Final = 1
GAUSSIAN: Final = ("gdp", TANGENT)
KINDS: Final = (*GAUSSIAN, *renyi.FAMILIES)
#: What a result of two roundings is raised by.
_UP: Final = 1 + 1e-15
#: Steps of epsilon on which a single Gaussian is fitted above a curve, and how near it gets.
_STEPS: Final = 4000
#: Points at which a curve is asked for its privacy loss, times components, and from how many to how many.
_KNOTS: Final = 1 << 21
_FEWEST: Final = 1 << 11
_MOST: Final = 1 << 17


@dataclass(frozen=True, eq=False)
class Guarantee:
    """What holds for the unlearned model: a mixture of GDP curves, or a Rényi curve. Immutable.

    kind: "gdp" (component j is values_j-GDP), "gdp-tangent" (the same, but each divergence is replaced by the smallest
        convex function of mu above it), or the Rényi family "linear" or "not-converged" (component j has rho = values_j).
    weights: probabilities (J,), summing to one; values: mu_j >= 0 or rho_j >= 0, (J,). Both are read-only copies.
    conversion: how a Rényi curve becomes (epsilon, delta): "basic" or "improved"; "exact" for GDP.
    statement: one sentence. assumptions: everything it rests on. context: bound, batches, reference, problem, algorithm, sigma,
        steps, as JSON types.

    >>> one = Guarantee("gdp", weights=[0.9, 0.1], values=[0.1, 0.5])
    >>> f"epsilon {one.epsilon(1e-5):.4f}, ten times {one.self_compose(10).epsilon(1e-5):.4f}"
    'epsilon 1.6981, ten times 3.5566'
    >>> Guarantee.from_json(one.to_json()) == one
    True
    """

    kind: str
    weights: Floats
    values: Floats
    conversion: str = "exact"
    statement: str = ""
    assumptions: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        choice("kind", self.kind, KINDS)
        choice("conversion", self.conversion, ("exact",) if self.kind in GAUSSIAN else renyi.CONVERSIONS)
        limit = hockey_stick.MAX_MU if self.kind in GAUSSIAN else renyi.MAX_RHO
        weights, values = checked_mixture(self.weights, "values", self.values, at_most=limit)
        if values.ndim != 1:
            raise InputError(f"values must have one axis, as weights has, got shape {values.shape}")
        values += 0.0  # no negative zeros, which would equal zero and hash differently
        weights.flags.writeable = values.flags.writeable = False
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "values", values)
        texts = isinstance(self.statement, str) and isinstance(self.assumptions, (tuple, list))
        if not texts or not all(isinstance(line, str) for line in self.assumptions):
            raise InputError("statement must be text and assumptions a list of texts")
        if not isinstance(self.context, Mapping):
            raise InputError(f"context must be a dictionary, got {self.context!r}")
        try:
            context = json.loads(json.dumps(_thawed(self.context), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InputError(f"context must be a dictionary of JSON types without NaN or infinity ({error})") from None
        object.__setattr__(self, "assumptions", tuple(self.assumptions))
        object.__setattr__(self, "context", _frozen(context))

    @overload
    def epsilon(self, delta: float) -> float: ...
    @overload
    def epsilon(self, delta: ArrayLike) -> Floats: ...
    def epsilon(self, delta: ArrayLike) -> float | Floats:
        """Smallest proven epsilon at ``delta`` in (0, 1); broadcasts."""
        if self.kind in GAUSSIAN:
            tangent = self.kind == TANGENT
            return gdp.mixture_epsilon(delta=delta, weights=self.weights, mu=self.values, tangent=tangent)
        return renyi.rdp_epsilon(
            delta=delta, weights=self.weights, rho=self.values, family=self.kind, conversion=self.conversion
        )

    @overload
    def delta(self, epsilon: float) -> float: ...
    @overload
    def delta(self, epsilon: ArrayLike) -> Floats: ...
    def delta(self, epsilon: ArrayLike) -> float | Floats:
        """Smallest proven delta at ``epsilon`` >= 0; broadcasts."""
        if self.kind in GAUSSIAN:
            tangent = self.kind == TANGENT
            return gdp.mixture_delta(epsilon=epsilon, weights=self.weights, mu=self.values, tangent=tangent)
        return renyi.rdp_delta(
            epsilon=epsilon, weights=self.weights, rho=self.values, family=self.kind, conversion=self.conversion
        )

    @property
    def mu_worst(self) -> float | None:
        """Smallest mu for which the guarantee is mu-GDP, the largest of the mixture; None for a Rényi curve.

        No smaller one will do: as epsilon grows, the divergence of the largest exceeds that of any smaller mu by any factor.
        """
        return float(self.values.max()) if self.kind in GAUSSIAN else None

    def gdp(self, smallest_delta: float) -> float:
        """Smallest mu whose delta(epsilon) is at least this one's wherever that is ``smallest_delta`` in (0, 1) or more.

        A single Gaussian for those who never ask about smaller delta; at most ``mu_worst``. InputError for a Rényi curve.
        """
        if self.kind not in GAUSSIAN:
            raise InputError("gdp must be asked of a guarantee of kind gdp, got a Rényi curve")
        number("smallest_delta", smallest_delta, above=0, below=1)
        worst = float(self.values.max())
        top = float(self.epsilon(smallest_delta))
        if self.values.size == 1 or top == 0:
            return worst if self.values.size == 1 else min(worst, float(gdp.gdp_mu(epsilon=0.0, delta=self.delta(0.0))) * _UP)
        # Between two points of the grid delta is at most what it is at the left one, and epsilon at most the right one.
        epsilon = np.append(0.0, np.linspace(0.0, top, _STEPS)[1:])
        delta = np.asarray(self.delta(epsilon))
        left, right = np.minimum(delta[:-1], 1 - 1e-16), epsilon[1:]
        # gdp_mu is rounded down, by far less than this.
        return min(worst, float(np.max(gdp.gdp_mu(epsilon=right, delta=left))) * (1 + 1e-9))

    def compose(self, other: Guarantee) -> Guarantee:
        """Both releases together, with independent randomness: ``other`` may be chosen after seeing the first.

        Gaussian mixtures: exact for single mu and up to 20000 pairs of components, else on a grid whose effect is raised to the
        safe side (less than 1e-6 max(1, epsilon) at delta >= 1e-30; smaller delta may be bounded more loosely). A law of kind
        "gdp-tangent" counts as its worst component. Rényi curves add up, exactly up to 20000 components and beyond as their
        worst ones; a Gaussian guarantee beside one is read as Rényi. InputError for curves of two families, and for guarantees
        that say that they are about other neighbours: another adjacency, or other numbers of points.
        """
        if not isinstance(other, Guarantee):
            raise InputError(f"other must be a Guarantee, got {other!r}")
        _check_same_neighbours(self.context, other.context)
        one, two = self._composable(), other._composable()
        if one.kind != two.kind:
            one, two = one._as_renyi(), two._as_renyi()
        if one.kind != two.kind:
            raise InputError(f"other must be of a family that composes with {one.kind}, got {two.kind}")
        squares = one.kind == "gdp"
        power = 2 if squares else 1
        weights, sums = composition.sum_of_two(
            (one.weights, one.values**power), (two.weights, two.values**power), squares=squares
        )
        return one._composed(
            weights, sums, (self, other), {"composed": [_thawed(self.context), _thawed(other.context)]},
            f"Both of these, with independent randomness. First: {self.statement} Second: {other.statement}",
            conversion=one.conversion if one.conversion == two.conversion else "basic",
        )  # fmt: skip

    def self_compose(self, count: int) -> Guarantee:
        """``count`` >= 1 such releases together, with independent randomness; see :meth:`compose`."""
        times = integer("count", count, at_least=1)
        if times == 1:
            return self
        one = self._composable()
        squares = one.kind == "gdp"
        weights, sums = composition.sum_of_many(one.weights, one.values ** (2 if squares else 1), times, squares=squares)
        return one._composed(
            weights, sums, (self,), {"times": times, "of": _thawed(self.context)},
            f"{times} releases with independent randomness, each: {self.statement}",
        )  # fmt: skip

    def _composable(self) -> Guarantee:
        """Itself, or the single worst component of a law that is an upper bound for convex functions of mu only."""
        if self.kind != TANGENT:
            return self
        return Guarantee("gdp", np.ones(1), self.values.max(keepdims=True))

    def _as_renyi(self) -> Guarantee:
        if self.kind != "gdp":
            return self
        return Guarantee("linear", self.weights, 0.5 * self.values**2 * _UP, conversion="improved")

    def _composed(
        self,
        weights: Floats,
        sums: Floats,
        parts: tuple[Guarantee, ...],
        context: dict[str, Any],
        statement: str,
        conversion: str | None = None,
    ) -> Guarantee:
        limit = hockey_stick.MAX_MU**2 if self.kind == "gdp" else renyi.MAX_RHO
        if not sums.max() <= limit * (1 - 1e-9):
            raise InputError("the composition is too large: nothing is guaranteed any more")
        lines = dict.fromkeys(line for part in parts for line in part.assumptions)
        return Guarantee(
            kind=self.kind,
            weights=weights,
            values=np.sqrt(sums) * _UP if self.kind == "gdp" else sums,
            conversion=self.conversion if conversion is None else conversion,
            statement=statement,
            assumptions=(*lines, "composed releases draw their noise and their batch orders independently of one another"),
            context=context,
        )

    @overload
    def rdp(self, alpha: float) -> float: ...
    @overload
    def rdp(self, alpha: ArrayLike) -> Floats: ...
    def rdp(self, alpha: ArrayLike) -> float | Floats:
        """Bound on both Rényi divergences of order ``alpha`` > 1; broadcasts."""
        gaussian = self.kind in GAUSSIAN
        rho = 0.5 * self.values**2 if gaussian else self.values
        return renyi.mixture_rdp(alpha=alpha, weights=self.weights, rho=rho, family="linear" if gaussian else self.kind)

    @overload
    def tradeoff(self, type_i: float) -> float: ...
    @overload
    def tradeoff(self, type_i: ArrayLike) -> Floats: ...
    def tradeoff(self, type_i: ArrayLike) -> float | Floats:
        """Lower bound on the type II error of every test with type I error at most ``type_i`` in [0, 1]; broadcasts.

        Exact for GDP mixtures whose batch order the attacker knows; for the other kinds the best of the lines
        1 - delta(epsilon) - e^epsilon x and e^-epsilon (1 - delta(epsilon) - x) over epsilon, each of which is valid.
        """
        if self.kind == "gdp":
            return gdp.mixture_tradeoff(type_i=type_i, weights=self.weights, mu=self.values)
        x = numbers("type_i", type_i, at_least=0, at_most=1)
        # Any set of epsilons gives a valid bound; these follow the curve from where delta is near one to where it vanishes.
        levels = np.concatenate([-np.geomspace(1e-3, 700, 400), np.log1p(-np.geomspace(1e-12, 0.999, 200))])
        epsilon = np.append(0.0, np.asarray(self.epsilon(np.exp(levels))))
        delta = np.asarray(self.delta(epsilon))
        lines = np.maximum(
            1 - delta - np.exp(np.minimum(epsilon, 700)) * x[..., None], np.exp(-epsilon) * (1 - delta - x[..., None])
        )
        return plain(np.maximum(lines.max(axis=-1) * (1 - 1e-13), 0.0))

    def pld(self, *, interval: float = 1e-4, tail: float = 1e-20) -> PrivacyLoss:
        """A discrete privacy loss, on multiples of ``interval`` > 0, whose curve is above this one's in both directions.

        The smallest such on its grid, for libraries that compose by convolution; where two releases are both guarantees,
        :meth:`compose` is exact. Losses that count with less than ``tail`` in (0, 1) for delta are infinite.
        """
        number("tail", tail, above=0, below=1)
        most = max(_KNOTS // self.values.size, _FEWEST) if self.kind in GAUSSIAN else _FEWEST
        return connect_dots(self.delta, largest=float(self.epsilon(tail)), interval=interval, most=min(most, _MOST))

    def __str__(self) -> str:
        """The statement, a few points of the curve, and what it all rests on."""
        curve = ", ".join(f"{float(self.epsilon(delta)):.6g} at {delta:g}" for delta in (1e-3, 1e-6, 1e-9))
        renyi_ = f"Rényi ({self.kind}), {self.conversion} conversion"
        kind = {"gdp": "GDP", TANGENT: "GDP, convex majorant"}.get(self.kind, renyi_)
        lines = [
            self.statement or "A privacy curve.",
            f"{kind}, {self.values.size} component{'s' if self.values.size != 1 else ''}; epsilon at delta: {curve}",
        ]
        return "\n".join([*lines, *(f"- {line}" for line in self.assumptions)])

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; floats keep every bit."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "weights": self.weights.tolist(),
            "values": self.values.tolist(),
            "conversion": self.conversion,
            "statement": self.statement,
            "assumptions": list(self.assumptions),
            "context": _thawed(self.context),
        }

    def to_json(self) -> str:
        """One line of JSON that :meth:`from_json` turns back into an equal guarantee, bit for bit."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Guarantee:
        """Read :meth:`to_json`'s output; InputError for anything else."""
        data = read_json("guarantee", text)
        keys = {"format", "kind", "weights", "values", "conversion", "statement", "assumptions", "context"}
        if not isinstance(data, dict) or set(data) != keys:
            found = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise InputError(f"guarantee must have exactly the keys {', '.join(sorted(keys))}, got {found}")
        version = data.pop("format")
        if type(version) is not int or version != FORMAT:
            raise InputError(f"guarantee format must be {FORMAT}, the only one this version reads")
        return cls(**data)

    def __reduce__(self) -> tuple[Callable[[str], Guarantee], tuple[str]]:
        return Guarantee.from_json, (self.to_json(),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Guarantee) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.kind, self.weights.tobytes(), self.values.tobytes(), self.conversion))


def origins(context: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The contexts of the runs that a guarantee is composed of, those that say their problem."""
    if "problem" in context:
        yield context
    for part in context.get("composed", [context["of"]] if "of" in context else []):
        yield from origins(part)


def points_of(origin: Mapping[str, Any]) -> int:
    """How many points a run's guarantee is about: those of all requests of a stream, or of one request."""
    points: int = origin.get("points", origin.get("group_size", 1))
    return points


def _check_same_neighbours(one: Mapping[str, Any], two: Mapping[str, Any]) -> None:
    """Refuse to compose statements about different pairs of datasets."""
    runs = [*origins(one), *origins(two)]
    for name, kinds in (
        ("adjacency", {str(run["problem"]["adjacency"]) for run in runs}),
        ("number of deleted points", {str(points_of(run)) for run in runs}),
    ):
        if len(kinds) > 1:
            raise InputError(f"other must be about the same {name} to compose with, got {' and '.join(sorted(kinds))}")


def _frozen(value: Any) -> Any:
    """JSON types made read-only, all the way down."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, (tuple, list)) else value
