"""What the estimators take from scikit-learn; without it, the extra that brings it."""

from __future__ import annotations

from accountant.numerics import MissingExtraError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise MissingExtraError("the estimators", "scikit-learn", "sklearn") from None

__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "RegressorMixin",
    "available_if",
    "check_classification_targets",
    "check_is_fitted",
    "validate_data",
]
