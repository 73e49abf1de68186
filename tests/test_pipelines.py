"""Pipelines: steps that learned from rows are found and spoken of, others are not; requests go through the steps."""

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import preprocessing as prep
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.random_projection import GaussianRandomProjection

from accountant import InputError
from accountant.trainer import (
    LearnedStepWarning,
    PNSGDClassifier,
    check_pipeline,
    learn_more_in,
    learned_steps,
    unlearn_in,
)

RNG = np.random.default_rng(3)
X = RNG.uniform(-1, 1, (80, 3))
Y = X[:, 0] > 0


def model() -> PNSGDClassifier:
    return PNSGDClassifier(batch_size=20, learn_epochs=3, regularisation=0.1, sigma=0.1, feature_bound=4.0)


class Mine(TransformerMixin, BaseEstimator):
    """Of a class that nobody knows."""

    def fit(self, X: Any, y: Any = None) -> "Mine":
        return self

    def transform(self, X: Any) -> Any:
        return X


LEARNED = [
    prep.StandardScaler(), prep.MinMaxScaler(), prep.MaxAbsScaler(), prep.RobustScaler(),
    prep.QuantileTransformer(n_quantiles=5), prep.PowerTransformer(), prep.TargetEncoder(), prep.KBinsDiscretizer(3),
    prep.OneHotEncoder(), prep.OrdinalEncoder(),
    PCA(2), SelectKBest(k=2), SimpleImputer(), SimpleImputer(strategy="constant"), prep.SplineTransformer(),
    GaussianRandomProjection(), TfidfVectorizer(), Mine(),
]  # fmt: skip
FIXED = [
    prep.Normalizer(), prep.FunctionTransformer(np.tanh), prep.Binarizer(), prep.PolynomialFeatures(2), HashingVectorizer(),
    prep.OneHotEncoder(categories=[[0, 1]]), prep.SplineTransformer(knots=np.array([[-1.0], [0.0], [1.0]])),
    "passthrough", None, SimpleImputer(strategy="constant", keep_empty_features=True), GaussianRandomProjection(2),
]  # fmt: skip


@pytest.mark.parametrize("step", LEARNED, ids=lambda step: type(step).__name__)
def test_steps_that_learn_are_found_wherever_they_stand(step: Any) -> None:
    name = type(step).__name__
    columns = ColumnTransformer([("one", step, [0]), ("two", prep.Normalizer(), [1, 2])])
    rest = ColumnTransformer([("two", prep.Normalizer(), [1, 2])], remainder=step)
    for before in (
        step,
        columns,
        rest,
        FeatureUnion([("a", prep.Normalizer()), ("b", step)]),
        make_pipeline(prep.Normalizer(), step),
    ):
        pipeline = Pipeline([("first", prep.Normalizer()), ("second", before), ("model", model())])
        [found] = learned_steps(pipeline)
        assert found.startswith("second")
        assert found.endswith(f"({name})")
        with pytest.raises(InputError, match=rf"pipeline must have steps that learn nothing .*\({name}\).*feature_range"):
            check_pipeline(pipeline)


@pytest.mark.parametrize("step", FIXED, ids=lambda step: type(step).__name__)
def test_steps_that_treat_each_row_by_itself_are_fine(step: Any) -> None:
    check_pipeline(Pipeline([("first", step), ("model", model())]))


def test_a_pipeline_that_has_learned_is_spoken_of_when_it_is_fitted() -> None:
    for steps in ([prep.StandardScaler()], [prep.Normalizer(), make_union(PCA(2), prep.Normalizer())]):
        with pytest.warns(LearnedStepWarning, match=r"the pipeline has .*\((StandardScaler|PCA)\), which learn from rows"):
            make_pipeline(*steps, model()).fit(X, Y)
        with pytest.warns(LearnedStepWarning):
            make_pipeline(prep.Normalizer(), make_pipeline(*steps, model())).fit(X, Y)
        with pytest.warns(LearnedStepWarning):
            cross_val_score(make_pipeline(*steps, model()), X, Y, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_pipeline(prep.Normalizer(), model()).fit(X, Y)
        model().fit(X, Y)
        # Fitted inside of another estimator that a pipeline does not feed.
        VotingClassifier([("a", model()), ("b", LogisticRegression())]).fit(X, Y)


def test_requests_go_through_the_steps() -> None:
    replacing = model().set_params(adjacency="replace")
    pipeline = make_pipeline(prep.Normalizer(), prep.FunctionTransformer(np.negative), replacing).fit(X, Y)
    assert unlearn_in(pipeline, [3, 4], 2 * X[:2], Y[:2], max_steps=10**6) is pipeline
    rows = -X[:2] / np.linalg.norm(X[:2], axis=1, keepdims=True)
    np.testing.assert_allclose(pipeline[-1]._run.features[-2:, :-1], rows)
    assert learn_more_in(pipeline, X[5:6], Y[5:6], ids=["new"]) is pipeline
    np.testing.assert_allclose(pipeline[-1]._run.features[-1, :-1], -X[5] / np.linalg.norm(X[5]))
    unlearn_in(pipeline, ids=["new"], max_steps=10**6)
    assert pipeline[-1].requests_ == ((3, 4), (82,))
    with pytest.raises(InputError, match="not been removed before"):
        unlearn_in(pipeline, [3])


def test_what_cannot_unlearn_is_refused() -> None:
    for odd in (make_pipeline(prep.Normalizer(), LogisticRegression()), model(), "pipeline"):
        for call in (lambda odd=odd: check_pipeline(odd), lambda odd=odd: unlearn_in(odd, [1])):
            with pytest.raises(
                InputError, match="pipeline must be a Pipeline that ends with PNSGDClassifier or PNSGDRegressor"
            ):
                call()
    with pytest.warns(LearnedStepWarning):
        scaled = make_pipeline(prep.StandardScaler(), model()).fit(X, Y)
    for call in (lambda: unlearn_in(scaled, [1]), lambda: learn_more_in(scaled, X[:1], Y[:1])):
        with pytest.raises(InputError, match="StandardScaler"):
            call()
    assert scaled[-1].requests_ == ()
