"""Retraining from scratch on what is left: exact unlearning, without noise, at the cost of learning once per request."""

from __future__ import annotations

import numpy as np

from accountant.methods.about import OURS, About
from accountant.methods.base import Method, Needed, Stream, Unit, flat, schedule_refusal, shaped
from accountant.numerics import Floats, shown
from accountant.problem import default_retrain_epochs
from accountant.questions import Setup
from accountant.requests import Followed


class Retrain(Method):
    """epsilon = 0 at any noise; the epochs of learning, however many requests came before."""

    name = "retrain"
    title = "retraining"
    about = About(
        "learning from scratch", losses="any", data=("replace", "zero-out", "remove"),
        requests=("one", "group", "stream", "adaptive"), code=OURS, year=None,
    )  # fmt: skip
    source = "the definition of unlearning"
    family = "retrain"
    proves = "equality"
    tightest = "retrain"
    noise = "none is needed"

    def refusal(self, setup: Setup) -> str | None:
        if self.epochs(setup) is None:
            return "learn_epochs must be given for retrain: how long learning from scratch takes"
        return schedule_refusal(self.name, setup, classes=True)

    def epochs(self, setup: Setup) -> int | None:
        """Epochs of learning: as given, or those of the published experiments."""
        return default_retrain_epochs(setup.algorithm)

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        """0 once learning has run its epochs; inf before."""
        done = steps >= self._steps(setup)
        return np.where(np.broadcast_arrays(done, sigma, delta)[0], 0.0, np.inf)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        done = steps >= self._steps(setup)
        return np.where(np.broadcast_arrays(done, sigma, epsilon)[0], 0.0, 1.0)

    def _steps(self, setup: Setup) -> float:
        self.check(setup)
        return float(self.epochs(setup) or 0) * self.steps_per_epoch(setup)

    def needed(self, setup: Setup, *, epsilon: Floats, delta: Floats, steps: Floats) -> Needed:
        """No noise at the last step of learning and after it; before that no noise is enough.

        >>> from accountant import PNSGD, preset
        >>> setup, one = Setup(PNSGD(preset("mnist"))), {"epsilon": np.array([1.0]), "delta": np.array([1e-5])}
        >>> Retrain().sigma(setup, **one, steps=np.array([1.0, 1000.0])).tolist()
        [inf, 0.0]
        """
        whole = self._steps(setup)
        count = flat(epsilon, delta, steps)[2]
        early = count < whole
        words = {short: f"a retraining takes {shown(whole)} steps, got {shown(short)}" for short in set(count[early].tolist())}
        refusals = {int(at): words[count[at]] for at in np.flatnonzero(early)}
        return Needed(shaped(np.where(early, np.inf, 0.0), epsilon, delta, steps), refusals)

    def fewest(self, setup: Setup, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: Unit = "epochs") -> Floats:
        count = self._steps(setup) / (1 if unit == "steps" else self.steps_per_epoch(setup))
        return np.full(np.broadcast_shapes(np.shape(sigma), np.shape(epsilon), np.shape(delta)), count)

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> RetrainStream:
        none = np.zeros(1)
        return RetrainStream(float(self.fewest(setup, sigma=none, epsilon=none, delta=none, unit=unit)[0]))

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        return ("the model is learned anew, with fresh randomness, on the data that are left",)

    def released_std(self, setup: Setup, sigma: float) -> float:
        return 0.0


class RetrainStream(Stream):
    """The same again at every request."""

    def __init__(self, count: float) -> None:
        self.count = count

    def follow(self, counts: Floats, points: Floats) -> Followed:
        return Followed(np.where(counts >= self.count, 0.0, np.inf), np.full(counts.size, self.count))

    def request(self, points: int = 1) -> int:
        return int(self.count)
