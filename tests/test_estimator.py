"""The estimators against scikit-learn's own checks, the accountant's numbers, a plain loop and exact Gaussian laws."""

import json
import math
import pickle
import subprocess
import sys
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import parametrize_with_checks

from accountant import (
    PNSGD,
    Guarantee,
    InputError,
    Problem,
    UnlearningAccountant,
    UnlearningStream,
    UnreachableError,
    gdp_delta,
)
from accountant.trainer import Logistic, load_digits
from accountant.trainer.classifier import PNSGDClassifier
from accountant.trainer.losses import Multinomial, Ridge, SmoothedHinge
from accountant.trainer.regressor import PNSGDRegressor

# Rows here are longer than 1 now and then.
pytestmark = pytest.mark.filterwarnings("ignore::accountant.trainer.cautions.RescaledRowsWarning")

RNG = np.random.default_rng(3)
N = 120
X = RNG.standard_normal((N, 4)) / 3
NAMES = np.where(X[:, 0] + 0.1 * RNG.standard_normal(N) > 0, "yes", "no")
REALS = X @ np.array([1.0, -0.5, 0.25, 0.0]) + 0.1
THIRDS = np.digitize(X[:, 1], [-0.15, 0.15])


#: One partition of all rows; rows that draw their batches by themselves are in test_secret_estimator.py.
SETTINGS = {
    "assignment": "partition", "adjacency": "zero-out", "batch_size": 20, "learn_epochs": 10, "regularisation": 0.05,
    "unlearn_epochs": 1, "random_state": 0,
}  # fmt: skip


def classifier(**changes: Any) -> PNSGDClassifier:
    return PNSGDClassifier(**(SETTINGS | changes))


def regressor(**changes: Any) -> PNSGDRegressor:
    return PNSGDRegressor(**(SETTINGS | changes))


def accountant_of(model: Any, loss: Any) -> UnlearningAccountant:
    problem = loss.problem(N, adjacency=model.adjacency)
    dimension = loss.outputs * (X.shape[1] + bool(model.fit_intercept))
    words = {"radius": model.radius, "rounding": "float64", "dimension": dimension}
    algorithm = PNSGD(problem, model.batch_size or "full", learn_epochs=model.learn_epochs, **words)
    return UnlearningAccountant(algorithm, batches=model.batches)


# scikit-learn


def expected_failures(estimator: Any) -> dict[str, str]:
    """What no estimator can do that adds noise for so many rows, as scikit-learn's own tests say of SGDClassifier."""
    failures = {
        "check_sample_weight_equivalence_on_dense_data": "rows that are repeated are more rows, and other noise",
        "check_sample_weight_equivalence_on_sparse_data": "rows that are repeated are more rows, and other noise",
    }
    if not estimator.fit_intercept or estimator.long_rows == "leave":
        failures["check_class_weight_classifiers"] = "without an intercept, or beside long rows, rows are in two half spaces"
    return failures


