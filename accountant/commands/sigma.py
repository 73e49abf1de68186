"""``accountant sigma``, ``epsilon`` and ``delta``: each from the others and from the length of unlearning."""

from __future__ import annotations

from accountant.commands import present
from accountant.commands.options import (
    DeltaOption,
    EpochsOption,
    EpsilonOption,
    PrecisionOption,
    Shared,
    SigmaOption,
    StepsOption,
)


def sigma(
    shared: Shared,
    epsilon: EpsilonOption,
    delta: DeltaOption = None,
    epochs: EpochsOption = None,
    steps: StepsOption = None,
    precision: PrecisionOption = None,
) -> None:
    """The smallest noise sigma that proves (epsilon, delta) after unlearning.

    Example: accountant sigma --preset mnist --epsilon 1 --epochs 1
    """
    question = {"epsilon": epsilon, "delta": delta, "epochs": epochs, "steps": steps}
    present.answer(shared, "sigma", "Noise needed", precision=precision, **question)


def epsilon(
    shared: Shared,
    sigma: SigmaOption,
    delta: DeltaOption = None,
    epochs: EpochsOption = None,
    steps: StepsOption = None,
    precision: PrecisionOption = None,
) -> None:
    """The smallest epsilon proven at delta for noise sigma after unlearning.

    Example: accountant epsilon --preset mnist --batch-size full --sigma 0.03 --epochs 1
    """
    question = {"sigma": sigma, "delta": delta, "epochs": epochs, "steps": steps}
    present.answer(shared, "epsilon", "Guarantee at delta", precision=precision, **question)


def delta(
    shared: Shared,
    sigma: SigmaOption,
    epsilon: EpsilonOption,
    epochs: EpochsOption = None,
    steps: StepsOption = None,
    precision: PrecisionOption = None,
) -> None:
    """The smallest delta proven at epsilon for noise sigma after unlearning.

    Example: accountant delta --preset mnist --batch-size full --sigma 0.03 --epsilon 0.1 --epochs 1
    """
    question = {"sigma": sigma, "epsilon": epsilon, "epochs": epochs, "steps": steps}
    present.answer(shared, "delta", "Guarantee at epsilon", precision=precision, **question)
