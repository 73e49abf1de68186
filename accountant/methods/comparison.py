"""The methods side by side at one guarantee: noise, steps, cost and accuracy, for one request, a group, or a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Final, NamedTuple, Protocol

import numpy as np

from accountant.methods.about import About
from accountant.methods.base import FullBatch, Method, Unit
from accountant.methods.langevin import accumulated_std
from accountant.methods.names import METHODS
from accountant.methods.pnsgd import BoundMethod
from accountant.methods.variants import about_of, beside, drawn_as, method_of, title_of
from accountant.numerics import Floats, InputError, Progress, choice, integer, number
from accountant.problem import PRESETS, PUBLISHED_RADIUS, default_retrain_epochs
from accountant.questions import Setup
from accountant.requests import UNITS

#: Methods compared unless others are asked for; the authors' accounting is the published bound for one request.
SINGLE: Final = ("optimal", "secret", *(name for name in METHODS if name not in ("optimal", "pnsgd")))
#: Every method there is.
FIELD: Final = ("optimal", "secret", *(name for name in METHODS if name != "optimal"))
STREAMS: Final = ("optimal", "secret", *(name for name in METHODS if name not in ("optimal", "dp", "not-converged")))

#: Families with one noise, on what is released.
_ONE_NOISE: Final = ("d2d", "newton", "rewind", "d2d-stochastic")


class Reported(Protocol):
    """What was reported of a run on MNIST: noise, mean and standard deviation of the accuracy at nearly this noise, or None."""

    def __call__(self, *, family: str, batch_size: int | str, sigma: float) -> tuple[float, float, float] | None: ...


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What one method takes for one request at (epsilon, delta). None: it says nothing, for the ``reason``, or is not known.

    sigma is the method's own (``noise`` says what it is); released_std is the standard deviation of all the noise in the
    released model, per coordinate and at most, which can be compared. relative: gradient evaluations over those of one
    retraining. accuracy: mean and standard deviation reported for MNIST at (nearly) this noise.
    """

    method: str
    title: str
    proves: str
    source: str
    noise: str
    batch_size: int
    sigma: float | None
    released_std: float | None
    epochs: float | None
    steps: int | None
    gradient_evaluations: int | None
    relative: float | None
    accuracy: tuple[float, float] | None
    reason: str | None
    assumptions: tuple[str, ...]
    about: About

    def to_dict(self) -> dict[str, object]:
        """JSON types; what is in ``about`` stands beside the rest."""
        made = asdict(self) | {
            "accuracy": None if self.accuracy is None else list(self.accuracy), "assumptions": list(self.assumptions)
        }  # fmt: skip
        del made["about"]
        return made | self.about.to_dict()


@dataclass(frozen=True, kw_only=True)
class ComparedStream:
    """What one method takes for a stream of requests at one noise. None as above."""

    method: str
    title: str
    batch_size: int
    sigma: float | None
    released_std: float | None
    #: Gradient evaluations and epochs up to every request.
    gradient_evaluations: tuple[int, ...]
    epochs: tuple[float, ...]
    #: All gradient evaluations over those of a retraining at every request.
    relative: float | None
    reason: str | None

    def to_dict(self) -> dict[str, object]:
        """JSON types."""
        return asdict(self) | {"gradient_evaluations": list(self.gradient_evaluations), "epochs": list(self.epochs)}


def setup_for(method: Method, setup: Setup) -> Setup:
    """The setup as the method runs it: full batches where it has no others, the published burn-in where it asks for one."""
    if isinstance(method, FullBatch):
        setup = setup.undrawn
        step = setup.algorithm.step_size if method.family == "pnsgd" else None
        return setup.with_(batch_size="full", step_size=step, radius=None, learn_epochs=None, last_batch="keep", batches=None)
    if method.name == "not-converged" and replace(setup.problem, adjacency="replace") in PRESETS.values():
        algorithm = setup.algorithm
        return setup.with_(
            learn_epochs=algorithm.learn_epochs or default_retrain_epochs(algorithm),
            radius=algorithm.radius or PUBLISHED_RADIUS,
        )
    return setup


def _compared(setup: Setup, names: Iterable[str]) -> Iterable[str]:
    """The names; those that are compared unless others are asked for, with the draws that the setup has not."""
    if names is not SINGLE and names is not STREAMS and names is not FIELD:
        return names
    return [new for name in names for new in (beside(setup) if name == "secret" else (name,))]


