"""Estimators with classes of norm: clipped by class, as many steps as the class asks for, end to end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

from accountant import PNSGD, InputError, UnlearningAccountant, UnlearningStream
from accountant.numerics import Floats
from accountant.trainer import Loss, PNSGDClassifier, PNSGDRegressor, Ridge, audit_estimator
from accountant.trainer.norm_classes import NormClasses
from accountant.trainer.points import gradient

CLASSES = (1, 0.5, 0.25)
#: Rows of norm 0.2, 0.4 and 0.9, one after the other.
LENGTHS = (0.2, 0.4, 0.9)


def rows(n: int = 600, d: int = 5) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, d))
    x *= np.resize(LENGTHS, n)[:, None] / np.linalg.norm(x, axis=1, keepdims=True)
    return x, x[:, 0] + 0.1 * rng.normal(size=n)


def fitted(kind: type[Any] = PNSGDClassifier, *, classes: Any = CLASSES, **more: Any) -> Any:
    x, y = rows()
    model = kind(**{"delta": 1e-3, "requests": 20, "random_state": 0, "classes_of_norm": classes, **more})
    return model.fit(x, y > 0 if kind is PNSGDClassifier else y)


def by_hand(model: Any) -> UnlearningStream:
    """The stream of the algorithm that was fitted, which is asked about shares r/M of this file's own."""
    stream = model._stream
    return UnlearningStream(stream.accountant, sigma=model.sigma_, epsilon=stream.epsilon, delta=stream.delta)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"fit_intercept": False},
    {"feature_bound": 2.0},
    {"adjacency": "replace"},
    {"assignment": "partition", "adjacency": "replace"},
    {"assignment": "partition", "adjacency": "zero-out", "fit_intercept": False, "batch_size": 50},
    {"radius": 3.0},
    {"dtype": "float32"},
]


@pytest.mark.parametrize("kind", [PNSGDClassifier, PNSGDRegressor])
@pytest.mark.parametrize("more", SETTINGS)
def test_each_request_runs_the_steps_of_its_largest_class(kind: type[Any], more: dict[str, Any]) -> None:
    model = fitted(kind, **more)
    stream, bound = by_hand(model), more.get("feature_bound", 1.0)
    one = 0.0 if more.get("fit_intercept") is False else 1.0
    for asked in ([0], [1], [2], [3, 6], [9, 4], [5, 8]):
        length = max(LENGTHS[row % 3] for row in asked)
        share = min(each for each in CLASSES if each * bound >= length)
        assert model.norm_class(asked) == share
        # With an intercept every row has a feature 1 besides.
        ratio = math.hypot(share * bound, one) / math.hypot(bound, one)
        steps = stream.request(len(asked), norm_class=ratio)
        assert model.planned_steps(len(asked), norm_class=share) == steps
        model.unlearn(asked)
        assert model.steps_run_[-1] == steps
        assert model.classes_run_[-1] == share
        assert model.guarantee_.epsilon(model.delta_) <= 1.0
    lines = model.guarantee_.assumptions
    assert any(line.startswith("classes of norm are 1, 0.5, 0.25 of feature_bound, set without") for line in lines)
    assert any("disclose" in line for line in lines)


def test_short_rows_take_fewer_steps() -> None:
    model = fitted(fit_intercept=False)
    steps = [model.planned_steps(1, norm_class=share) for share in CLASSES]
    assert steps[0] > 1.5 * steps[1] > 1.5 * steps[2]
    assert steps[0] == fitted(fit_intercept=False, classes=None).planned_steps()


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("kind", [PNSGDClassifier, PNSGDRegressor])
def test_no_gradient_of_a_class_is_longer_than_it(kind: type[Any], intercept: bool) -> None:
    """Wherever the model is: those of squares, which have no bound, are clipped there, and reach it."""
    model, (x, _) = fitted(kind, fit_intercept=intercept), rows()
    loss, longest, rng = model._loss, dict.fromkeys(CLASSES, 0.0), np.random.default_rng(3)
    one = 1.0 if intercept else 0.0
    # 600 rows, and some at the thresholds themselves.
    x = np.concatenate([x[:60], *(np.eye(5) * share * (1 - 1e-12) for share in CLASSES)])
    for row in x:
        share = min(each for each in CLASSES if each >= np.linalg.norm(row))
        features = np.append(row, 1.0)[None] if intercept else row[None]
        for scale in (0.1, 10.0, 1e4):
            w = rng.normal(size=(features.shape[1], 1)) * scale
            whole = gradient(loss, w, features, [1.0]) - loss.regularisation * w
            longest[share] = max(longest[share], float(np.linalg.norm(whole)))
    for share, found in longest.items():
        most = loss.lipschitz * math.hypot(share, one) / math.hypot(1.0, one)
        assert 0.9 * most < found <= most * (1 + 1e-9)


