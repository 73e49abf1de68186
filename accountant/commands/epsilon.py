"""``accountant epsilon``: the guarantee that a given noise buys."""

from __future__ import annotations

from accountant.commands import present
from accountant.commands.options import DeltaOption, EpochsOption, PrecisionOption, Shared, SigmaOption, StepsOption


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
    present.answer(
        shared, "epsilon", "Guarantee at delta", epochs=epochs, steps=steps, precision=precision, sigma=sigma, delta=delta
    )
