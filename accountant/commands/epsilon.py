"""``accountant epsilon``: the guarantee that a given noise buys."""

from __future__ import annotations

from accountant.commands import present
from accountant.commands.options import DeltaOption, EpochsOption, Shared, SigmaOption, StepsOption
from accountant.unlearning import UnlearningAccountant


def epsilon(
    shared: Shared, sigma: SigmaOption, delta: DeltaOption = None, epochs: EpochsOption = None, steps: StepsOption = None
) -> None:
    """The smallest epsilon proven at delta for noise sigma after unlearning.

    Example: accountant epsilon --preset mnist --batch-size full --sigma 0.03 --epochs 1
    """

    def proven(accountant: UnlearningAccountant) -> float:
        value: float = accountant.epsilon(sigma=sigma, delta=delta, epochs=epochs, steps=steps)
        return value

    value = proven(shared.accountant)
    count = shared.accountant.step_count(epochs=epochs, steps=steps)
    result = present.record(shared, "epsilon", sigma=sigma, epsilon=value, delta=delta, steps=count)
    result["comparison"] = other = present.comparison(shared, "epsilon", proven)
    rows = [
        ("epsilon", present.digits(value, 10)),
        present.guarantee_row(result),
        present.noise_row(result),
        present.length_row(result),
        present.comparison_row(other, "epsilon", value),
    ]
    present.show(shared, result, rows, "Guarantee at delta")
