"""What a plan says in sentences: what requests take, and what that is against retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accountant.commands import present
from accountant.numerics import digits
from accountant.requests import LOUD, model_noise

if TYPE_CHECKING:
    from accountant.questions import UnlearningAccountant
    from accountant.requests import Plan


def answer(result: dict[str, Any], made: Plan) -> str:
    """What all requests take."""
    count, guarantee = len(made.requests), present.guarantee_row(result)[1]
    requests = present.plural(count, "request")
    noise = digits(made.sigma, 10)
    if not made.total_steps:
        return f"{requests} of deletion need no unlearning with sigma = {noise}: the learned model has {guarantee} already"
    length = present.plural(made.total_steps, "step")
    if made.total_epochs == int(made.total_epochs):
        length = f"{present.plural(int(made.total_epochs), 'epoch')} ({length})"
    takes = "takes" if count == 1 else "take"
    return f"{requests} of deletion {takes} {length} of unlearning in all, with sigma = {noise}: {guarantee}, after every one"


def break_even(made: Plan) -> list[str]:
    """What a request costs against one retraining, and whether one retraining for all of them would be cheaper."""
    count, spent, each = len(made.requests), made.total_gradient_evaluations, made.retrain_gradient_evaluations
    if each is None:
        return ["What that is against retraining is not known: give the epochs of one retraining as --retrain-epochs."]
    once, mean = each // count, spent / count
    epochs = present.plural(made.retrain_epochs or 0, "epoch")
    what = f"one retraining {once:,} ({epochs})"
    average = "" if count == 1 else " on average"
    if not spent:
        return [f"A request costs no gradients, {what}."]
    shown = f"{mean:,.0f}" if mean >= 10 else digits(mean, 3)
    one = f"One request costs {shown} gradients{average}, {what}:"
    if mean == once:
        lines = [f"{one} as much."]
    elif mean < once:
        lines = [f"{one} {digits(once / mean, 3, down=True)} times cheaper."]
    else:
        lines = [f"{one} retraining is {digits(mean / once, 3, down=True)} times cheaper."]
    if count == 1:
        return lines
    if made.break_even is None:
        lines.append(f"All {count} together cost {digits(spent / once, 3)} times as much as one retraining.")
    else:
        # Only who can wait saves by that.
        lines.append(
            f"If all could wait for a single retraining at the end, that would be cheaper from request {made.break_even} on."
        )
    return lines


def ruins(accountant: UnlearningAccountant, sigma: float) -> str | None:
    """A warning where the noise leaves nothing of the model; None where it need not."""
    noise = model_noise(accountant.algorithm, sigma)
    if noise is None or noise * accountant.algorithm.problem.lipschitz <= LOUD:
        return None
    moves = digits(noise * accountant.algorithm.problem.lipschitz, 3)
    return (
        f"So much noise may ruin the model: it adds up to a standard deviation of {digits(noise, 3)} in every parameter, and "
        f"of {moves} in the loss of a record, at most."
    )
