"""``accountant delta``: the failure probability left at a given epsilon."""

from __future__ import annotations

from accountant.commands import present
from accountant.commands.options import EpochsOption, EpsilonOption, Shared, SigmaOption, StepsOption
from accountant.unlearning import UnlearningAccountant


def delta(
    shared: Shared, sigma: SigmaOption, epsilon: EpsilonOption, epochs: EpochsOption = None, steps: StepsOption = None
) -> None:
    """The smallest delta proven at epsilon for noise sigma after unlearning.

    Example: accountant delta --preset mnist --batch-size full --sigma 0.03 --epsilon 0.1 --epochs 1
    """

    def proven(accountant: UnlearningAccountant) -> float:
        value: float = accountant.delta(sigma=sigma, epsilon=epsilon, epochs=epochs, steps=steps)
        return value

    value = proven(shared.accountant)
    count = shared.accountant.step_count(epochs=epochs, steps=steps)
    result = present.record(shared, "delta", sigma=sigma, epsilon=epsilon, delta=value, steps=count)
    result["comparison"] = other = present.comparison(shared, "delta", proven)
    rows = [
        ("delta", present.digits(value, 10)),
        present.guarantee_row(result),
        present.noise_row(result),
        present.length_row(result),
        present.comparison_row(other, "delta", value),
    ]
    present.show(shared, result, rows, "Guarantee at epsilon")