@pytest.mark.parametrize("intercept", [True, False])
def test_a_threshold_is_the_last_norm_of_its_class(intercept: bool) -> None:
    classes = NormClasses.of((1, 0.5), feature_bound=2.0, intercept=intercept)
    for length, norm_class in ((0.0, 0.5), (1.0, 0.5), (1.0 + 1e-9, 1.0), (2.0, 1.0), (2.0 + 1e-9, 1.0)):
        assert classes.largest(np.array([math.hypot(length, 1.0) if intercept else length])) == norm_class


def test_no_rounding_of_a_norm_counts_a_row_below_the_class_that_it_is_clipped_at() -> None:
    """Sums of squares in another order differ by a few roundings; next to a threshold that must not double a gradient."""
    classes, rng = NormClasses.of((1, 0.5, 0.1), feature_bound=3.0, intercept=False), np.random.default_rng(0)
    loss = Ridge(regularisation=0.1, feature_bound=3.0, clip=1.0, thresholds=classes.thresholds)
    norms = np.array(classes.thresholds)[rng.integers(0, 3, 4000)] * (1 + rng.uniform(-1, 2, 4000) * 1e-14)
    longest = np.asarray(loss.limits(norms)) * norms
    for norm, reached in zip(norms * (1 + rng.uniform(-1, 1, 4000) * 3e-15), longest, strict=True):
        counted = classes.gradient_share(classes.largest(np.array([norm])))
        assert reached <= counted * (1 + 1e-13)


@pytest.mark.parametrize("sparse", [False, True])
def test_learning_clips_every_row_at_its_class(sparse: bool) -> None:
    """One full step from zero on targets far beyond every clip: -eta times the mean of x C r/(M ||x||), by hand."""
    x, _ = rows()
    y = np.full(600, 1e6)
    settings: dict[str, Any] = {
        "assignment": "partition", "adjacency": "zero-out", "batch_size": None, "learn_epochs": 1, "sigma": 1e-7,
        "regularisation": 0.5, "fit_intercept": False, "clip": 2.0, "delta": 1e-3, "random_state": 0,
    }  # fmt: skip
    for classes, share in ((CLASSES, np.resize([0.25, 0.5, 1.0], 600)), (None, np.ones(600))):
        model = PNSGDRegressor(classes_of_norm=classes, **settings).fit(csr_array(x) if sparse else x, y)
        mean = (2.0 * share[:, None] * x / np.linalg.norm(x, axis=1, keepdims=True)).mean(axis=0)
        np.testing.assert_allclose(model.coef_, model.step_size_ * mean, atol=1e-5)


def test_a_row_that_takes_a_place_is_of_its_class() -> None:
    for more in ({}, {"assignment": "partition"}):
        model = fitted(adjacency="replace", **more)
        before = model.coef_.copy()
        with pytest.raises(InputError, match=r"X must have rows of the class of norm .*0\.25 of feature_bound .*class 1"):
            model.unlearn([0], X=[[0.9, 0, 0, 0, 0]], y=[True])
        assert model.requests_ == ()
        assert (model.coef_ == before).all()
        model.unlearn([0], X=[[0.2, 0, 0, 0, 0]], y=[True])
        assert model.classes_run_ == (0.25,)
        # With a longer row that leaves, it may be longer.
        model.unlearn([2, 3], X=[[0.9, 0, 0, 0, 0], [0.1, 0, 0, 0, 0]], y=[True, False])
        assert model.classes_run_ == (0.25, 1.0)


def test_classes_are_of_the_rows_that_are_learned_from() -> None:
    """Long rows are scaled down first, ranges centre them, and neither looks at other rows."""
    x, y = rows()
    ranged = PNSGDClassifier(classes_of_norm=CLASSES, feature_range=(-1, 1), delta=1e-3, random_state=0)
    long = PNSGDClassifier(classes_of_norm=CLASSES, feature_bound=0.3, delta=1e-3, random_state=0)
    with pytest.warns(UserWarning, match="scaled"):
        long.fit(x, y > 0)
    assert [long.norm_class([row]) for row in range(3)] == [1.0, 1.0, 1.0]
    ranged.fit(x, y > 0)
    # Of five features a range is multiplied by sqrt(3/5).
    assert [ranged.norm_class([row]) for row in range(3)] == [0.25, 0.5, 1.0]
    assert ranged.fit(x[::-3] * 1.0, y[::-3] > 0).norm_class([0]) == 1.0


def test_rows_that_join_have_classes_of_their_own() -> None:
    model = fitted(largest_n=700)
    model.learn_more([[0.1, 0, 0, 0, 0], [0.45, 0, 0, 0, 0]], [True, False], ids=["short", "middle"], epochs=0)
    assert model.norm_class(ids=["short"]) == 0.25
    assert model.unlearn(ids=["short", "middle"]).classes_run_ == (0.5,)
    again = model.refit([7])
    assert again.classes_run_ == ()
    assert again.norm_class([0]) == 0.25