def enclosed_sigma(name: str, setup: Setup, *, digits: int, epsilon: float, delta: float, epochs: int) -> str | None:
    """sigma of one request to so many digits, rounded up; None for methods with a formula of their own."""
    method = method_of(name)
    if not isinstance(method, BoundMethod):
        return None
    own = setup_for(method, drawn_as(name, setup))
    steps = epochs * method.steps_per_epoch(own)
    return str(method.enclose(own, "sigma", digits=digits, steps=steps, epsilon=epsilon, delta=delta))


def compare(
    setup: Setup,
    *,
    epsilon: float,
    delta: float | None = None,
    epochs: int = 1,
    methods: Iterable[str] = SINGLE,
    reported: Reported | None = None,
) -> list[Compared]:
    """Every method at (``epsilon``, ``delta``, default 1/n) with so many epochs, for ``setup.group_size`` points at once.

    methods: of METHODS, or "secret" and "partition": the tightest bound with batches drawn so. reported: where accuracies on
    MNIST come from, such as ``tables.reported_accuracy``; they are left out without it.

    >>> from accountant import PNSGD, preset
    >>> rows = compare(Setup(PNSGD(preset("mnist"))), epsilon=1.0, methods=["optimal", "langevin", "d2d-open"])
    >>> [(row.method, row.sigma and round(row.sigma, 5)) for row in rows]
    [('optimal', 0.00509), ('langevin', 0.01048), ('d2d-open', None)]
    >>> rows[-1].reason
    'dimension must be given for d2d-open: the number of parameters of the model'
    """
    target = number("epsilon", epsilon, at_least=0)
    chance = setup.default_delta if delta is None else number("delta", delta, above=0, below=1)
    count = integer("epochs", epochs, at_least=0)
    return [_one(name, setup, _Target(target, chance), count, reported) for name in _compared(setup, methods)]


class _Target(NamedTuple):
    epsilon: float
    delta: float

    def at(self, steps: Iterable[int]) -> dict[str, Floats]:
        """The question for sigma at some numbers of steps."""
        return {
            "epsilon": np.array([self.epsilon]),
            "delta": np.array([self.delta]),
            "steps": np.array(list(steps), dtype=np.float64),
        }


def _own(name: str, setup: Setup) -> tuple[Setup, str | None]:
    """The setup as the row has it, and why it proves nothing; the given one where it has no such draws."""
    method = method_of(name)
    try:
        own = setup_for(method, drawn_as(name, setup))
    except InputError as error:
        return setup, str(error)
    return own, method.refusal(own)


def _one(name: str, setup: Setup, target: _Target, epochs: int, reported: Reported | None) -> Compared:
    method = method_of(name)
    own, reason = _own(name, setup)
    length: float | None = None
    steps: int | None = None
    sigma: float | None = None
    assumptions: tuple[str, ...] = ()
    if reason is None:
        assumptions = method.assumptions(own)
        length = _length(method, own, epochs)
        steps = int(length) * method.steps_per_epoch(own)
        needed = method.needed(own, **target.at([steps]))
        reason = needed.refusals.get(0)
        sigma = float(needed.sigma[0])
    if reason is not None:
        sigma = length = steps = None
    spent = None if steps is None else method.evaluations(own, steps)
    retrain = retrain_evaluations(setup)
    return Compared(
        method=name,
        title=title_of(name),
        proves="the curve of a Gaussian mixture" if reason is None and own.algorithm.own_draws else method.proves,
        source=method.source,
        noise=method.noise,
        batch_size=int(own.algorithm.batch_size),
        sigma=sigma,
        released_std=None if sigma is None else method.released_std(own, sigma),
        epochs=length,
        steps=steps,
        gradient_evaluations=spent,
        relative=None if spent is None or not retrain else spent / retrain,
        accuracy=None if sigma is None or reported is None else _accuracy(method, setup, own, sigma, reported),
        reason=reason,
        assumptions=assumptions,
        about=about_of(name),
    )


def _length(method: Method, setup: Setup, epochs: int) -> float:
    """Epochs that a method runs where so many are asked about: retraining has its own, privacy without unlearning none."""
    if method.name == "retrain":
        none = np.zeros(1)
        return float(method.fewest(setup, sigma=none, epsilon=none, delta=none)[0])
    return 0.0 if method.name == "dp" else float(epochs)


def _accuracy(method: Method, setup: Setup, own: Setup, sigma: float, reported: Reported) -> tuple[float, float] | None:
    """Mean and standard deviation that were reported of this run."""
    if setup.problem != PRESETS["mnist"] or setup.group_size != 1:
        return None
    size = own.algorithm.batch_size
    found = reported(family=method.family, batch_size="full" if size == setup.problem.n else size, sigma=sigma)
    return None if found is None else found[1:]


