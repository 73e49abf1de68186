"""Settings of learning and unlearning that follow from public constants, each with its noise and what its requests cost.

Costs are those of :class:`UnlearningStream`, request by request. Nothing here looks at data, so no setting depends on a record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self, cast

from accountant.curves import gdp_mu
from accountant.numerics import MAX_COUNT, InputError, UnreachableError, integer, number
from accountant.problem import PNSGD, SECRET, LossConstants, oversize, too_large
from accountant.questions import UnlearningAccountant
from accountant.requests.calibrating import answered, smallest_sigma, steady_sigma

AUTO: Final = "auto"
#: What one request may cost, in fits, on average: a hundred cost two and a half.
SHARE: Final = 1 / 40
#: The most that it may cost.
DEAREST: Final = 1e6
#: Share of delta that batches that come out too large may take, of step sizes that are chosen here.
SPENT: Final = 0.01
#: What is left of the start of learning, where its length is chosen; the fewest and the most epochs then.
FORGOTTEN: Final = 1e-2
FEWEST_EPOCHS, MOST_EPOCHS = 10, 200
#: Gradient evaluations of learning, as far as these epochs allow.
LEARNING: Final = 600_000
#: Standard deviation, in a score of a row at the feature bound, of the noise that a model may have.
HEARD: Final = 0.25
#: One that is warned of.
LOUD: Final = 1.0
#: The smallest batch that is tried.
SMALLEST_BATCH: Final = 32
#: So many requests are always answered one by one: what repeats itself four times may rise by some percent yet.
ANSWERED: Final = 128
_RISES: Final = 2
#: Where the search for lambda starts: at this B^2 (M/(B n mu))^(2/3), mu of the target.
_START: Final = 0.1
#: How its logarithm is found, and how steeply noise falls at first: at least as its inverse.
_CLOSE: Final = 0.15
_SLOPE: Final = 2.5
_WIDEST: Final = 3.0
_LOOKS: Final = 16
#: log of how much smaller than delta a chance is that nobody needs to avoid.
_UNRESOLVED: Final = 14.0


@dataclass(frozen=True, kw_only=True)
class TunedSetting:
    """A setting with its noise, and what the requests that it is for cost: of one record each, one after the other.

    algorithm: all that the accountant and the trainer need to know; sigma its noise. steps_per_request: the mean;
    last_steps: those of the last request. Gradient evaluations are per-sample: of learning, of all requests, and of one on
    average. share: cost of all requests in fits. noise: standard deviation, in a coordinate that the data do not curve, of the
    noise that stays in the model: sqrt(2 eta sigma^2/(1 - c^2)). warning: what there is to say beforehand, or None.
    refused: why the setting cannot be had (then sigma and all costs are infinite), or None.
    """

    algorithm: PNSGD
    requests: int
    regularisation: float
    sigma: float
    steps: tuple[int, ...] = ()
    refused: str | None = None
    warning: str | None = None
    #: Whether the costs are those that the stream answers; else a request is taken to cost all that it may.
    confirmed: bool = False

    @property
    def batch_size(self) -> int:
        return int(self.algorithm.batch_size)

    @property
    def step_size(self) -> float:
        return self.algorithm.eta

    @property
    def learn_epochs(self) -> int:
        assert self.algorithm.learn_epochs is not None
        return self.algorithm.learn_epochs

    @property
    def learning_steps(self) -> int:
        return self.learn_epochs * self.algorithm.steps_per_epoch

    @property
    def total_steps(self) -> float:
        return math.inf if self.refused else sum(self.steps)

    @property
    def steps_per_request(self) -> float:
        return self.total_steps / self.requests

    @property
    def last_steps(self) -> float:
        return math.inf if self.refused else self.steps[-1]

    @property
    def learning_gradient_evaluations(self) -> int:
        return self.algorithm.gradient_evaluations(self.learning_steps)

    @property
    def gradient_evaluations(self) -> float:
        return math.inf if self.refused else self.algorithm.gradient_evaluations(sum(self.steps))

    @property
    def gradient_evaluations_per_request(self) -> float:
        return self.gradient_evaluations / self.requests

    @property
    def share(self) -> float:
        """Cost of all requests in fits."""
        return self.total_steps / self.learning_steps

    @property
    def noise(self) -> float:
        """Where nothing contracts: after learning. Never more than the ball's radius."""
        gap = -math.expm1(2 * self.algorithm.log_contraction)
        free = math.sqrt(2 * self.algorithm.eta * (1 / gap if gap else self.learning_steps)) * self.sigma
        return free if self.algorithm.radius is None else min(free, self.algorithm.radius)