def test_files_and_clones_keep_classes(tmp_path: Any) -> None:
    model = fitted().unlearn([0]).unlearn([1, 2])
    path = tmp_path / "model.npz"
    model.save(path)
    again = PNSGDClassifier.load(path)
    assert again.classes_run_ == (0.25, 1.0)
    assert again.classes_of_norm == CLASSES
    assert again.unlearn([3]).steps_run_ == model.unlearn([3]).steps_run_
    assert clone(model).classes_of_norm == CLASSES
    other = fitted().unlearn([0])
    other.classes_run_ = (0.5,)
    other.save(path)
    with pytest.raises(InputError, match="classes of norm are not those of its requests"):
        PNSGDClassifier.load(path)


def test_a_stream_that_counted_classes_is_of_no_model_without_them(tmp_path: Any) -> None:
    model = fitted(classes=None).unlearn([0])
    model._stream.state.classes = ((0.25, 1),)
    model.save(tmp_path / "model.npz")
    with pytest.raises(InputError, match="classes of norm are not those of its requests"):
        PNSGDClassifier.load(tmp_path / "model.npz")


def test_classes_that_can_be_read_once_only_are_refused() -> None:
    with pytest.raises(InputError, match="classes_of_norm must be shares of feature_bound"):
        fitted(classes=(share for share in CLASSES))


def test_without_classes_nothing_changes() -> None:
    model = fitted(classes=None).unlearn([0])
    assert model.norm_class([1]) == 1.0
    assert model.classes_run_ == (1.0,)
    assert not any("class" in line and "norm" in line for line in model.guarantee_.assumptions)
    assert fitted(classes=(1,)).unlearn([0]).steps_run_ == model.steps_run_
    with pytest.raises(InputError, match="norm_class must be 1 without classes_of_norm"):
        model.planned_steps(1, norm_class=0.5)


def test_certificates_are_of_the_largest_class_only(tmp_path: Any) -> None:
    pytest.importorskip("flint")
    model = fitted().unlearn([2])
    model.certify(tmp_path / "proof.json")
    with pytest.raises(InputError, match=r"classes_of_norm\) must be left out for a certificate"):
        model.unlearn([0]).certify(tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()


BAD = [
    "0.5",
    0.5,
    (),
    (0.5,),
    (1, 1),
    (1, 0),
    (1, 2),
    (1, -0.5),
    (1, float("nan")),
    (1, "a"),
    (1, True),
    np.linspace(0.001, 1, 200),
]


@pytest.mark.parametrize("classes", BAD, ids=str)
def test_classes_that_are_none_are_refused(classes: Any) -> None:
    with pytest.raises(InputError, match="classes_of_norm"):
        fitted(classes=classes)


def test_classes_are_fixed_before_training_and_need_the_optimal_bound() -> None:
    with pytest.raises(InputError, match="classes_of_norm need bound=optimal"):
        fitted(bound="paper", assignment="partition", adjacency="replace")
    model = fitted()
    model.classes_of_norm = (1, 0.1)
    with pytest.raises(InputError, match="classes_of_norm must stay what it was at fit"):
        model.unlearn([0])
    model.classes_of_norm = CLASSES
    with pytest.raises(InputError, match=r"norm_class must be one of classes_of_norm = 1, 0.5, 0.25, got 0\.3"):
        model.planned_request(1, norm_class=0.3)


def test_noise_is_that_of_the_longest_rows() -> None:
    """Which rows leave is not known when the noise is calibrated: every class fits into it."""
    with_classes, without = fitted(), fitted(classes=None)
    assert with_classes.sigma_ == without.sigma_
    algorithm: PNSGD = with_classes._stream.accountant.algorithm
    assert algorithm.norm_class == 1
    assert UnlearningAccountant(algorithm).default_delta == 1 / 600


@pytest.mark.slow
def test_the_audit_refutes_short_rows_that_are_not_clipped_at_their_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short row of squares with a target far away has a gradient as long as its clip: the class's, or else that of all."""
    settings: dict[str, Any] = {
        "batch_size": 4, "regularisation": 0.3, "learn_epochs": 10, "fit_intercept": False, "assignment": "partition",
        "adjacency": "zero-out", "sigma": 0.04, "classes_of_norm": (1, 0.25), "epsilon": 0.6, "delta": 0.05,
    }  # fmt: skip
    x, y = np.eye(4).repeat(3, axis=0), np.full(12, 99.0)
    x[11] *= 0.2
    found = audit_estimator(PNSGDRegressor(**settings), x, y, [11], trials=600, seed=0)
    assert not found.violated
    assert found.steps < PNSGDRegressor(**settings).fit(x, y).planned_steps()
    monkeypatch.setattr(Ridge, "limits", Loss.limits)
    assert audit_estimator(PNSGDRegressor(**settings), x, y, [11], trials=600, seed=0).violated
