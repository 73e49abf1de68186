"""``accountant delta``: the failure probability left at a given epsilon."""

from __future__ import annotations

from accountant.commands import present
from accountant.commands.options import EpochsOption, EpsilonOption, PrecisionOption, Shared, SigmaOption, StepsOption


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
    present.answer(
        shared, "delta", "Guarantee at epsilon", epochs=epochs, steps=steps, precision=precision, sigma=sigma, epsilon=epsilon
    )
