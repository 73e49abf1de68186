"""``accountant sigma``: the noise that a guarantee takes."""

from __future__ import annotations

from accountant.commands import present
from accountant.commands.options import DeltaOption, EpochsOption, EpsilonOption, Shared, StepsOption
from accountant.unlearning import UnlearningAccountant


def sigma(
    shared: Shared, epsilon: EpsilonOption, delta: DeltaOption = None, epochs: EpochsOption = None, steps: StepsOption = None
) -> None:
    """The smallest noise sigma that proves (epsilon, delta) after unlearning.

    Example: accountant sigma --preset mnist --epsilon 1 --epochs 1
    """

    def needed(accountant: UnlearningAccountant) -> float:
        value: float = accountant.sigma(epsilon=epsilon, delta=delta, epochs=epochs, steps=steps)
        return value

    noise = needed(shared.accountant)
    count = shared.accountant.step_count(epochs=epochs, steps=steps)
    result = present.record(shared, "sigma", sigma=noise, epsilon=epsilon, delta=delta, steps=count)
    result["comparison"] = other = present.comparison(shared, "sigma", needed)
    rows = [
        present.noise_row(result),
        present.guarantee_row(result),
        present.length_row(result),
        present.comparison_row(other, "sigma", noise),
    ]
    present.show(shared, result, rows, "Noise needed")
