"""The reference trainer: the losses, noisy SGD exactly as it is accounted for, baselines and data."""

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
