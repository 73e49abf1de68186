"""What stands before an estimator in a pipeline: which steps remember rows, as far as that can be seen."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from accountant.trainer.cautions import LearnedStepWarning, caution

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

#: Calls between a pipeline's fit and that of its last step, decorators and callbacks included, at most.
_DEEP: Final = 30
#: Steps whose fit looks at the number of columns only, or at nothing with these settings.
_FIXED: Final[dict[str, Callable[[Any], bool]]] = {
    "OneHotEncoder": lambda step: not isinstance(step.categories, str) and step.max_categories is step.min_frequency is None,
    "OrdinalEncoder": lambda step: not isinstance(step.categories, str) and step.max_categories is step.min_frequency is None,
    "PolynomialFeatures": lambda step: True,
    "SplineTransformer": lambda step: not isinstance(step.knots, str),
    "SimpleImputer": lambda step: step.strategy == "constant" and bool(step.keep_empty_features),
    "MissingIndicator": lambda step: step.features == "all",
    "GaussianRandomProjection": lambda step: step.n_components != "auto",
    "SparseRandomProjection": lambda step: step.n_components != "auto",
    "RBFSampler": lambda step: not isinstance(step.gamma, str),
    "PolynomialCountSketch": lambda step: True,
    "SkewedChi2Sampler": lambda step: True,
    "AdditiveChi2Sampler": lambda step: True,
}


def learned_steps(pipeline: Pipeline) -> list[str]:
    """The steps before the last one that have, or may have, learned from rows: each as its name and class.

    Composite steps (Pipeline, ColumnTransformer, FeatureUnion) are looked into. A step of a class that scikit-learn does not
    say to be free of state (the tag ``requires_fit``), and that is not known here, may have learned.

    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import Normalizer, StandardScaler
    >>> learned_steps(make_pipeline(Normalizer(), StandardScaler(), "passthrough"))
    ['standardscaler (StandardScaler)']
    """
    return [found for name, step in pipeline.steps[:-1] for found in _learned(name, step)]


def _learned(name: str, step: Any) -> Iterator[str]:
    if step is None or isinstance(step, str):
        return
    kind = type(step).__name__
    inside = {"Pipeline": "steps", "FeatureUnion": "transformer_list", "ColumnTransformer": "transformers"}.get(kind)
    if inside is not None:
        parts = getattr(step, inside) if kind != "ColumnTransformer" else [*step.transformers, ("remainder", step.remainder)]
        for part in parts:
            yield from _learned(f"{name}__{part[0]}", part[1])
        return
    if not _is_fixed(step):
        yield f"{name} ({kind})"


def _is_fixed(step: Any) -> bool:
    known = _FIXED.get(type(step).__name__) if type(step).__module__.startswith("sklearn.") else None
    if known is not None:
        return known(step)
    from sklearn.utils import get_tags

    try:
        return not get_tags(step).requires_fit
    except Exception:
        # A step of another library, whose tags cannot be asked for.
        return False


def warn_of_pipeline() -> None:
    """LearnedStepWarning where this is called, from fit, by the fit of a pipeline with steps that have learned from the rows.

    An estimator is not told what stands before it, so the calls that led here are looked at; whoever calls the steps one by one
    is not seen.
    """
    if "sklearn.pipeline" not in sys.modules:
        return
    from sklearn.pipeline import Pipeline

    frame = inspect.currentframe()
    for _ in range(_DEEP):
        frame = None if frame is None else frame.f_back
        if frame is None:
            return
        owner = frame.f_locals.get("self") if frame.f_code.co_name in ("fit", "fit_predict") else None
        if isinstance(owner, Pipeline) and (found := learned_steps(owner)):
            caution(f"the pipeline has {what_they_do(found)}", LearnedStepWarning)
            return


def what_they_do(found: list[str]) -> str:
    """What there is to say of such steps."""
    return (
        f"{', '.join(found)}, which learn from rows that may be deleted later: no guarantee covers what they remember; "
        "feature_range of the estimator centres and scales by public numbers, and Normalizer treats each row by itself"
    )
