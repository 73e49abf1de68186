"""The result that everything else reads: a privacy curve together with the reasons for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, overload

import numpy as np
from numpy.typing import ArrayLike

from accountant.curves import gdp, hockey_stick, renyi
from accountant.curves.contraction import CONTRACTION
from accountant.curves.curves import GAUSSIAN_MIXTURE, TANGENT, Readable
from accountant.curves.privacy_loss import PrivacyLoss, connect_dots
from accountant.curves.risk import Risks
from accountant.numerics import (
    Floats,
    InputError,
    checked_mixture,
    choice,
    digits,
    in_blocks,
    number,
    numbers,
    plain,
    read_json,
)

#: Version of the JSON form.
FORMAT: Final = 1
GAUSSIAN: Final = ("gdp", TANGENT)
KINDS: Final = (*GAUSSIAN, GAUSSIAN_MIXTURE, CONTRACTION, *renyi.FAMILIES)
#: Kinds whose trade-off function is known in closed form.
EXACT: Final = ("gdp", GAUSSIAN_MIXTURE)
#: What a result of two roundings is raised by.
_UP: Final = 1 + 1e-15
#: Steps of epsilon on which a single Gaussian is fitted above a curve, and how near it gets.
_STEPS: Final = 4000
_FEW_STEPS: Final = 256
#: Evaluations of components that one question may take.
_WORK: Final = 1 << 22
#: Points at which a curve is asked for its privacy loss, times components, and from how many to how many.
_KNOTS: Final = 1 << 21
_FEWEST: Final = 1 << 11
_MOST: Final = 1 << 17


@dataclass(frozen=True, eq=False)
class Guarantee(Risks):
    """What holds for the unlearned model: a Gaussian mixture, a mixture of GDP curves, or a Rényi curve. Immutable.

    kind: "gdp" (component j is values_j-GDP), "gdp-tangent" (the same, but each divergence is replaced by the smallest
        convex function of mu above it), "gaussian-mixture" (as hard to tell apart as sum_j w_j N(values_j, 1) and N(0, 1): the
        component is secret), "contraction" (component j is values_j-GDP at first, and every one of ``blocks`` contracts what is
        proved; averaged after the last), or the Rényi family "linear" or "not-converged" (component j has rho = values_j).
    weights: probabilities (J,), summing to one; values: mu_j >= 0 or rho_j >= 0, (J,). Both are read-only copies.
    conversion: how a Rényi curve becomes (epsilon, delta): "basic" or "improved"; "exact" for GDP.
    stand_in: kind "gaussian-mixture" only: (weights, values) of a second, independent draw, whose component k moves all values
        by values_k; the average over it is taken outside.
    blocks: kind "contraction" only: mu of the blocks after the first, in order, (B,).
    added, redrawn: Gaussian kinds only, and one of both at most. A chance that is added to every delta, or the chance p that
        the record itself makes a batch too large, where a key was redrawn until none was: delta(epsilon) is then
        (d + e^x p)/(1 - p) with the components' own delta d at x = epsilon + log(1 - p).
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
    stand_in: tuple[Floats, Floats] | None = None
    added: float = 0.0
    redrawn: float = 0.0
    blocks: Floats | None = None

    def __post_init__(self) -> None:
        choice("kind", self.kind, KINDS)
        choice("conversion", self.conversion, ("exact",) if self.gaussian else renyi.CONVERSIONS)
        limit = hockey_stick.MAX_MU if self.gaussian else renyi.MAX_RHO
        weights, values = _mixture("values", self.weights, self.values, limit)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "values", values)
        self._check_beside()
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

    def _check_beside(self) -> None:
        """What stands beside the components: a stand-in, and what is paid for large batches."""
        if self.stand_in is not None:
            if self.kind != GAUSSIAN_MIXTURE or not isinstance(self.stand_in, (tuple, list)) or len(self.stand_in) != 2:
                raise InputError("stand_in must be weights and values, of a guarantee of kind gaussian-mixture")
            object.__setattr__(self, "stand_in", _mixture("stand_in", *self.stand_in, hockey_stick.MAX_MU))
        if (self.blocks is not None) != (self.kind == CONTRACTION):
            raise InputError("blocks must be given for a guarantee of kind contraction, and for no other")
        if self.blocks is not None:
            blocks = numbers("blocks", self.blocks, at_least=0, at_most=hockey_stick.MAX_MU).reshape(-1) + 0.0
            blocks.flags.writeable = False
            object.__setattr__(self, "blocks", blocks)
        for name in ("added", "redrawn"):
            object.__setattr__(self, name, number(name, getattr(self, name), at_least=0, at_most=1) + 0.0)
        paid = bool(self.added) + bool(self.redrawn)
        if paid > (1 if self.gaussian and self.blocks is None else 0):
            raise InputError(
                "added and redrawn must be 0 but for one of them, of a guarantee of a Gaussian kind without blocks: gdp, "
                f"{TANGENT} or {GAUSSIAN_MIXTURE}"
            )

    @property
    def gaussian(self) -> bool:
        """Whether it is made of Gaussians, not of Rényi curves."""
        return self.kind in (*GAUSSIAN, GAUSSIAN_MIXTURE, CONTRACTION)

    @property
    def _pairs(self) -> int:
        """Components that a curve is made of."""
        return (
            self.values.size
            * (1 if self.stand_in is None else self.stand_in[1].size)
            * (1 + (0 if self.blocks is None else self.blocks.size))
        )

    def _read(self) -> tuple[Readable, Floats, Floats] | None:
        """The curve that is no plain average of GDP or Rényi curves, with log weights and components."""
        if self.kind not in (GAUSSIAN_MIXTURE, CONTRACTION) and not self.added and not self.redrawn:
            return None
        from accountant.curves.chain import ChainCurve
        from accountant.curves.mixture_pair import components
        from accountant.curves.paid import Paid
        from accountant.curves.pair_curves import ExactGDP, ExactPair

        if self.kind == GAUSSIAN_MIXTURE:
            log_weights, mu, outside = components(self.weights, self.values, self.stand_in)
            return Paid(ExactPair(outside), self.added, self.redrawn).whole, log_weights, mu
        some = self.weights > 0
        if self.blocks is not None:
            return ChainCurve(self.blocks), np.log(self.weights[some]), self.values[some]
        curve = Paid(ExactGDP(self.kind == TANGENT), self.added, self.redrawn).whole
        return curve, np.log(self.weights[some]), self.values[some]

    @overload
    def epsilon(self, delta: float) -> float: ...
    @overload
    def epsilon(self, delta: ArrayLike) -> Floats: ...
    def epsilon(self, delta: ArrayLike) -> float | Floats:
        """Smallest proven epsilon at ``delta`` in (0, 1), infinite where ``added`` or ``redrawn`` leave none; broadcasts."""
        if (read := self._read()) is not None:
            curve, log_weights, mu = read
            levels = numbers("delta", delta, above=0, below=1)
            return plain(in_blocks(lambda d, m: curve.epsilon(np.log(d), log_weights, m), levels, mu, components=1))
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
        if (read := self._read()) is not None:
            curve, log_weights, mu = read
            levels = numbers("epsilon", epsilon, at_least=0)
            found = in_blocks(lambda e, m: curve.log_delta(e, log_weights, m), levels, mu, components=1)
            return plain(hockey_stick.probability(np.minimum(found, 0.0)))
        if self.kind in GAUSSIAN:
            tangent = self.kind == TANGENT
            return gdp.mixture_delta(epsilon=epsilon, weights=self.weights, mu=self.values, tangent=tangent)
        return renyi.rdp_delta(
            epsilon=epsilon, weights=self.weights, rho=self.values, family=self.kind, conversion=self.conversion
        )

    @property
    def mu_worst(self) -> float | None:
        """Smallest mu for which the guarantee is mu-GDP, the largest component; None for a Rényi curve, with ``blocks``,
        ``added`` or ``redrawn``.

        No smaller one will do: as epsilon grows, the divergence of the largest exceeds that of any smaller mu by any factor.
        """
        if not self.gaussian or self.added or self.redrawn or self.blocks is not None:
            return None
        beside = 0.0 if self.stand_in is None else float(self.stand_in[1].max())
        return float(self.values.max()) + beside * _UP if beside else float(self.values.max())

    def gdp(self, smallest_delta: float) -> float:
        """Smallest mu whose delta(epsilon) is at least this one's wherever that is ``smallest_delta`` in (0, 1) or more.

        A single Gaussian for those who never ask about smaller delta; at most ``mu_worst``. InputError for a Rényi curve, and
        for a delta that ``added`` or ``redrawn`` leave nothing of.
        """
        if not self.gaussian:
            raise InputError("gdp must be asked of a guarantee of kind gdp, got a Rényi curve")
        number("smallest_delta", smallest_delta, above=0, below=1)
        worst = np.inf if self.mu_worst is None else self.mu_worst
        top = float(self.epsilon(smallest_delta))
        if not top < np.inf:
            raise InputError(f"smallest_delta must be above what large batches cost, got {smallest_delta:g}")
        if self._pairs == 1 and worst < np.inf:
            return worst
        if top == 0:
            return min(worst, float(gdp.gdp_mu(epsilon=0.0, delta=self.delta(0.0))) * _UP)
        # Between two points of the grid delta is at most what it is at the left one, and epsilon at most the right one.
        steps = max(min(_STEPS, _WORK // self._pairs), _FEW_STEPS)
        epsilon = np.append(0.0, np.linspace(0.0, top, steps)[1:])
        delta = np.asarray(self.delta(epsilon))
        left, right = np.minimum(delta[:-1], 1 - 1e-16), epsilon[1:]
        # gdp_mu is rounded down, by far less than this.
        return min(worst, float(np.max(gdp.gdp_mu(epsilon=right, delta=left))) * (1 + 1e-9))

    def compose(self, other: Guarantee, *, shared_key: bool | None = None) -> Guarantee:
        """Both releases together, with independent noise: ``other`` may be chosen after seeing the first.

        GDP mixtures: exact for single mu and up to 20000 pairs of components, else on a grid whose effect is raised to the
        safe side (less than 1e-6 max(1, epsilon) at delta >= 1e-30; smaller delta may be bounded more loosely). A law of kind
        "gdp-tangent" counts as its worst component. Rényi curves add up, exactly up to 20000 components and beyond as their
        worst ones; a Gaussian guarantee beside one is read as Rényi.

        Two of kind "gaussian-mixture": ``shared_key`` says whether the batches of both were drawn under one key. It is needed
        where not both contexts name their key. Under one key (True) scales add as squares component by component and the
        mixture is taken last, which is exact; both must have the same weights, of the batches of one record. With a key each
        (False) the mixture of all pairs is an upper bound. With a stand-in, and beside another Gaussian kind, the average is
        taken outside, an upper bound, too. ``added`` adds up.

        InputError for curves of two families, for guarantees that say that they are about other neighbours (another adjacency,
        or other numbers of points), with ``redrawn``, and where ``shared_key`` is missing or contradicts the contexts.
        """
        if not isinstance(other, Guarantee):
            raise InputError(f"other must be a Guarantee, got {other!r}")
        from accountant.curves import composing

        return Guarantee(*composing.composed(self, other, shared_key))

    def self_compose(self, count: int, *, shared_key: bool | None = None) -> Guarantee:
        """``count`` >= 1 such releases together, with independent noise; see :meth:`compose`.

        Kind "gaussian-mixture": of one run (``shared_key`` True), or of so many runs with a key each (False).
        """
        from accountant.curves import composing

        together = composing.self_composed(self, count, shared_key)
        return self if together is None else Guarantee(*together)

    @overload
    def rdp(self, alpha: float) -> float: ...
    @overload
    def rdp(self, alpha: ArrayLike) -> Floats: ...
    def rdp(self, alpha: ArrayLike) -> float | Floats:
        """Bound on both Rényi divergences of order ``alpha`` > 1; broadcasts.

        Kind "gaussian-mixture": above the true one by about 4e-6 of it, more where it is tiny. InputError with ``added`` or
        ``redrawn``: there is no finite divergence.
        """
        if self.added or self.redrawn:
            raise InputError(
                "rdp needs added and redrawn to be 0: what may go wrong by chance has a delta, and no Rényi divergence"
            )
        if self.blocks is not None:
            raise InputError("rdp needs a curve without blocks: they prove points of a curve, and no Rényi divergence")
        if self.kind == GAUSSIAN_MIXTURE:
            from accountant.curves.mixture_pair import components
            from accountant.curves.pair_moments import pair_rdp

            log_weights, mu, outside = components(self.weights, self.values, self.stand_in)
            orders = numbers("alpha", alpha, above=1, at_most=renyi.MAX_ALPHA)
            found = in_blocks(lambda a, m: pair_rdp(a, log_weights, m, outside), orders, mu, components=1)
            return plain(renyi.finite("alpha", found))
        gaussian = self.kind in GAUSSIAN
        rho = 0.5 * self.values**2 if gaussian else self.values
        return renyi.mixture_rdp(alpha=alpha, weights=self.weights, rho=rho, family="linear" if gaussian else self.kind)

    @overload
    def tradeoff(self, type_i: float) -> float: ...
    @overload
    def tradeoff(self, type_i: ArrayLike) -> Floats: ...
    def tradeoff(self, type_i: ArrayLike) -> float | Floats:
        """Lower bound on the type II error of every test with type I error at most ``type_i`` in [0, 1]; broadcasts.

        Exact for GDP mixtures whose batch order the attacker knows, and for Gaussian mixtures without stand-in (and without
        ``redrawn``), made convex and symmetric; for the other kinds the best of the lines
        1 - delta(epsilon) - e^epsilon x and e^-epsilon (1 - delta(epsilon) - x) over epsilon, each of which is valid.
        """
        x = numbers("type_i", type_i, at_least=0, at_most=1)
        if self.kind in EXACT and self.stand_in is None and not self.redrawn:
            of = gdp.mixture_tradeoff
            if self.kind == GAUSSIAN_MIXTURE:
                from accountant.curves.mixture_pair import mixture_pair_tradeoff as of

            def below(at: Floats) -> Floats:
                return np.asarray(of(type_i=at, weights=self.weights, mu=self.values))

            if not self.added:
                return plain(below(x))
            # Lines 1 - delta - e^epsilon x fall by what is added, e^-epsilon (1 - delta - x) move to the left by it.
            return plain(
                np.maximum(np.maximum(below(x) * (1 - 1e-15) - self.added, below(np.minimum(x + self.added, 1.0))), 0.0)
            )
        # Any set of epsilons gives a valid bound; these follow the curve from where delta is near one to where it vanishes.
        every = 1 if self._pairs < _WORK // _STEPS else 10
        levels = np.concatenate([-np.geomspace(1e-3, 700, 400), np.log1p(-np.geomspace(1e-12, 0.999, 200))])[::every]
        epsilon = np.append(0.0, np.asarray(self.epsilon(np.exp(levels))))
        epsilon = epsilon[np.isfinite(epsilon)]
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
        most = max(_KNOTS // self._pairs, _FEWEST if self.stand_in is None else _FEW_STEPS) if self.gaussian else _FEWEST
        # What is added counts as infinite, and must not make everything so.
        alone = replace(self, added=0.0, redrawn=0.0)
        return connect_dots(self.delta, largest=float(alone.epsilon(tail)), interval=interval, most=min(most, _MOST))

    def __str__(self) -> str:
        """The statement, a few points of the curve, and what it all rests on."""
        curve = ", ".join(f"{digits(float(self.epsilon(delta)))} at {delta:g}" for delta in (1e-3, 1e-6, 1e-9))
        renyi_ = f"Rényi ({self.kind}), {self.conversion} conversion"
        names = {"gdp": "GDP", TANGENT: "GDP, convex majorant", GAUSSIAN_MIXTURE: "Gaussian mixture"}
        names[CONTRACTION] = f"GDP, contracted by {0 if self.blocks is None else self.blocks.size} blocks"
        kind = f"{names.get(self.kind, renyi_)}, {self.values.size} component{'s' if self.values.size != 1 else ''}"
        if self.stand_in is not None:
            kind += f", {self.stand_in[1].size} of a stand-in"
        added, redrawn = digits(self.added), digits(self.redrawn)
        paid = f", {added} added to delta" if self.added else f", key redrawn ({redrawn})" if self.redrawn else ""
        lines = [self.statement or "A privacy curve.", f"{kind}{paid}; epsilon at delta: {curve}"]
        return "\n".join([*lines, *(f"- {line}" for line in self.assumptions)])

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; floats keep every bit."""
        beside: dict[str, Any] = {name: getattr(self, name) for name in ("added", "redrawn") if getattr(self, name)}
        if self.stand_in is not None:
            beside["stand_in"] = [part.tolist() for part in self.stand_in]
        if self.blocks is not None:
            beside["blocks"] = self.blocks.tolist()
        return {
            "format": FORMAT,
            "kind": self.kind,
            "weights": self.weights.tolist(),
            "values": self.values.tolist(),
            "conversion": self.conversion,
            "statement": self.statement,
            "assumptions": list(self.assumptions),
            "context": _thawed(self.context),
            **beside,
        }

    def to_json(self) -> str:
        """One line of JSON that :meth:`from_json` turns back into an equal guarantee, bit for bit."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Guarantee:
        """Read :meth:`to_json`'s output; InputError for anything else."""
        data = read_json("guarantee", text)
        names = {"format", "kind", "weights", "values", "conversion", "statement", "assumptions", "context"}
        if not isinstance(data, dict) or not names <= set(data) <= names | {"stand_in", "added", "redrawn", "blocks"}:
            found = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise InputError(f"guarantee must have exactly the keys {', '.join(sorted(names))}, got {found}")
        version = data.pop("format")
        if type(version) is not int or version != FORMAT:
            raise InputError(f"guarantee format must be {FORMAT}, the only one this version reads")
        return cls(**data)

    def __reduce__(self) -> tuple[Callable[[str], Guarantee], tuple[str]]:
        return Guarantee.from_json, (self.to_json(),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Guarantee) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.kind, self.weights.tobytes(), self.values.tobytes(), self.conversion, self.added, self.redrawn))


def _mixture(name: str, weights: ArrayLike, values: ArrayLike, limit: float) -> tuple[Floats, Floats]:
    """Checked, read-only weights and values of one axis."""
    checked, array = checked_mixture(weights, name, values, at_most=limit)
    if array.ndim != 1:
        raise InputError(f"{name} must have one axis, as weights has, got shape {array.shape}")
    array += 0.0  # no negative zeros, which would equal zero and hash differently
    checked.flags.writeable = array.flags.writeable = False
    return checked, array


def _frozen(value: Any) -> Any:
    """JSON types made read-only, all the way down."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, (tuple, list)) else value
