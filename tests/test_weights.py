"""Weights of rows: constants hold, little noise gives scikit-learn's weighted optimum, they stay with their rows."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from accountant import InputError
from accountant.trainer import PNSGDClassifier, PNSGDRegressor, WeightsCutWarning, check_constants, gradient
from accountant.trainer.losses import Logistic, Loss, Multinomial, Ridge, SmoothedHinge
from accountant.trainer.weights import Weighted, class_factors, weighted_labels

RNG = np.random.default_rng(5)
N = 120
X = RNG.uniform(-0.5, 0.5, (N, 4))
Y = np.where(X[:, 0] + 0.2 * RNG.standard_normal(N) > 0, "yes", "no")
WEIGHTS = RNG.uniform(0, 3, N)
ROWS = np.c_[X, np.ones(N)]

SETTINGS: dict[str, Any] = {
    "batch_size": 20,
    "learn_epochs": 10,
    "regularisation": 0.05,
    "unlearn_epochs": 1,
    "random_state": 0,
}
#: Of all rows in every step, until nothing changes: what is left is the optimum.
STILL: dict[str, Any] = {
    "batch_size": None, "learn_epochs": 600, "regularisation": 0.05, "sigma": 1e-6, "random_state": 0, "fit_intercept": True,
}  # fmt: skip

LOSSES = [
    (Logistic(regularisation=0.1), np.where(X[:, 0] > 0, 1.0, -1.0)),
    (Logistic(regularisation=0.1, clip=0.3), np.where(X[:, 0] > 0, 1.0, -1.0)),
    (SmoothedHinge(regularisation=0.1), np.where(X[:, 0] > 0, 1.0, -1.0)),
    (Ridge(regularisation=0.1, clip=0.5), X[:, 1]),
    (Multinomial(regularisation=0.1, classes=3), np.arange(N) % 3.0),
]


@pytest.mark.parametrize(("loss", "labels"), LOSSES)
def test_constants_hold_for_weights_up_to_one(loss: Loss, labels: Any) -> None:
    weighted = Weighted.of(loss)
    for weights in (np.linspace(0, 1, N), np.ones(N)):
        found = check_constants(weighted, X, weighted_labels(labels, weights))
        assert found.smoothness <= loss.smoothness * (1 + 1e-6)
        assert found.lipschitz <= loss.lipschitz * (1 + 1e-6)
    assert weighted.problem(N, adjacency="remove") == loss.problem(N, adjacency="remove")
    # Those of weight one attain what those without weights do.
    whole, plain = check_constants(weighted, X, weighted_labels(labels, 1.0)), check_constants(loss, X, labels)
    assert whole == plain


@pytest.mark.parametrize(("loss", "labels"), LOSSES)
def test_a_row_of_weight_v_has_v_times_the_gradient(loss: Loss, labels: Any) -> None:
    w = RNG.standard_normal(loss.outputs * 4)
    for row, v in ((0, 0.0), (1, 0.25), (2, 1.0)):
        some = slice(row, row + 1)
        own = gradient(loss, w, X[some], labels[some]) - loss.regularisation * w
        weighed = gradient(Weighted.of(loss), w, X[some], weighted_labels(labels[some], v)) - loss.regularisation * w
        np.testing.assert_allclose(weighed, v * own, atol=1e-15)


def optimum(**weights: Any) -> Any:
    # An intercept that is regularised, as ours is.
    theirs = LogisticRegression(
        C=1 / (0.05 * N), tol=1e-10, fit_intercept=False, class_weight=weights.pop("class_weight", None)
    )
    return theirs.fit(ROWS, Y, **weights).coef_[0]


@pytest.mark.parametrize("assignment", ["secret", "partition"])
def test_little_noise_gives_the_weighted_optimum(assignment: str) -> None:
    adjacency = "remove" if assignment == "secret" else "zero-out"
    model = PNSGDClassifier(**STILL, weight_bound=3.0, assignment=assignment, adjacency=adjacency).fit(
        X, Y, sample_weight=WEIGHTS
    )
    np.testing.assert_allclose(np.r_[model.coef_[0], model.intercept_], optimum(sample_weight=WEIGHTS / 3), atol=1e-3)


def test_classes_have_weights_of_which_the_largest_counts_one() -> None:
    for given in ({"no": 8.0, "yes": 2.0}, {"no": 4.0}):
        factors = {"no": 1.0, "yes": 0.25}
        model = PNSGDClassifier(**STILL, class_weight=given).fit(X, Y)
        np.testing.assert_allclose(np.r_[model.coef_[0], model.intercept_], optimum(class_weight=factors), atol=1e-3)
    both = PNSGDClassifier(**STILL, class_weight=given, weight_bound=3.0).fit(X, Y, sample_weight=WEIGHTS)
    wanted = optimum(sample_weight=WEIGHTS / 3, class_weight=factors)
    np.testing.assert_allclose(np.r_[both.coef_[0], both.intercept_], wanted, atol=1e-3)
    assert class_factors(None, np.array([0, 1])) is None


def test_no_weights_and_weights_of_one_are_the_same_and_the_noise_is() -> None:
    plain, ones = PNSGDClassifier(**SETTINGS).fit(X, Y), PNSGDClassifier(**SETTINGS).fit(X, Y, sample_weight=np.ones(N))
    np.testing.assert_array_equal(plain.coef_, ones.coef_)
    some = PNSGDClassifier(**SETTINGS, weight_bound=3.0).fit(X, Y, sample_weight=WEIGHTS)
    assert some.sigma_ == plain.sigma_
    np.testing.assert_array_equal(some._run.labels["weight"], WEIGHTS / 3)


def test_a_row_moves_a_step_by_no_more_than_its_weight_allows() -> None:
    """One step of all rows, from zero: what a row adds is v eta/n r x, at most v eta M/n."""
    settings = {"batch_size": None, "learn_epochs": 1, "regularisation": 0.05, "sigma": 1e-4, "random_state": 0}

    def model(v: float) -> Any:
        weights = np.ones(N)
        weights[7] = v
        fitted = PNSGDClassifier(**settings).fit(X, Y, sample_weight=weights)
        return fitted, np.r_[fitted.coef_[0], fitted.intercept_]

    fitted, none = model(0.0)
    step = fitted.step_size_ / N
    for v in (0.3, 1.0):
        moved = model(v)[1] - none
        np.testing.assert_allclose(np.linalg.norm(moved), v * step * 0.5 * np.linalg.norm(ROWS[7]), rtol=1e-6)
        assert np.linalg.norm(moved) <= v * step * fitted._trainer.loss.lipschitz


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_stay_with_their_rows(dtype: str, tmp_path: Path) -> None:
    model = PNSGDClassifier(**SETTINGS, weight_bound=3.0, class_weight={"no": 2.0}, dtype=dtype)
    model.fit(X, Y, sample_weight=WEIGHTS).unlearn([3, 50])
    model.learn_more(X[:2], Y[:2], sample_weight=[1.5, 3.0])
    factors = np.where(Y == "no", 1.0, 0.5)
    stay = np.delete(np.arange(N), [3, 50])
    wanted = np.r_[(WEIGHTS / 3 * factors)[stay], np.array([0.5, 1.0]) * factors[:2]]
    np.testing.assert_allclose(model._run.labels["weight"], wanted, rtol=1e-6)
    assert any("weights of rows are their own or public" in line for line in model.guarantee_.assumptions)
    model.save(tmp_path / "model.npz")
    for again in (PNSGDClassifier.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again._run.labels, model._run.labels)
        assert again.get_params() == model.get_params()
        assert again.unlearn([N]).requests_ == ((3, 50), (N,))
    assert clone(model).get_params() == model.get_params()


def test_rows_that_take_places_have_weights() -> None:
    settings = SETTINGS | {"adjacency": "replace", "assignment": "partition", "weight_bound": 2.0}
    model = PNSGDClassifier(**settings).fit(X, Y, sample_weight=np.ones(N))
    model.unlearn([4, 5], X[:2], Y[:2], sample_weight=[0.0, 2.0])
    assert model._run.labels["weight"][[3, 4, 5]].tolist() == [0.5, 0.0, 1.0]
    assert model.unlearn([6], X[:1], Y[:1])._run.labels["weight"][6] == 0.5
    # What leaves without a stand-in leaves no weight either.
    assert model.unlearn([7])._run.labels["weight"][7] == 1.0


def test_one_row_that_comes_may_have_no_weight() -> None:
    """Only learning from nothing is refused."""
    words: dict[str, Any] = {"batch_size": None, "regularisation": 0.1, "sigma": 5.0, "learn_epochs": 2, "largest_n": 150}
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 2))
    model = PNSGDClassifier(**words).fit(x, x[:, 0] > 0, sample_weight=np.ones(100))
    assert model.learn_more(x[:1], [True], ids=["q"], sample_weight=[0.0]).ids_[-1] == "q"
    model = PNSGDClassifier(adjacency="replace", **words).fit(x, x[:, 0] > 0, sample_weight=np.ones(100))
    assert model.unlearn([3], x[:1], [True], sample_weight=[0.0]).requests_ == ((3,),)


def test_regressors_and_pipelines_take_weights() -> None:
    pipeline = make_pipeline(Normalizer(), PNSGDRegressor(**SETTINGS, weight_bound=3.0))
    pipeline.fit(X, X[:, 0], pnsgdregressor__sample_weight=WEIGHTS)
    np.testing.assert_array_equal(pipeline[-1]._run.labels["weight"], WEIGHTS / 3)
    assert pipeline[-1].unlearn([3]).guarantee_.epsilon(pipeline[-1].delta_) <= 1


def test_larger_weights_are_cut_off_each_by_itself_and_said_so() -> None:
    with pytest.warns(
        WeightsCutWarning, match=r"\d+ of 120 weights in sample_weight are larger than weight_bound = 1 and are cut off"
    ):
        model = PNSGDClassifier(**SETTINGS).fit(X, Y, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(model._run.labels["weight"], np.minimum(WEIGHTS, 1))


@pytest.mark.parametrize(
    ("changes", "weights", "message"),
    [
        ({}, -WEIGHTS, "sample_weight must be finite numbers >= 0, got -"),
        ({}, np.full(N, np.nan), "sample_weight must be finite numbers >= 0, got nan in row 0"),
        ({}, np.full(N, np.inf), "sample_weight must be finite numbers >= 0, got inf"),
        ({}, WEIGHTS[:-1], r"sample_weight must have shape \(120,\), got \(119,\)"),
        ({}, WEIGHTS[:, None], r"sample_weight must have shape \(120,\), got \(120, 1\)"),
        ({}, ["a"] * N, "sample_weight must be numbers"),
        ({}, ["1"] * N, "sample_weight must be numbers"),
        ({}, WEIGHTS + 1j, "sample_weight must be numbers"),
        ({}, np.zeros(N), "sample_weight must not be zero for all rows"),
        ({"weight_bound": 0.0}, None, "weight_bound must be"),
        ({"weight_bound": "much"}, None, "weight_bound must be"),
        (
            {"class_weight": "balanced"},
            None,
            "class_weight must be a dict of public weights, got 'balanced', which counts the labels",
        ),
        ({"class_weight": [1, 2]}, None, "class_weight must be a dict of public weights"),
        (
            {"class_weight": {"maybe": 2.0}},
            None,
            r"class_weight must have weights of classes of \['no', 'yes'\], got one of 'maybe'",
        ),
        ({"class_weight": {"no": 0.0}}, None, "^class_weight of 'no' must be a number above 0, got 0"),
        ({"class_weight": {"no": -1.0}}, None, "^class_weight of 'no' must be a number above 0, got -1"),
        ({"class_weight": {"no": np.inf}}, None, "^class_weight of 'no' must be a finite number above 0, got inf"),
        ({"class_weight": {"no": "much"}}, None, "^class_weight of 'no' must be a number above 0, got 'much'$"),
        ({"class_weight": {"no": "2"}}, None, "^class_weight of 'no' must be a number above 0, got '2'$"),
        ({"class_weight": {"no": 2 + 0j}}, None, r"^class_weight of 'no' must be a number above 0, got \(2\+0j\)$"),
        ({"class_weight": {"no": np.complex128(2)}}, None, "^class_weight of 'no' must be a number above 0, got "),
        ({"class_weight": {"no": None}}, None, "^class_weight of 'no' must be a number above 0, got None$"),
    ],
)
def test_what_is_no_weight_is_refused(changes: dict[str, Any], weights: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PNSGDClassifier(**(SETTINGS | changes)).fit(X, Y, sample_weight=weights)


def test_weights_that_come_too_late_are_refused() -> None:
    model = PNSGDClassifier(**SETTINGS).fit(X, Y)
    with pytest.raises(InputError, match="sample_weight must be given at fit, too"):
        model.learn_more(X[:1], Y[:1], sample_weight=[1.0])
    with pytest.raises(InputError, match="sample_weight must be left out where no rows take the places"):
        model.unlearn([1], sample_weight=[1.0])
    assert model.requests_ == ()