def preference(setting: TunedSetting, share: float) -> tuple[bool, float, float]:
    """What a step does not take beyond its share first; of these least noise, in thousandths; of equal ones what costs less."""
    return setting.learning_steps * share < 1, round(math.log(setting.noise), 3), setting.gradient_evaluations


@dataclass(frozen=True, kw_only=True)
class Question:
    """What all settings that are compared have in common, checked."""

    loss: LossConstants
    n: int
    epsilon: float
    delta: float
    requests: int
    share: float
    sigma: float | None
    adjacency: str
    assignment: str
    largest_n: int | None
    radius: float | None
    rounding: str | None
    dimension: int | None
    bound: str
    batches: str

    @classmethod
    def of(
        cls, loss: LossConstants, *, n: int, epsilon: float, delta: float | None, requests: int, share: float,
        sigma: float | None, **fixed: Any,
    ) -> Self:  # fmt: skip
        """InputError for what is out of range, under its own name."""
        if not isinstance(loss, LossConstants):
            raise InputError(f"loss must be the constants of a loss, such as LogisticConstants, got {loss!r}")
        n = integer("n", n, at_least=1, at_most=MAX_COUNT)
        return cls(
            loss=replace(loss, regularisation=0.0),
            n=n,
            epsilon=number("epsilon", epsilon, at_least=0),
            delta=(1 / n if n > 1 else 0.5) if delta is None else number("delta", delta, above=0, below=1),
            # No more than all can be deleted.
            requests=min(integer("requests", requests, at_least=1), n),
            share=number("share", share, above=0, at_most=DEAREST),
            sigma=None if sigma is None else number("sigma", sigma, above=0),
            **fixed,
        )

    @property
    def mu(self) -> float:
        """What the target allows."""
        return float(gdp_mu(epsilon=self.epsilon, delta=self.delta))

    def penalty(self) -> float:
        """Where the search for lambda starts: what would balance noise and bias if nothing were forgotten."""
        bound, steep = self.loss.feature_bound, self.loss.lipschitz
        balance = (steep / (bound * self.n * self.mu)) ** (2 / 3)
        most = self.loss.curvature * bound**2
        return float(f"{min(_START * bound**2 * balance, most):.2g}")

    def sizes(self, stride: int = 1) -> list[int]:
        """Batch sizes that are tried: every ``stride``-th power of two, and all records."""
        powers = range(min(SMALLEST_BATCH, self.n).bit_length() - 1, self.n.bit_length(), stride)
        return [*(1 << power for power in powers if 1 << power < self.n), self.n]

    def compared(
        self,
        offered: Sequence[int | str] | None,
        step_size: float | str,
        regularisation: float,
        learn_epochs: int | str,
        *,
        stride: int = 1,
    ) -> Iterator[TunedSetting]:
        """Settings, read roughly, of these batch sizes; None: of every ``stride``-th of :meth:`sizes`.

        Of these, which ascend, only up to where two in a row leave more noise than one before.
        """
        sizes: list[int | str] = [*(self.sizes(stride) if offered is None else offered)]
        least, rises = (True, math.inf, math.inf), 0
        for size in sizes:
            made = self.setting(size, step_size, regularisation, learn_epochs, rough=True)
            yield made
            if made.refused is None:
                rises = rises + 1 if preference(made, self.share) >= least else 0
                least = min(least, preference(made, self.share))
            if rises == _RISES and offered is None:
                return

    def quiet(self, setting: Callable[[float], TunedSetting], start: float) -> float:
        """The smallest regularisation, to two digits, rounded up, with which noise moves no score by more than ``HEARD``.

        The largest that is tried, the curvature of the loss, where none does.
        """

        def loudness(penalty: float) -> float:
            made = setting(penalty)
            return math.inf if made.refused else math.log(made.noise * self.loss.feature_bound / HEARD)

        most = self.loss.curvature * self.loss.feature_bound**2
        low, high, at = 0.0, math.inf, min(start, most)
        slope, heard = _SLOPE, loudness(at)
        for _ in range(_LOOKS):
            low, high = (low, at) if heard <= 0 else (at, high)
            if low >= most or -_CLOSE <= heard <= 0 or high <= low * (1 + _CLOSE):
                break
            # Noise falls like a power, which two looks tell; bisected where that leads out.
            step = (heard + _CLOSE / 2) / slope if math.isfinite(heard) else _WIDEST
            last, at, before = at, min(at * math.exp(min(max(step, -_WIDEST), _WIDEST)), most), heard
            if not low < at < high:
                at = math.sqrt(low * high) if low and math.isfinite(high) else min(low * 3, most) if low else high / 3
            heard = loudness(at)
            if math.isfinite(before) and math.isfinite(heard):
                slope = min(max((before - heard) / math.log(at / last), 1.0), 20.0)
        return most if math.isinf(high) else two_digits_up(high)

    def setting(
        self,
        batch_size: int | str,
        step_size: float | str,
        regularisation: float,
        learn_epochs: int | str,
        *,
        rough: bool = False,
    ) -> TunedSetting:
        """The setting, its noise not confirmed yet; ``rough``: known to some percent."""
        algorithm = self.algorithm(batch_size, step_size, regularisation, learn_epochs)
        made = TunedSetting(algorithm=algorithm, requests=self.requests, regularisation=regularisation, sigma=math.inf)
        try:
            if (why := too_large(algorithm, self.delta)) is not None:
                raise UnreachableError(why)
            accountant = UnlearningAccountant(algorithm, bound=self.bound, batches=self.batches)
            steps = self.allowed(algorithm)
            sigma = self.sigma if self.sigma is not None else steady_sigma(accountant, self, steps, rough=rough)
        except UnreachableError as error:
            return replace(made, refused=str(error))
        return replace(made, sigma=sigma, steps=(steps,) * self.requests)

    def allowed(self, algorithm: PNSGD) -> int:
        """Steps that a request may cost on average, at least one."""
        assert algorithm.learn_epochs is not None
        steps = math.floor(self.share * algorithm.learn_epochs * algorithm.steps_per_epoch)
        # No more than can be counted, in all.
        return max(min(steps, MAX_COUNT // (2 * self.requests)), 1)

    def algorithm(self, batch_size: int | str, step_size: float | str, regularisation: float, learn_epochs: int | str) -> PNSGD:
        """What is given as it is, what is not as it follows."""
        problem = replace(self.loss, regularisation=regularisation).problem(self.n, adjacency=self.adjacency)
        algorithm = PNSGD(
            problem,
            batch_size,
            step_size=None if step_size == AUTO else cast(float, step_size),
            radius=self.radius,
            learn_epochs=FEWEST_EPOCHS if learn_epochs == AUTO else cast(int, learn_epochs),
            rounding=self.rounding,
            dimension=self.dimension,
            assignment=self.assignment,
            largest_n=self.largest_n,
        )
        if step_size == AUTO:
            algorithm = replace(algorithm, step_size=longest_step(algorithm, self.delta))
        if learn_epochs == AUTO:
            algorithm = replace(algorithm, learn_epochs=long_enough(algorithm))
        if algorithm.own_draws:
            algorithm = replace(algorithm, redraw=redraws(algorithm, self.epsilon, self.delta))
            self._check_stand_ins(algorithm)
        return algorithm

    def _check_stand_ins(self, algorithm: PNSGD) -> None:
        """Where others take the places, no more can go than may come."""
        assert algorithm.largest_n is not None
        room = algorithm.largest_n - self.n
        if self.adjacency == "replace" and self.requests > room:
            raise InputError(
                f"requests must be at most {room}, each with a stand-in, as at most largest_n = {algorithm.largest_n} records "
                f"are ever in, got {self.requests}"
            )

    def calibrated(self, setting: TunedSetting) -> TunedSetting:
        """With the sigma that its requests need in the long run."""
        accountant = UnlearningAccountant(setting.algorithm, bound=self.bound, batches=self.batches)
        return replace(setting, sigma=steady_sigma(accountant, self, self.allowed(setting.algorithm)))

    def confirmed(self, setting: TunedSetting, *, exact: bool) -> TunedSetting:
        """With the smallest sigma at which the stream's own requests cost no more than allowed, and these costs.

        exact: of every request, however many, or until they repeat themselves.
        """
        exact = exact or self.requests <= ANSWERED
        most = self.requests * self.allowed(setting.algorithm)
        accountant = UnlearningAccountant(setting.algorithm, bound=self.bound, batches=self.batches)
        try:
            if self.sigma is not None:
                sigma, steps = self.sigma, answered(accountant, self, self.sigma, exact=exact)
            else:
                sigma = steady_sigma(accountant, self, self.allowed(setting.algorithm))
                sigma, steps = smallest_sigma(accountant, self, sigma, most, exact=exact)
        except UnreachableError as error:
            return replace(setting, sigma=math.inf, steps=(), refused=str(error))
        made = replace(setting, sigma=sigma, steps=steps, confirmed=True)
        return replace(made, warning=self._warning(made))

    def _warning(self, setting: TunedSetting) -> str | None:
        """What is to be said of it beforehand."""
        told = []
        most = self.requests * self.share
        if setting.share > most * (1 + 1e-9):
            told.append(f"the requests cost {setting.share:.3g} fits, more than {most:.3g}")
        moved = setting.noise * self.loss.feature_bound
        if moved > LOUD:
            told.append(
                f"the noise that stays moves scores by up to {moved:.3g} (a standard deviation), which may be more than what "
                f"{self.n} rows teach: a larger epsilon, regularisation or share of learning, or fewer requests, would help"
            )
        return "; ".join(told) or None


def two_digits_up(value: float) -> float:
    """To two significant digits, rounded up.

    >>> two_digits_up(0.01231), two_digits_up(0.012)
    (0.013, 0.012)
    """
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit * (1 - 1e-12)) * unit:.2g}")


