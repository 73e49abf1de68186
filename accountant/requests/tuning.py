"""Settings for a number of requests: what leaves least noise at a cost that is a share of learning (docs/guides/tune.md)."""

from __future__ import annotations

from functools import lru_cache

from accountant.numerics import UnreachableError, number
from accountant.problem import SECRET, LossConstants
from accountant.requests.settings import AUTO, SHARE, Question, TunedSetting, preference


def choose_setting(
    *,
    loss: LossConstants,
    n: int,
    epsilon: float,
    delta: float | None = None,
    requests: int = 100,
    share: float = SHARE,
    batch_size: int | str = AUTO,
    step_size: float | str = AUTO,
    regularisation: float | str = AUTO,
    learn_epochs: int | str = AUTO,
    sigma: float | None = None,
    adjacency: str = "remove",
    assignment: str = SECRET,
    largest_n: int | None = None,
    radius: float | None = None,
    rounding: str | None = None,
    dimension: int | None = None,
    bound: str = "optimal",
    batches: str = "random",
    exact: bool = False,
) -> TunedSetting:
    """What is "auto" chosen from public constants, all else kept; with the noise, and the cost of the requests.

    loss: kappa, B and M; its own regularisation is not read. n, epsilon, delta (default 1/n): as for the accountant.
    requests >= 1: how many, of one record each (no more than n). share > 0: cost of one request, in fits, on average.
    batch_size (or "full"), step_size, regularisation > 0, learn_epochs: given or "auto". sigma: given, or the smallest with
    which the requests cost no more than their share, or one step each.
    exact: whether the stream answers every request of more than 128, or only until they take the same, which is taken to stay.
    All else as for :class:`PNSGD` and :class:`UnlearningAccountant`.
    InputError for values out of range; UnreachableError, with the reason of each, where no batch size is possible.

    >>> from accountant.problem import LogisticConstants
    >>> loss = LogisticConstants(regularisation=0.0, feature_bound=1.0)
    >>> setting = choose_setting(loss=loss, n=10_000, epsilon=1.0, requests=10)
    >>> setting.refused is None and setting.share <= 10 / 40
    True
    """
    question = Question.of(
        loss, n=n, epsilon=epsilon, delta=delta, requests=requests, share=share, sigma=sigma, adjacency=adjacency,
        assignment=assignment, largest_n=largest_n, radius=radius, rounding=rounding, dimension=dimension, bound=bound,
        batches=batches,
    )  # fmt: skip
    sizes = None if batch_size == AUTO else (batch_size,)
    return chosen(question, sizes, step_size, regularisation, learn_epochs, exact)


@lru_cache(maxsize=128)
def chosen(
    question: Question,
    offered: tuple[int | str, ...] | None,
    step_size: float | str,
    regularisation: float | str,
    learn_epochs: int | str,
    exact: bool,
) -> TunedSetting:
    """The choice of :func:`choose_setting`, of these batch sizes or all; remembered: whoever fits again asks again."""
    penalty = question.penalty() if regularisation == AUTO else number("regularisation", regularisation, at_least=0)
    rough = list(question.compared(offered, step_size, penalty, learn_epochs))
    able = [setting for setting in rough if setting.refused is None]
    able.sort(key=lambda setting: preference(setting, question.share))
    if regularisation == AUTO and able:
        # The batch size that pays at one regularisation pays at those near it.
        size = able[0].batch_size

        def at(penalty: float) -> TunedSetting:
            return question.setting(size, step_size, penalty, learn_epochs, rough=True)

        able = [at(question.quiet(at, penalty))]
    for setting in able:
        # What was found roughly is confirmed by the stream that answers the requests.
        found = question.confirmed(setting, exact=exact)
        if found.refused is None:
            return found
        rough.append(found)
    reasons = {str(setting.refused): setting.batch_size for setting in rough if setting.refused is not None}
    if len(reasons) == 1:
        raise UnreachableError(next(iter(reasons)))
    told = "; ".join(f"batch_size {size}: {reason}" for reason, size in reasons.items())
    raise UnreachableError(f"no batch size is possible: {told}")
