"""``accountant sigma``: the noise that a guarantee takes."""

from __future__ import annotations

from accountant.commands import present
from accountant.commands.options import DeltaOption, EpochsOption, EpsilonOption, PrecisionOption, Shared, StepsOption


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
    present.answer(
        shared, "sigma", "Noise needed", epochs=epochs, steps=steps, precision=precision, epsilon=epsilon, delta=delta
    )
