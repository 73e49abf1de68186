"""Runs to audit noisy fine-tuning on: losses at the edge of what the bounds allow, and a perceptron that has learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from accountant.numerics import Floats, InputError, choice, integer, number
from accountant.problem import ConvexHoelder, ConvexNonsmooth, FineTuning, HoelderNonconvex
from accountant.questions import StepAccountant
from accountant.trainer.convex_losses import AbsoluteError, Hinge, PowerError, PowerHinge
from accountant.trainer.step_auditing import StepInstance
from accountant.trainer.step_losses import DoubleWell, Perceptron, Repulsive, StepLoss

#: Convex losses without smoothness, by their names.
_NONSMOOTH: Final = ("hinge", "absolute")
#: Losses with Hoelder gradients, by their names.
_HOELDER: Final = ("power-hinge", "power-error", "hinge", "repulsive")
#: Rows of norm 1, and their labels.
_ROWS: Final = ((1.0, 0.0), (0.0, 1.0), (0.6, 0.8), (0.8, -0.6))
_LABELS: Final = (1.0, 1.0, -1.0, 1.0)


def repulsive_instance(
    *, mu: float = 3.0, steps: int = 2, dimension: int = 2, step_size: float = 0.1, gradient_clip: float = 1.0,
    start_clip: float = 1.0, weight_decay: float = 0.0,
) -> StepInstance:  # fmt: skip
    """-K |x| from two opposite ends of the ball of starts: with mu of 3 or more the claim is met but for little.

    mu: claimed, and the noise follows. The ends are where all parameters are alike, so that clipping layer by layer is longer
    by the root of the number of layers.
    """
    size = integer("dimension", dimension, at_least=1)
    algorithm = FineTuning(step_size=step_size, gradient_clip=gradient_clip, start_clip=start_clip, weight_decay=weight_decay)
    sigma = _noise_for(algorithm, number("mu", mu, above=0), steps)
    end = np.full(size, start_clip / np.sqrt(size))
    return StepInstance(
        name="repulsive", description=f"-K |x| in {size} dimensions from opposite ends, {steps} steps",
        loss=Repulsive(10 * gradient_clip), algorithm=algorithm, sigma=sigma, steps=steps, start=end, reference=-end,
        features=np.zeros((1, size)), labels=np.zeros(1), batch_size=1,
    )  # fmt: skip


def double_well_instance(
    *, epsilon: float = 1.0, steps: int = 20, step_size: float = 0.05, gradient_clip: float = 1.0, start_clip: float = 1.0,
    model_clip: float | None = None, weight_decay: float = 0.0, clip_first: bool = False, delta: float = 1e-5,
) -> StepInstance:  # fmt: skip
    """Learned in the right well, because of the records that go; the reference in the left one."""
    algorithm = FineTuning(
        step_size=step_size, gradient_clip=gradient_clip, start_clip=start_clip, model_clip=model_clip,
        weight_decay=weight_decay, clip_first=clip_first,
    )  # fmt: skip
    sigma = StepAccountant(algorithm).sigma(epsilon=epsilon, delta=delta, steps=steps)
    start = np.array([2.0, 0.0])
    return StepInstance(
        name="double well", description=f"from one well and the other, {steps} steps", loss=DoubleWell(depth=5.0),
        algorithm=algorithm, sigma=float(sigma), steps=steps, start=start, reference=-start, features=np.zeros((4, 2)),
        labels=np.zeros(4), batch_size=2, delta=delta,
    )  # fmt: skip


def perceptron_instance(
    *, epsilon: float = 1.0, steps: int = 10, step_size: float = 0.1, gradient_clip: float = 0.5, start_clip: float = 0.5,
    model_clip: float | None = None, weight_decay: float = 0.0, records: int = 8, hidden: int = 3, data_seed: int = 0,
    delta: float = 1e-5,
) -> StepInstance:  # fmt: skip
    """A perceptron that really learned, with ``records`` of 40 whose labels are wrong, and without them."""
    gone = integer("records", records, at_least=1, at_most=20)
    rng = np.random.default_rng(data_seed)
    features = rng.standard_normal((40, 3))
    labels = (features[:, 0] + features[:, 1] > 0).astype(np.float64)
    wrong = labels.copy()
    wrong[:gone] = 1 - wrong[:gone]
    # The wrong ones lie far out, so that the two models differ much.
    spread = features.copy()
    spread[:gone] *= 4
    loss = Perceptron(hidden=hidden)
    begin = loss.start(3, rng)
    algorithm = FineTuning(
        step_size=step_size,
        gradient_clip=gradient_clip,
        start_clip=start_clip,
        model_clip=model_clip,
        weight_decay=weight_decay,
    )
    sigma = StepAccountant(algorithm).sigma(epsilon=epsilon, delta=delta, steps=steps)
    return StepInstance(
        name="perceptron", description=f"{loss.size(3)} parameters, {gone} of 40 records unlearned in {steps} steps", loss=loss,
        algorithm=algorithm, sigma=float(sigma), steps=steps, start=descend(loss, begin, spread, wrong),
        reference=descend(loss, begin, features[gone:], labels[gone:]), features=features[gone:], labels=labels[gone:],
        batch_size=8, delta=delta,
    )  # fmt: skip


def nonsmooth_instance(
    kind: str = "hinge", *, epsilon: float = 1.0, steps: int = 20, step_size: float = 0.05, start_clip: float = 1.0,
    model_clip: float | None = None, l1: float = 0.1, delta: float = 1e-5,
) -> StepInstance:  # fmt: skip
    """The hinge, or absolute errors, with a penalty on the 1-norm; the two models start at opposite ends."""
    choice("kind", kind, _NONSMOOTH)
    loss: Hinge | AbsoluteError = Hinge(l1=l1) if kind == "hinge" else AbsoluteError(l1=l1)
    algorithm = ConvexNonsmooth(step_size=step_size, lipschitz=loss.lipschitz(2), start_clip=start_clip, model_clip=model_clip)
    sigma = StepAccountant(algorithm).sigma(epsilon=epsilon, delta=delta, steps=steps)
    start = np.array([3.0, 4.0])
    return StepInstance(
        name=kind, description=f"convex without smoothness, {steps} steps", loss=loss, algorithm=algorithm, sigma=float(sigma),
        steps=steps, start=start, reference=-start, features=np.array(_ROWS), labels=np.array(_LABELS), batch_size=2,
        delta=delta,
    )  # fmt: skip


def hoelder_instance(
    kind: str = "power-hinge", *, exponent: float = 0.5, epsilon: float = 1.0, steps: int = 20, step_size: float = 0.5,
    start_clip: float = 1.0, model_clip: float | None = None, weight_decay: float = 0.0, delta: float = 1e-5,
) -> StepInstance:  # fmt: skip
    """Hoelder gradients from opposite ends: power-hinge, power-error and hinge (exponent 0) convex, repulsive not."""
    choice("kind", kind, _HOELDER)
    losses: dict[str, Callable[[], StepLoss]] = {
        "power-hinge": lambda: PowerHinge(power=1 + exponent), "power-error": lambda: PowerError(power=1 + exponent),
        "hinge": Hinge, "repulsive": lambda: Repulsive(1.0, exponent),
    }  # fmt: skip
    loss, power = losses[kind](), 0.0 if kind == "hinge" else exponent
    algorithm = (ConvexHoelder if loss.convex else HoelderNonconvex)(
        step_size=step_size, hoelder_constant=loss.hoelder_constant(2, power), hoelder_exponent=power, start_clip=start_clip,
        model_clip=model_clip, weight_decay=weight_decay,
    )  # fmt: skip
    sigma = StepAccountant(algorithm).sigma(epsilon=epsilon, delta=delta, steps=steps)
    start = np.array([3.0, 4.0])
    return StepInstance(
        name=kind, description=f"Hoelder gradients of exponent {power:g}, {steps} steps", loss=loss, algorithm=algorithm,
        sigma=float(sigma), steps=steps, start=start, reference=-start, features=np.array(_ROWS), labels=np.array(_LABELS),
        batch_size=2, delta=delta,
    )  # fmt: skip


def descend(
    loss: Perceptron, start: Floats, features: Floats, labels: Floats, *, steps: int = 200, rate: float = 0.5
) -> Floats:
    """Plain gradient descent without noise on all rows, (p,): how the models were learned before anybody left."""
    w = start[None].copy()
    for _ in range(steps):
        w -= rate * loss.gradients(w, features, labels)
    return np.asarray(w[0])


def _noise_for(algorithm: FineTuning, mu: float, steps: int) -> float:
    """sigma at which mu is claimed."""
    unit = StepAccountant(algorithm).guarantee(sigma=1.0, steps=steps)
    if unit.kind != "gdp":
        raise InputError("mu must be left out where every step clips the model: nothing there has one")
    return float(unit.values[0]) / mu