@pytest.mark.filterwarnings("ignore::accountant.trainer.cautions.WeightsCutWarning")
@parametrize_with_checks(
    [
        PNSGDClassifier(),
        PNSGDClassifier(assignment="partition", adjacency="zero-out"),
        PNSGDClassifier(loss="smoothed-hinge", long_rows="leave"),
        PNSGDClassifier(assignment="partition", adjacency="replace", dtype="float32", fit_intercept=False),
        PNSGDClassifier(adjacency="replace", dtype="float32", fit_intercept=False),
        PNSGDRegressor(),
        PNSGDRegressor(assignment="partition", adjacency="zero-out"),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    """All of them, but those; two skip themselves without pandas and without SCIPY_ARRAY_API."""
    check(estimator)


def test_pipeline_and_grid_search() -> None:
    pipeline = make_pipeline(Normalizer(), classifier()).fit(X, NAMES)
    assert pipeline[-1].unlearn([3]) is pipeline[-1]
    assert pipeline.score(X, NAMES) > 0.8
    search = GridSearchCV(classifier(sigma=1e-3), {"regularisation": [0.01, 10.0], "learn_epochs": [5]}, cv=3).fit(X, NAMES)
    assert search.best_params_["regularisation"] == 0.01
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


def test_little_noise_gives_the_optimum() -> None:
    ours = classifier(sigma=2e-5, learn_epochs=400, batch_size=None, feature_bound=2.0).fit(X, NAMES)
    # An intercept that is regularised, as ours is.
    theirs = LogisticRegression(C=1 / (0.05 * N), tol=1e-10, fit_intercept=False).fit(np.c_[X, np.ones(N)], NAMES)
    np.testing.assert_allclose(np.r_[ours.coef_[0], ours.intercept_], theirs.coef_[0], atol=2e-4)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(np.c_[X, np.ones(N)]), atol=2e-4)
    linear = regressor(sigma=1e-3, learn_epochs=3000, batch_size=None, feature_bound=2.0, clip=100.0, regularisation=0.01)
    rows = np.c_[X, np.ones(N)]
    exact = np.linalg.solve(rows.T @ rows / N + 0.01 * np.eye(5), rows.T @ REALS / N)
    linear.fit(X, REALS)
    np.testing.assert_allclose(np.r_[linear.coef_, linear.intercept_], exact, atol=1e-2)


def test_three_classes_and_the_hinge() -> None:
    model = classifier(sigma=1e-3, learn_epochs=100).fit(X, THIRDS)
    assert model.coef_.shape == (3, 4)
    assert model.decision_function(X).shape == (N, 3)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.unlearn([0]).score(X, THIRDS) > 0.6
    hinge = classifier(loss="smoothed-hinge", sigma=1e-3).fit(X, NAMES)
    assert hinge.score(X, NAMES) > 0.8
    assert not hasattr(hinge, "predict_proba")


def test_importing_the_trainer_leaves_scikit_learn_alone() -> None:
    code = "import sys, accountant.trainer as t; assert 'sklearn' not in sys.modules; t.PNSGDClassifier; t.PNSGDRegressor"
    subprocess.run([sys.executable, "-c", code], check=True)
    hidden = "import sys; sys.modules['sklearn'] = None\ntry:\n from accountant.trainer import PNSGDClassifier\n"
    hidden += "except Exception as e: print(e)"
    said = subprocess.run([sys.executable, "-c", hidden], check=True, capture_output=True, text=True).stdout
    assert "pip install 'unlearning-accountant[sklearn]'" in said


def test_a_seed_gives_the_same_model_and_none_another() -> None:
    first, second = (classifier().fit(X, NAMES).unlearn([1, 2]) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    state = np.random.get_state()[1].copy()
    a, b = (classifier(random_state=None).fit(X, NAMES) for _ in range(2))
    assert not np.array_equal(a.coef_, b.coef_)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


# Guarantee and steps


CASES = [
    (classifier(), NAMES, Logistic(regularisation=0.05, feature_bound=math.sqrt(2))),
    (classifier(fit_intercept=False, feature_bound=0.5), NAMES, Logistic(regularisation=0.05, feature_bound=0.5)),
    (classifier(adjacency="replace", batches="worst"), NAMES, Logistic(regularisation=0.05, feature_bound=math.sqrt(2))),
    (classifier(loss="smoothed-hinge", radius=3.0), NAMES, SmoothedHinge(regularisation=0.05, feature_bound=math.sqrt(2))),
    (classifier(batch_size=None), THIRDS, Multinomial(regularisation=0.05, feature_bound=math.sqrt(2), classes=3)),
    (classifier(regularisation=0.0, learn_epochs=4), NAMES, Logistic(regularisation=0.0, feature_bound=math.sqrt(2))),
    (regressor(batch_size=50, clip=0.5), REALS, Ridge(regularisation=0.05, feature_bound=math.sqrt(2), clip=0.5)),
]


@pytest.mark.parametrize(("model", "y", "loss"), CASES)
def test_noise_steps_and_guarantee_are_the_accountants(model: Any, y: Any, loss: Any) -> None:
    model = clone(model).fit(X, y)
    accountant = accountant_of(model, loss)
    assert model.delta_ == 1 / N
    assert 1 <= model.sigma_ / accountant.sigma(epsilon=1.0, epochs=1) < 1 + 1e-8
    assert model.planned_steps() == accountant.steps(sigma=model.sigma_, epsilon=1.0)
    per_epoch = accountant.algorithm.steps_per_epoch
    stream = UnlearningStream(accountant, sigma=model.sigma_, epsilon=1.0)
    requests: list[list[int]] = [[7], [8, 9], [10]]
    steps: list[int] = []
    for request in requests:
        try:
            steps.append(stream.request(len(request)))
        except UnreachableError:
            with pytest.raises(UnreachableError, match="fit again"):
                model.unlearn(request)
            break
        model.unlearn(request, max_steps=10**6)
        assert model.steps_run_ == tuple(steps)
        assert model._run.steps == model.learn_epochs * per_epoch + sum(steps)
        assert model.guarantee_.epsilon(model.delta_) <= 1.0
    assert steps[0] <= per_epoch
    followed = stream.fresh().follow(steps, [len(request) for request in requests[: len(steps)]])
    assert model.guarantee_.epsilon(model.delta_) == followed.epsilon[-1]
    assert model.requests_ == tuple(map(tuple, requests[: len(steps)]))
    one = clone(model).fit(X, y).unlearn([7])
    alone = accountant.guarantee(sigma=model.sigma_, steps=steps[0])
    for epsilon in (0.1, 1.0, 3.0):
        assert one.guarantee_.delta(epsilon) == pytest.approx(alone.delta(epsilon), rel=1e-9)
    assert set(alone.assumptions) <= set(one.guarantee_.assumptions)


def test_the_published_bounds_are_available() -> None:
    paper = classifier(bound="paper").fit(X, NAMES)
    assert paper.sigma_ > 2 * classifier().fit(X, NAMES).sigma_
    assert paper.unlearn([1]).guarantee_.kind == "linear"
    assert paper.guarantee_.epsilon(paper.delta_) <= 1.0
    assert any("learning has converged" in line for line in paper.guarantee_.assumptions)


def plain_loop(model: Any, w: Any, rows: Any, y: Any, steps: int, start: int, generator: Any) -> Any:
    """PNSGD of a ridge regression without clipping, a step at a time."""
    algorithm, order, b = model._trainer.algorithm, model._run.orders[0], model.batch_size
    for k in range(start, start + steps):
        batch = order[(k % algorithm.steps_per_epoch) * b :][:b]
        gradient = rows[batch].T @ (rows[batch] @ w - y[batch]) / batch.size + model.regularisation * w
        w = w - algorithm.eta * gradient
        if generator is not None:
            w = w + algorithm.noise_std(model.sigma_) * generator.standard_normal(w.size)
    return w


def test_unlearning_runs_the_planned_steps_on_in_the_same_order() -> None:
    model = regressor(batch_size=25, clip=50.0, epsilon=50.0).fit(X, REALS)
    rows, y, w = np.c_[X, np.ones(N)], REALS.copy(), model._run.parameters[:, 0]
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    rows[:, :4] /= np.maximum(norms, 1.0)
    assert (norms > 1).any()
    for request in ([5], [50, 60], [2]):
        start, generator = model._run.steps, deepcopy(model._run.generators[0])
        rows[request] = 0.0
        w = plain_loop(model, w, rows, y, model.planned_steps(len(request)), start, generator)
        model.unlearn(request)
        np.testing.assert_allclose(np.r_[model.coef_, model.intercept_], w, rtol=0, atol=1e-9)


@pytest.mark.parametrize("batch_size", [25, 40])
def test_the_guarantee_is_no_smaller_than_the_truth_of_gaussians(batch_size: int) -> None:
    """Squares that are not clipped, other targets on the same rows: both laws are Gaussian with one covariance."""
    rows, y = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1.0), np.where(REALS > 0, 1.0, -1.0)
    model = regressor(batch_size=batch_size, clip=3.0, learn_epochs=4, adjacency="replace", batches="worst").fit(rows, y)
    order, algorithm = model._run.orders[0], model._trainer.algorithm
    # The batch visited last is the worst place.
    requests = [[int(order[-1])], order[[30, 60]].tolist(), [int(order[-2])]]
    final = y.copy()
    for request in requests:
        final[request] = -y[request]
    lengths = [4 * algorithm.steps_per_epoch]
    for request in requests:
        model.unlearn(request, rows[request], final[request], max_steps=10**5)
        lengths.append(model.steps_run_[-1])
    full, now, k = np.c_[rows, np.ones(N)], y.copy(), 0
    unlearned, retrained, spread = np.zeros(5), np.zeros(5), np.zeros((5, 5))
    for length, request in zip(lengths, [[], *requests], strict=True):
        now[request] = final[request]
        for _ in range(length):
            unlearned = plain_loop(model, unlearned, full, now, 1, k, None)
            retrained = plain_loop(model, retrained, full, final, 1, k, None)
            batch = order[(k % algorithm.steps_per_epoch) * batch_size :][:batch_size]
            step = np.eye(5) - algorithm.eta * (full[batch].T @ full[batch] / batch.size + 0.05 * np.eye(5))
            spread = step @ spread @ step.T + algorithm.noise_std(model.sigma_) ** 2 * np.eye(5)
            k += 1
    difference = unlearned - retrained
    truth = math.sqrt(difference @ np.linalg.solve(spread, difference))
    assert 0 < truth <= model.guarantee_.mu_worst
    assert gdp_delta(epsilon=1.0, mu=truth) <= model.guarantee_.delta(1.0) <= model.delta_


def test_what_a_removed_row_did_is_contracted_and_its_target_is_gone() -> None:
    """Same noise, another row 5: the models come closer by the contraction at least, and what is kept does not differ."""
    other = X.copy()
    other[5] = -3.0
    models = [regressor(learn_epochs=20, epsilon=0.2).fit(rows, REALS) for rows in (X, other)]
    before = np.linalg.norm(models[0].coef_ - models[1].coef_)
    assert before > 0
    gap = np.linalg.norm(models[0]._run.parameters - models[1]._run.parameters)
    for model in models:
        model.unlearn([5])
        assert not model._run.features[5].any()
        assert model._run.labels[5] == 0
    steps = models[0].steps_run_[0]
    contraction = models[0]._trainer.algorithm.contraction
    assert np.linalg.norm(models[0]._run.parameters - models[1]._run.parameters) <= contraction**steps * gap * (1 + 1e-9)
    np.testing.assert_array_equal(models[0]._run.features, models[1]._run.features)
    np.testing.assert_array_equal(models[0]._run.labels, models[1]._run.labels)


def test_replacement_rows_take_the_places_of_removed_ones() -> None:
    model = classifier(adjacency="replace").fit(X, NAMES)
    assert model.sigma_ == pytest.approx(2 * classifier().fit(X, NAMES).sigma_)
    model.unlearn([5, 6], [[0.0, 0.1, 0, 0], [30.0, 0, 0, 40.0]], ["yes", "no"])
    np.testing.assert_allclose(model._run.features[[5, 6]], [[0, 0.1, 0, 0, 1], [0.6, 0, 0, 0.8, 1]])
    assert "replacement rows do not depend on the deleted ones" in model.guarantee_.assumptions
    zeros = classifier(adjacency="replace").fit(X, NAMES).unlearn([5, 6])
    assert not zeros._run.features[[5, 6]].any()
    assert zeros._run.zeroed[[5, 6]].all()
    assert "replacement rows do not depend on the deleted ones" not in zeros.guarantee_.assumptions
    with pytest.raises(InputError, match="not been removed before"):
        model.unlearn([5])
    with pytest.raises(InputError, match="y must have labels"):
        model.unlearn([7], [[0, 0, 0, 0]], ["maybe"])
    with pytest.raises(InputError, match="row for each"):
        model.unlearn([7, 8], [[0, 0, 0, 0]], ["no"])
    with pytest.raises(InputError, match="given together"):
        model.unlearn([7], [[0, 0, 0, 0]])
    with pytest.raises(InputError, match="zero-out"):
        classifier().fit(X, NAMES).unlearn([7], [[0, 0, 0, 0]], ["no"])


def test_long_rows_are_scaled_each_by_itself_and_in_prediction() -> None:
    long = X * 100
    model = classifier().fit(long, NAMES)
    same = classifier().fit(long / np.linalg.norm(long, axis=1, keepdims=True), NAMES)
    np.testing.assert_allclose(model.coef_, same.coef_, atol=1e-12)
    np.testing.assert_array_equal(model.predict(long), same.predict(long))
    for rows, dtype in ((long, "float32"), (long.astype(np.float32), "float64"), (long, "float64")):
        kept = classifier(dtype=dtype).fit(rows, NAMES)._run.features
        assert 0.9999 * math.sqrt(2) < np.linalg.norm(kept.astype(float), axis=1).max() <= math.sqrt(2)
    huge = classifier().fit(np.sign(X) * 1e300, NAMES)
    assert np.isfinite(huge.coef_).all()
    short = X / 10
    left = classifier(long_rows="leave").fit(short, NAMES)
    np.testing.assert_array_equal(classifier().fit(short, NAMES).coef_, left.coef_)
    assert left.unlearn([1]).guarantee_.epsilon(left.delta_) <= 1.0


def test_assumptions_name_what_the_estimator_adds() -> None:
    lines = classifier().fit(X, NAMES).unlearn([1]).guarantee_.assumptions
    for words in ("scaled down to norm 1", "random_state", "classes were read", "settings", "models released before"):
        assert any(words in line for line in lines), words
    quiet = classifier(random_state=None, classes=["no", "yes"], long_rows="leave", feature_bound=2.0).fit(X, NAMES)
    lines = quiet.unlearn([1]).guarantee_.assumptions
    assert not any(words in line for words in ("scaled", "random_state", "classes were") for line in lines)


# Refusals


def unchanged(model: Any, *arguments: Any, match: str, error: type[Exception] = InputError, **options: Any) -> None:
    before = (model.coef_.copy(), model.requests_, model.steps_run_, model._stream.to_json())
    with pytest.raises(error, match=match):
        model.unlearn(*arguments, **options)
    np.testing.assert_array_equal(model.coef_, before[0])
    assert (model.requests_, model.steps_run_, model._stream.to_json()) == before[1:]


def test_requests_that_cannot_be_answered_change_nothing() -> None:
    model = classifier().fit(X, NAMES).unlearn([4])
    unchanged(model, [4], match="not been removed before, got 4")
    unchanged(model, [5, 4], match="not been removed before, got 4")
    unchanged(model, [5, 5], match="5 2 times")
    unchanged(model, [N], match=f"from 0 to {N - 1}, got {N}")
    unchanged(model, [-1], match="indices must be row numbers")
    for odd in ([], [1.0], "x", np.zeros(N, dtype=bool), [[1], [2]]):
        unchanged(model, odd, match="indices must be row numbers")
    only = np.setdiff1d(np.flatnonzero(NAMES == "yes"), [4])
    unchanged(model, only, match="got the last of 'yes'")
    unchanged(model, [1], match="max_steps = 0", error=UnreachableError, max_steps=0)
    every = regressor(epsilon=700).fit(X, REALS)
    unchanged(every, np.arange(N), match="at least one")


def test_given_classes_may_vanish() -> None:
    model = classifier(classes=["yes", "no", "maybe"], epsilon=700).fit(X, NAMES)
    assert model.classes_.tolist() == ["maybe", "no", "yes"]
    model.unlearn(np.flatnonzero(NAMES == "yes"), max_steps=10**6)
    assert (model.predict(X) != "yes").mean() > 0.5
    with pytest.raises(InputError, match="y must have labels of"):
        classifier(classes=["yes", "maybe"]).fit(X, NAMES)
    with pytest.raises(InputError, match="at least 2 classes"):
        classifier(classes=["yes"]).fit(X, NAMES)


def test_rows_left_too_long_train_but_never_unlearn() -> None:
    model = classifier(long_rows="leave").fit(3 * X, NAMES)
    assert model.score(3 * X, NAMES) > 0.7
    unchanged(model, [1], match="no guarantee holds")
    replaced = classifier(long_rows="leave", adjacency="replace", feature_bound=3.0).fit(X, NAMES)
    unchanged(replaced, [1], [[9.0, 0, 0, 0]], ["no"], match="norm at most feature_bound")


def test_targets_that_cannot_be_reached_are_refused_with_what_would_help() -> None:
    noisy = classifier(regularisation=0.0, learn_epochs=3, sigma=1e-8).fit(X, NAMES)
    unchanged(noisy, [1], match="larger sigma or epsilon", error=UnreachableError)
    far = classifier(sigma=1e-4).fit(X, NAMES)
    unchanged(far, [1], match="more than max_steps = 60: fit again", error=UnreachableError)
    assert far.unlearn([1], max_steps=10**5).steps_run_[0] > 60
    planned = classifier(unlearn_epochs=15).fit(X, NAMES)
    assert 60 < planned.unlearn([1]).steps_run_[0] <= 90
    none = classifier(unlearn_epochs=0).fit(X, NAMES)
    assert none.unlearn([1]).steps_run_ == (0,)
    assert none.guarantee_.epsilon(none.delta_) <= 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": N + 1}, f"batch_size must be a whole number from 1 to {N}"),
        ({"learn_epochs": 0}, "learn_epochs"),
        ({"unlearn_epochs": -1}, "unlearn_epochs"),
        ({"bound": "paper", "unlearn_epochs": 0}, "unlearn_epochs"),
        ({"regularisation": -1.0}, "regularisation"),
        ({"feature_bound": 0.0}, "feature_bound"),
        ({"long_rows": "cut"}, "long_rows must be one of scale, leave"),
        ({"loss": "ridge"}, "loss must be one of logistic, smoothed-hinge"),
        ({"fit_intercept": "yes"}, "fit_intercept"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": [1.0]}, "epsilon"),
        ({"delta": 1.0}, "delta"),
        ({"sigma": 0.0}, "sigma"),
        ({"batches": "reshuffle"}, "batches must be random or worst"),
        ({"adjacency": "add"}, "adjacency"),
        ({"dtype": "float16"}, "dtype"),
        ({"radius": 0.0}, "radius"),
        ({"random_state": -1}, "seed"),
    ],
)
def test_parameters_outside_their_domain(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        classifier(**changes).fit(X, NAMES)


def test_data_that_the_loss_does_not_cover() -> None:
    holes = X.copy()
    holes[3, 1] = np.nan
    for model, y in ((classifier(), NAMES), (regressor(), REALS)):
        with pytest.raises(ValueError, match="NaN"):
            model.fit(holes, y)
    with pytest.raises(ValueError, match="infinity"):
        regressor().fit(X, np.full(N, np.inf))
    with pytest.raises(InputError, match="Only binary classification"):
        classifier(loss="smoothed-hinge").fit(X, THIRDS)
    with pytest.raises(InputError, match="2 classes, got 1"):
        classifier().fit(X, np.ones(N, dtype=int))
    with pytest.raises(InputError, match="batch_size must be a whole number from 1 to 10, got 20"):
        classifier().fit(X[:10], NAMES[:10])


def test_order_of_calls() -> None:
    model = classifier()
    for call in (model.planned_steps, lambda: model.unlearn([1]), lambda: model.predict(X), lambda: model.save("nowhere.npz")):
        with pytest.raises(NotFittedError):
            call()
    model.fit(X, NAMES)
    assert not hasattr(model, "guarantee_")
    with pytest.raises(AttributeError, match="nothing has been unlearned yet"):
        _ = model.guarantee_
    model.unlearn([1]).fit(X, NAMES)
    assert model.requests_ == ()
    assert not hasattr(model, "guarantee_")
    model.set_params(feature_bound=3.0)
    for call in (lambda: model.unlearn([1]), lambda: model.predict(X)):
        with pytest.raises(InputError, match="feature_bound must stay what it was at fit"):
            call()
    with pytest.raises(InputError):
        model.set_params(batch_size=N + 1).fit(X, NAMES)
    with pytest.raises(NotFittedError):
        model.predict(X)


# Files


SAVED = [
    (classifier(), NAMES),
    (classifier(adjacency="replace", dtype="float32", classes=["no", "yes", "maybe"]), NAMES.astype(object)),
    (regressor(random_state=None, batch_size=50), REALS),
    (classifier(bound="paper", batches="worst", long_rows="leave", feature_bound=2.0), THIRDS),
]


@pytest.mark.parametrize(("model", "y"), SAVED)
@pytest.mark.parametrize("requests", [0, 2])
def test_a_saved_model_goes_on_exactly(model: Any, y: Any, requests: int, tmp_path: Path) -> None:
    model = clone(model).fit(X, y)
    for request in ([1, 2], [30])[:requests]:
        model.unlearn(request, max_steps=10**6)
    model.save(tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    assert (tmp_path / "model.npz").stat().st_mode & 0o077 == 0
    loaded = type(model).load(tmp_path / "model.npz")
    assert repr(loaded.get_params()) == repr(model.get_params())
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(loaded.coef_, model.coef_)
    assert loaded.coef_.dtype == model.coef_.dtype
    assert (loaded.requests_, loaded.steps_run_, loaded.sigma_) == (model.requests_, model.steps_run_, model.sigma_)
    replayed = model.random_state is not None
    states = [each._run.generators[0].bit_generator.state for each in (loaded, model)]
    assert (states[0] == states[1]) == replayed
    for name in ("steps", "batch_size", "next_batch", "requests"):
        assert getattr(loaded._run, name) == getattr(model._run, name)
    if hasattr(model, "classes_"):
        assert loaded.classes_.dtype == model.classes_.dtype
    if model.requests_:
        assert loaded.guarantee_ == model.guarantee_
    again = pickle.loads(pickle.dumps(model))
    for each in (loaded, model, again):
        each.unlearn([50, 60, 70], max_steps=10**6)
    assert isinstance(model.guarantee_, Guarantee)
    np.testing.assert_array_equal(loaded._run.features, model._run.features)
    # Without random_state what comes after a copy is noise of its own.
    assert np.array_equal(again.coef_, model.coef_) == replayed
    assert np.array_equal(loaded.coef_, model.coef_) == replayed
    assert loaded.guarantee_ == model.guarantee_


def rewritten(source: Path, target: Path, change: Any) -> Path:
    with np.load(source, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(arrays["header"].tobytes())
    change(header, arrays)
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(target, **arrays)
    return target


def test_other_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    model = classifier().fit(X, NAMES).unlearn([1])
    good = tmp_path / "good.npz"
    model.save(good)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        PNSGDClassifier.load(tmp_path / "missing.npz")
    with pytest.raises(InputError, match="cannot be written: No such file"):
        model.save(tmp_path / "no" / "model.npz")
    with pytest.raises(InputError, match="holds a PNSGDClassifier, not a PNSGDRegressor"):
        PNSGDRegressor.load(good)
    bad = tmp_path / "bad.npz"
    content = good.read_bytes()
    for damage in (b"", b"hello", content[: len(content) // 2], pickle.dumps([1])):
        bad.write_bytes(damage)
        with pytest.raises(InputError, match=r"bad.npz must be a file that save wrote, undamaged \(\w+\)$"):
            PNSGDClassifier.load(bad)
    # Objects would need a pickle.
    np.savez(bad, header=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="undamaged"):
        PNSGDClassifier.load(bad)
    np.save(bad.with_suffix(".npy"), np.zeros(3))
    with pytest.raises(InputError, match="undamaged"):
        PNSGDClassifier.load(bad.with_suffix(".npy"))

    def set_header(name: str, value: Any) -> Any:
        return lambda header, arrays: header.__setitem__(name, value)

    def set_array(name: str, value: Any) -> Any:
        return lambda header, arrays: arrays.__setitem__(name, value(arrays[name]))

    changes = [
        set_header("format", 4),
        set_header("params", {"epsilon": 1.0, "colour": "red"}),
        set_header("params", {**model.get_params(), "epsilon": 2.0}),
        set_header("params", {**model.get_params(), "learn_epochs": 11}),
        set_header("generator", {}),
        set_header("sigma", 2 * model.sigma_),
        set_header("sigma", None),
        set_header("n_features", "4x"),
        set_header("stream", "{}"),
        set_header("requests", [[1, 2]]),
        set_header("requests", [[1, 1]]),
        set_header("requests", []),
        set_header("steps", [0]),
        set_header("guarantee", None),
        set_header("n_features", 7),
        set_header("history", {}),
        set_header("history", {"fit": "a", "generation": -1, "states": ["b"]}),
        set_header("history", {"fit": "a", "generation": 1, "states": []}),
        set_header("row_labels", {"kind": "own", "texts": ["a"]}),
        set_header("row_labels", {"kind": "odd", "texts": None}),
        set_header("classes", {"values": ["a"], "dtype": "<U1"}),
        set_header("classes", None),
        set_array("parameters", lambda w: w[:-1]),
        set_array("parameters", lambda w: w * np.nan),
        set_array("parameters", lambda w: w.astype(np.float32)),
        set_array("order", lambda order: np.zeros_like(order)),
        set_array("features", lambda x: x[:-1]),
        set_array("features", lambda x: x * 9),
        set_array("features", lambda x: x + 1e-9),
        set_array("labels", lambda y: y * 3),
        set_array("zeroed", lambda zeroed: ~zeroed),
    ]
    for change in changes:
        with pytest.raises(InputError, match=r"^path \S+bad.npz (cannot be loaded: |must be a file that save wrote)"):
            PNSGDClassifier.load(rewritten(good, bad, change))
    assert PNSGDClassifier.load(rewritten(good, bad, lambda header, arrays: None)).guarantee_ == model.guarantee_
    assert zipfile.is_zipfile(good)


def test_digits() -> None:
    digits, shares = load_digits(), []
    for seed in range(4):
        model = PNSGDClassifier(fit_intercept=False, random_state=seed).fit(digits.features, digits.labels)
        for row in range(5):
            model.unlearn([row])
        shares.append(model.score(digits.test_features, digits.test_labels))
        assert model.guarantee_.epsilon(model.delta_) <= 1.0
    assert np.mean(shares) > 0.75
    assert sum(model.steps_run_) <= 5 / 40 * model._run.learned


def test_streams_plan_what_they_then_do() -> None:
    """The curve's epsilon is that of follow: groups, balls, short batches and all bounds included."""
    for batch_size, learn_epochs, bound, radius in [
        (60, None, "optimal", None),
        (7, 5, "optimal", 2.0),
        (6, 5, "optimal", 0.05),
        (7, None, "paper", 2.0),
        (6, 5, "paper-geometric", None),
    ]:
        problem = Problem(n=60, smoothness=1.0, strong_convexity=0.2)
        algorithm = PNSGD(problem, batch_size, learn_epochs=learn_epochs, radius=radius)
        for batches in ("random", "worst"):
            accountant = UnlearningAccountant(algorithm, bound=bound, batches=batches)
            stream = UnlearningStream(accountant, sigma=accountant.sigma(epsilon=1.0, epochs=1), epsilon=1.0)
            fresh, counts, found = stream.fresh(), [], []
            sizes = [1, 1, 3, 1, 12]
            for size in sizes:
                before = stream.to_json()
                steps, guarantee = stream.planned(size)
                assert stream.to_json() == before
                assert stream.request(size) == steps
                counts.append(steps)
                found.append(guarantee.epsilon(stream.delta))
                assert found[-1] <= 1.0
            assert found == pytest.approx(fresh.follow(counts, sizes).epsilon.tolist(), rel=1e-13)
            assert guarantee.context["points"] == 18
            assert guarantee.context["steps"] == stream.total_steps
            assert Guarantee.from_json(guarantee.to_json()) == guarantee
            assert "earlier requests" in guarantee.assumptions[-1]