def redraws(algorithm: PNSGD, epsilon: float, delta: float) -> bool:
    """Whether a key is redrawn until no batch is too large: where nobody can join, and never redrawing costs more.

    Chances that delta does not resolve are no reason.
    """
    if algorithm.assignment != SECRET or algorithm.problem.adjacency != "remove" or algorithm.largest_n != algorithm.problem.n:
        return False
    cost = oversize(algorithm)
    if cost.log_redrawn is None or cost.log_added < math.log(delta) - _UNRESOLVED:
        return False
    return cost.log_redrawn + epsilon < cost.log_added


def long_enough(algorithm: PNSGD) -> int:
    """Epochs that make about ``LEARNING`` gradient evaluations, and leave no more than ``FORGOTTEN`` of the start.

    Between ``FEWEST_EPOCHS`` and ``MOST_EPOCHS``.
    """
    per_epoch = -algorithm.log_contraction * algorithm.steps_per_epoch
    needed = math.inf if per_epoch == 0 else -math.log(FORGOTTEN) / per_epoch
    return math.ceil(min(max(needed, FEWEST_EPOCHS, LEARNING / algorithm.problem.n), MOST_EPOCHS))


def longest_step(algorithm: PNSGD, delta: float) -> float:
    """The largest of 1/L, 0.9/L, ... with which batches that are too large cost next to nothing of delta."""
    most = 1 / algorithm.problem.smoothness
    if not algorithm.own_draws:
        return most
    for tenths in range(10, 0, -1):
        step = most * tenths / 10
        if oversize(replace(algorithm, step_size=step)).log_added <= math.log(delta * SPENT):
            return step
    return most / 10
