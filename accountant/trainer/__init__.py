"""The reference trainer: the losses, noisy SGD exactly as it is accounted for, baselines and data.

``PNSGDClassifier`` and ``PNSGDRegressor`` can be imported from here too; only that imports scikit-learn (extra ``sklearn``).
"""

from typing import TYPE_CHECKING, Any

from accountant.trainer.losses import (
    LOSSES,
    Logistic,
    Loss,
    Multinomial,
    Ridge,
    SmoothedHinge,
    accuracy,
    check_constants,
    predict,
)
from accountant.trainer.training import Run, Trainer

if TYPE_CHECKING:
    from accountant.trainer.estimator import PNSGDClassifier as PNSGDClassifier
    from accountant.trainer.estimator import PNSGDRegressor as PNSGDRegressor

__all__ = [
    "LOSSES",
    "Logistic",
    "Loss",
    "Multinomial",
    "Ridge",
    "Run",
    "SmoothedHinge",
    "Trainer",
    "accuracy",
    "check_constants",
    "predict",
]


def __getattr__(name: str) -> Any:
    if name in ("PNSGDClassifier", "PNSGDRegressor"):
        from accountant.trainer import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
