"""Noisy projected SGD: step size, how records come into batches, batch layout, contraction, radius."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import SMALLEST, Floats, InputError, choice, integer, number
from accountant.problem.assignment import ASSIGNMENTS, PARTITION
from accountant.problem.formats import RANGES, UNITS, gamma
from accountant.problem.problem import ADJACENCIES, Problem

LAST_BATCH: Final = ("keep", "drop")
#: Batches per epoch beyond which an array over all positions is refused.
MAX_POSITIONS: Final = 10_000_000


@dataclass(frozen=True)
class PNSGD:
    """x <- Proj_R(x - step_size/|B_j| sum_{i in B_j} grad f(x; d_i) + sqrt(2 step_size) sigma N(0, I)).

    By default the n points are split once, by a random permutation, into batches that are visited in the same order in every
    epoch of learning and unlearning. Under another ``assignment`` every record draws its batch by itself
    (:mod:`accountant.problem.assignment`): J = ceil(n/b), and b is the divisor whatever the batch sizes are.

    The fields' ``help`` metadata gives meaning, domain and default; None stands for the default. A kept last batch has its
    own divisor and probability; dropped points are never used. "full" is stored as n. Raises InputError for a value outside
    its domain.

    >>> algorithm = PNSGD(Problem(n=1000, smoothness=1.0, strong_convexity=0.1), 100, step_size=0.5)
    >>> algorithm.steps_per_epoch, algorithm.contraction, algorithm.gradient_evaluations(25)
    (10, 0.95, 2500)
    """

    problem: Problem
    batch_size: int | str = field(default="full", metadata={"help": "b, points per batch, 1 to n, or full (default)."})
    step_size: float | None = field(
        default=None, kw_only=True, metadata={"help": "eta, 0 < eta <= 2/smoothness; default 1/smoothness."}
    )
    radius: float | None = field(
        default=None, kw_only=True, metadata={"help": "R > 0 of the ball projected on; default: no projection."}
    )
    learn_epochs: int | None = field(
        default=None, kw_only=True, metadata={"help": "T, epochs of learning, from 1; default: converged."}
    )
    last_batch: str = field(
        default="keep", kw_only=True, metadata={"help": "If b does not divide n: keep or drop the short last batch."}
    )
    assignment: str = field(
        default=PARTITION,
        kw_only=True,
        metadata={"help": "How records come into batches: partition, or by draws of their own: secret, fresh or poisson."},
    )
    largest_n: int | None = field(
        default=None, kw_only=True, metadata={"help": "Records ever in, living or not, at most; own draws; default 1.1 n."}
    )
    redraw: bool | None = field(
        default=None,
        kw_only=True,
        metadata={"help": "Whether a key is redrawn until no batch is too large; secret draws; default: what costs less."},
    )
    rounding: str | None = field(
        default=None,
        kw_only=True,
        metadata={"help": "Account for the rounding of what computes the steps: float64 or float32; default: exact numbers."},
    )
    dimension: int | None = field(
        default=None, kw_only=True, metadata={"help": "Parameters of the model, for rounding and for d2d-open."}
    )
    public_share: float = field(
        default=0.0,
        kw_only=True,
        metadata={"help": "Share of every batch, 0 to below 1, whose records are public and can never be deleted; default 0."},
    )
    norm_class: float = field(
        default=1.0,
        kw_only=True,
        metadata={
            "help": "r/M, above 0 to 1: deleted records, and what replaces them, have gradients of norm at most r; default 1."
        },
    )
    rounding_share: float = field(
        default=0.01,
        kw_only=True,
        metadata={"help": "Largest share of epsilon that rounding may cost, above it refused; 0.01."},
    )

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        if not isinstance(self.problem, Problem):
            raise InputError(f"problem must be a Problem, got {self.problem!r}")
        n, smoothness = self.problem.n, self.problem.smoothness
        if self.batch_size == "full":
            set_(self, "batch_size", n)
        elif isinstance(self.batch_size, str):
            raise InputError(f'batch_size must be a whole number from 1 to n = {n} or "full", got {self.batch_size!r}')
        set_(self, "batch_size", integer("batch_size", self.batch_size, at_least=1, at_most=n))
        if self.step_size is None:
            set_(self, "step_size", 1 / smoothness)
        try:
            set_(self, "step_size", number("step_size", self.step_size, above=0, at_most=2 / smoothness))
        except InputError as error:
            raise InputError(f"{error} (2/smoothness, with smoothness = {smoothness})") from None
        if self.radius is not None:
            set_(self, "radius", number("radius", self.radius, above=0))
        self._check_reach()
        if self.learn_epochs is not None:
            set_(self, "learn_epochs", integer("learn_epochs", self.learn_epochs, at_least=1))
        choice("last_batch", self.last_batch, LAST_BATCH)
        self._check_assignment()
        self._check_public()
        set_(self, "norm_class", number("norm_class", self.norm_class, above=0, at_most=1))
        if self.dimension is not None:
            set_(self, "dimension", integer("dimension", self.dimension, at_least=1))
        if self.rounding is not None:
            choice("rounding", self.rounding, UNITS)
            if self.dimension is None:
                raise InputError(f"dimension must be given with rounding={self.rounding}: the parameters of the model")
            self._rounded(1.0)
            self._check_range(self.rounding)
        number("rounding_share", self.rounding_share, at_least=0, below=1)

    def _check_reach(self) -> None:
        """The ball that a bound on gradients rests on must be there."""
        most = None if self.problem.loss is None else self.problem.loss.radius
        if most is not None and (self.radius is None or self.radius > most):
            got = "none" if self.radius is None else self.radius
            raise InputError(f"radius must be at most {most}, on which with target_bound lipschitz rests, got {got}")

    def _check_assignment(self) -> None:
        """Draws, and the arguments that only some of them have."""
        choice("assignment", self.assignment, ASSIGNMENTS)
        adjacency = self.problem.adjacency
        if not self.own_draws:
            for name in ("largest_n", "redraw"):
                if getattr(self, name) is not None:
                    raise InputError(f"{name} needs an assignment by own draws (secret, fresh, poisson), got {self.assignment}")
            if adjacency == "remove":
                raise InputError(
                    "adjacency=remove needs an assignment by own draws (secret, fresh, poisson): a record that leaves the "
                    f"fixed partition moves others, got assignment={self.assignment}; zero-out keeps its place"
                )
            return
        if adjacency == "zero-out":
            raise InputError(f"adjacency must be remove or replace with assignment={self.assignment}, got zero-out: remove it")
        if self.last_batch == "drop":
            raise InputError(f"last_batch must be keep with assignment={self.assignment}, which draws no last batch, got drop")
        m = self.problem.strong_convexity
        if self.eta * m > 1:
            raise InputError(f"step_size must be at most 1/strong_convexity = {1 / m:g} with own draws, got {self.eta}")
        n = self.problem.n
        most = -(-11 * n // 10) if self.largest_n is None else integer("largest_n", self.largest_n, at_least=n)
        object.__setattr__(self, "largest_n", most)
        if self.redraw is not None:
            if not isinstance(self.redraw, bool):
                raise InputError(f"redraw must be true or false, got {self.redraw!r}")
            if self.redraw and (self.assignment != "secret" or adjacency != "remove"):
                raise InputError(
                    "redraw needs assignment=secret and adjacency=remove: one draw for all epochs, without stand-ins, got "
                    f"{self.assignment} and {adjacency}"
                )

    def _check_public(self) -> None:
        """A share of public records, which the layout puts into every batch alike."""
        share = number("public_share", self.public_share, at_least=0, below=1)
        object.__setattr__(self, "public_share", share)
        if not share:
            return
        if self.own_draws:
            raise InputError(
                f"public_share needs assignment=partition, whose layout has as many public records in every batch, got "
                f"{self.assignment}"
            )
        if self.last_batch == "drop" and self.dropped_points:
            raise InputError("last_batch must be keep with public_share, whose layout has no records in no batch, got drop")

    @property
    def own_draws(self) -> bool:
        """Whether every record draws its batch by itself."""
        return ASSIGNMENTS[self.assignment].own

    @property
    def sensitivity_factor(self) -> float:
        """What one deletion moves a step by, in units of eta M/|B_j|; of own draws the leaver and the stand-in each."""
        return 1.0 if self.own_draws else ADJACENCIES[self.problem.adjacency].factor

    @property
    def eta(self) -> float:
        """The step size, resolved."""
        assert self.step_size is not None
        return self.step_size

    @property
    def steps_per_epoch(self) -> int:
        """J, the number of batches in an epoch."""
        whole, rest = divmod(self.problem.n, self._batch)
        return whole + (1 if rest and self.last_batch == "keep" else 0)

    @property
    def dropped_points(self) -> int:
        """Points that no batch contains (``last_batch="drop"`` only)."""
        return self.problem.n % self._batch if self.last_batch == "drop" else 0

    @property
    def diameter(self) -> float:
        """2R, +inf without projection; a little more where the projection itself is rounded."""
        if self.radius is None:
            return math.inf
        return self._rounded(2 * self.radius)

    def _check_range(self, rounding: str) -> None:
        """Refuse sizes that the format hardly holds: the roundings that are counted are relative ones."""
        problem, (low, high) = self.problem, RANGES[rounding]
        sizes = {"lipschitz": problem.lipschitz, "step_size * lipschitz": self.eta * problem.lipschitz}
        if self.radius is not None:
            sizes["radius"] = self.radius
        elif problem.strong_convexity > 0:
            sizes["lipschitz/strong_convexity"] = problem.lipschitz / problem.strong_convexity
        for name, size in sizes.items():
            if not low <= size <= high:
                raise InputError(f"{name} must be from {low:.3g} to {high:.3g} with rounding={rounding}, got {size:.3g}")

    def _rounded(self, length: float) -> float:
        """A length, a little more where numbers are rounded."""
        if self.rounding is None or self.dimension is None:
            return length
        return length * (1 + gamma(rounding=self.rounding, dimension=self.dimension, rows=self._batch))

    @property
    def largest_batch(self) -> int:
        """Points in a full batch."""
        return self._batch

    @cached_property
    def log_contraction(self) -> float:
        """log c, with c = max(|1 - eta m|, |1 - eta L|) = 1 - min(eta m, 2 - eta L) for 0 < eta <= 2/L; -inf for c = 0.

        Of own draws 1 - eta m, which holds as long as no batch is too large (:func:`accountant.problem.load_limit`).
        """
        from fractions import Fraction

        # Exact rational arithmetic: 1 - c may be as small as 1e-300, where c itself rounds to one, and so may c be.
        eta = Fraction(self.eta)
        gap = eta * Fraction(self.problem.strong_convexity)
        if not self.own_draws:
            gap = min(gap, 2 - eta * Fraction(self.problem.smoothness))
        if gap >= 1:
            return -math.inf
        # A smaller gap is as good as none at any number of steps that can be counted; c = 1 is on the safe side.
        if gap < Fraction(SMALLEST):
            return 0.0
        return math.log(float(1 - gap)) if gap > Fraction(1, 2) else math.log1p(-float(gap))

    @property
    def log_eta(self) -> float:
        """Logarithm of the step size."""
        return math.log(self.eta)

    @property
    def log_diameter(self) -> float:
        """log 2R, +inf without projection."""
        return math.log(self.diameter)

    @property
    def contraction(self) -> float:
        """c, the Lipschitz constant of one noiseless step, between 0 and 1."""
        return math.exp(self.log_contraction)

    def batch_sizes(self, positions: ArrayLike) -> Floats:
        """|B_j| for the given positions j = 0 ... J-1, as floats; of own draws the divisor b."""
        if self.own_draws:
            return np.full(np.shape(positions), float(self._batch))
        last = self.problem.n - self._batch * (self.steps_per_epoch - 1)
        own = float(min(last, self._batch))
        return np.where(np.asarray(positions) == self.steps_per_epoch - 1, own, float(self._batch))

    def private_sizes(self, positions: ArrayLike) -> Floats:
        """Records in each batch that may be deleted: |B_j| less the public ones, share |B_j| rounded down.

        The divisor of the step stays |B_j|, so that one deletion moves it as little as if all were private.

        >>> from accountant import PNSGD, Problem
        >>> algorithm = PNSGD(Problem(n=25, smoothness=1.0), 10, public_share=0.29)
        >>> algorithm.private_sizes([0, 1, 2]).tolist(), algorithm.private_records
        ([8.0, 8.0, 4.0], 20)
        """
        sizes = self.batch_sizes(positions)
        if not self.public_share:
            return sizes
        # There are batches of b, and a last one.
        rest = float(self.problem.n % self._batch)
        return sizes - np.where(sizes == rest, self._public_in(rest), self._public_in(self._batch))

    @property
    def private_records(self) -> int:
        """Records that may be deleted."""
        if not self.public_share:
            return self.problem.n
        whole, rest = divmod(self.problem.n, self._batch)
        return self.problem.n - whole * int(self._public_in(self._batch)) - int(self._public_in(rest))

    def _public_in(self, size: float) -> float:
        """Public records in a batch of so many: the share is the decimal that it was typed as."""
        from fractions import Fraction

        return float(math.floor(Fraction(repr(self.public_share)) * int(size)))

    def log_sensitivity(self, positions: ArrayLike) -> Floats:
        """log h_j, how far apart one step of batch j maps a point on the two datasets: h = 2 eta M/|B_j| (replace).

        Of own draws eta M/b, of the leaver and of the stand-in. Of records of a ``norm_class`` r in the place of M.
        """
        return self.log_unit_sensitivity - np.log(self.batch_sizes(positions))

    @property
    def log_unit_sensitivity(self) -> float:
        """log of what one point changes in a step on a batch of its own: 2 eta r (replace; of own draws eta r), r <= M."""
        return math.log(self.sensitivity_factor) + self.log_eta + math.log(self.problem.lipschitz) + math.log(self.norm_class)

    @property
    def log_unit_noise(self) -> float:
        """log of the per-step noise standard deviation sqrt(2 eta) at sigma = 1."""
        return 0.5 * (math.log(2) + self.log_eta)

    def noise_std(self, sigma: float) -> float:
        """sqrt(2 eta) sigma, the standard deviation of the noise that one step adds."""
        return math.sqrt(2) * math.sqrt(self.eta) * sigma

    def noise_multiplier(self, sigma: float) -> float:
        """b sigma sqrt(2/eta)/M: the same noise on the *sum* of a batch's gradients, in units of M, as DP-SGD counts it."""
        return self._batch * sigma * math.sqrt(2) / math.sqrt(self.eta) / self.problem.lipschitz

    def all_positions(self) -> NDArray[np.int64]:
        """0 ... J-1; InputError beyond ten million batches an epoch."""
        if self.steps_per_epoch > MAX_POSITIONS:
            raise InputError(
                f"batches must be 'worst' or a position when an epoch has more than {MAX_POSITIONS} batches, "
                f"got {self.steps_per_epoch} batches"
            )
        return np.arange(self.steps_per_epoch)

    def gradient_evaluations(self, steps: int, *, first: int = 0) -> int:
        """Per-sample gradients in ``steps`` >= 0 steps of the cycle, the first of them on batch ``first`` mod J: the cost.

        Of own draws what is expected.
        """
        per_epoch = self.steps_per_epoch
        count, at = integer("steps", steps, at_least=0), integer("first", first, at_least=0) % per_epoch
        if self.own_draws:
            return -(-count * self.problem.n // per_epoch)
        short = self._batch * per_epoch - (self.problem.n - self.dropped_points)
        return count * self._batch - (at + count) // per_epoch * short

    def to_dict(self) -> dict[str, Any]:
        """The constructor's arguments but the problem, with defaults resolved, as JSON types; some only where they are used."""
        names = ["batch_size", "step_size", "radius", "learn_epochs", "last_batch"]
        if self.own_draws:
            names += ["assignment", "largest_n", "redraw"]
        if self.rounding is not None:
            names += ["rounding", "dimension", "rounding_share"]
        if self.public_share:
            names += ["public_share"]
        if self.norm_class < 1:
            names += ["norm_class"]
        return {name: getattr(self, name) for name in names}

    @property
    def _batch(self) -> int:
        return int(self.batch_size)