def retrain_evaluations(setup: Setup) -> int | None:
    """Per-sample gradients of one retraining; None where its epochs are not known."""
    epochs = default_retrain_epochs(setup.algorithm)
    return None if epochs is None else setup.algorithm.gradient_evaluations(epochs * setup.algorithm.steps_per_epoch)


def compare_streams(
    setup: Setup,
    *,
    epsilon: float,
    sigma: float,
    requests: int,
    delta: float | None = None,
    unit: str = "epochs",
    methods: Iterable[str] = STREAMS,
    progress: Progress | None = None,
) -> list[ComparedStream]:
    """``requests`` one after the other, of ``setup.group_size`` points each, with the fewest whole epochs (or steps) each.

    Noisy SGD has noise ``sigma``; the output noise of Descent-to-Delete is the standard deviation that this noise adds up to in
    the model of noisy SGD, so that all release the same noise.
    """
    counted: Unit = "steps" if choice("unit", unit, UNITS) == "steps" else "epochs"
    target, noise = number("epsilon", epsilon, at_least=0), number("sigma", sigma, above=0)
    chance = setup.default_delta if delta is None else number("delta", delta, above=0, below=1)
    count = integer("requests", requests, at_least=1, at_most=max(setup.problem.n // setup.group_size, 1))
    names = list(_compared(setup, methods))
    rows = []
    for done, name in enumerate(names):

        def report(part: int, done: int = done) -> None:
            if progress is not None:
                progress(done * count + part, len(names) * count)

        rows.append(_stream(name, setup, _Target(target, chance), noise, count, counted, report))
    return rows


def _stream(
    name: str, setup: Setup, target: _Target, noise: float, count: int, unit: Unit, report: Callable[[int], None]
) -> ComparedStream:
    method = method_of(name)
    own, reason = _own(name, setup)
    spent: list[int] = []
    epochs: list[float] = []
    retrain, per_epoch = retrain_evaluations(setup), method.steps_per_epoch(own)
    released = accumulated_std(setup, noise)
    sigma = 0.0 if method.family == "retrain" else released if method.family in _ONE_NOISE else noise
    if reason is None and sigma is None:
        reason = "the noise of noisy SGD has no limit to compare with, or is beyond 1e300"
    if reason is None:
        try:
            stream = method.stream(own, sigma=sigma or 0.0, epsilon=target.epsilon, delta=target.delta, unit=unit)
            steps = 0
            for request in range(count):
                steps += stream.request(own.group_size) * (per_epoch if unit == "epochs" else 1)
                spent.append(method.evaluations(own, steps))
                epochs.append(steps / per_epoch)
                report(request + 1)
        except InputError as error:
            reason = str(error)
    if reason is not None:
        sigma = None
    return ComparedStream(
        method=name,
        title=title_of(name),
        batch_size=int(own.algorithm.batch_size),
        sigma=sigma,
        released_std=None if sigma is None else method.released_std(own, sigma),
        gradient_evaluations=tuple(spent),
        epochs=tuple(epochs),
        relative=spent[-1] / (retrain * count) if reason is None and retrain else None,
        reason=reason,
    )


def noise_curve(
    setup: Setup, *, method: str, epsilon: float, delta: float, epochs: Iterable[int]
) -> tuple[list[int], list[float], list[float | None]]:
    """Epochs, sigma and released standard deviation of a method, for those numbers of epochs that have an answer.

    >>> from accountant import PNSGD, preset
    >>> counts, sigmas, _ = noise_curve(Setup(PNSGD(preset("mnist"))), method="d2d", epsilon=1.0, delta=1e-5, epochs=[0, 1, 5])
    >>> counts, [round(sigma, 3) for sigma in sigmas]
    ([1, 5], [3.429, 0.573])
    """
    rival, counts = method_of(method), list(epochs)
    target = _Target(number("epsilon", epsilon, at_least=0), number("delta", delta, above=0, below=1))
    run, reason = _own(method, setup)
    if reason is not None:
        return [], [], []
    needed = rival.needed(run, **target.at(count * rival.steps_per_epoch(run) for count in counts))
    places = [at for at in range(len(counts)) if at not in needed.refusals]
    sigmas = needed.sigma[places].tolist()
    return [counts[at] for at in places], sigmas, [rival.released_std(run, sigma) for sigma in sigmas]
