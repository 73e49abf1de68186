"""Warnings of the estimators: what costs accuracy, or what no guarantee covers, and what to do about it."""

from __future__ import annotations

import sys
import warnings


class UnlearningWarning(UserWarning):
    """All warnings of the estimators, for filters."""


class RescaledRowsWarning(UnlearningWarning):
    """Many rows are longer than ``feature_bound`` and were scaled down to it: what their lengths told is lost."""


class WeightsCutWarning(UnlearningWarning):
    """Weights are larger than ``weight_bound`` and were cut off at it."""


class LearnedStepWarning(UnlearningWarning):
    """A step before the estimator has learned from the rows, also from those that will be deleted; no guarantee covers it."""


def caution(message: str, category: type[UnlearningWarning]) -> None:
    """Warn, in the name of the first caller that is not of this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("accountant."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
