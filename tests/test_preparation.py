"""Public ranges: what a row becomes follows from it alone, and models say what they did; warnings where lengths are lost."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.preprocessing import Normalizer

from accountant import InputError
from accountant.trainer import PNSGDClassifier, PNSGDRegressor, RescaledRowsWarning
from accountant.trainer.preparation import Preparation

RNG = np.random.default_rng(7)
N, D = 150, 5
LOW, HIGH = np.array([0.0, -1.0, 100.0, 0.0, -3.0]), np.array([1.0, 1.0, 900.0, 0.01, 5.0])
X = RNG.uniform(LOW, HIGH, (N, D))
Y = np.where((X - (LOW + HIGH) / 2) / (HIGH - LOW) @ np.array([1.0, -1.0, 0.5, 0.2, 0.0]) > 0, 1, 0)
SETTINGS: dict[str, Any] = {"requests": 5, "random_state": 0, "feature_range": (LOW, HIGH)}


def by_hand(x: Any, bound: float = 1.0) -> Any:
    """One row: centred, scaled, cut off, of norm about the bound if uniform, and shortened to it."""
    v = np.clip((x - (LOW + HIGH) / 2) / ((HIGH - LOW) / 2), -1, 1) * bound * min(1, np.sqrt(3 / x.size))
    return v / max(np.linalg.norm(v) / bound, 1)


@pytest.mark.parametrize("bound", [1.0, 4.0])
def test_every_row_is_prepared_by_itself_as_the_page_says(bound: float) -> None:
    about: dict[str, Any] = {"feature_bound": bound, "long_rows": "scale", "intercept": True, "columns": D}
    ready, rows = Preparation.of(feature_range=(LOW, HIGH), **about), np.r_[X, 3 * X, -X]
    found = ready.rows(rows, np.dtype(np.float64))
    np.testing.assert_allclose(found, [[*by_hand(x, bound), 1.0] for x in rows], atol=1e-9 * bound)
    assert (np.linalg.norm(found[:, :-1], axis=1) <= bound).all()
    # Neither what else is there nor the order matters, to the last bit.
    alone = np.concatenate([ready.rows(rows[k : k + 1], np.dtype(np.float64)) for k in range(len(rows))])
    np.testing.assert_array_equal(found, alone)
    single = ready.rows(rows.astype(np.float32), np.dtype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, found, atol=1e-5 * bound)
    assert (np.linalg.norm(single[:, :-1].astype(float), axis=1) <= bound).all()


def test_learning_joining_replacing_and_predicting_all_prepare() -> None:
    model = PNSGDClassifier(**SETTINGS, adjacency="replace").fit(X, Y)
    np.testing.assert_allclose(model._run.features[:, :-1], [by_hand(x) for x in X], atol=1e-9)
    model.unlearn([3], X[:1] * 2, Y[:1]).learn_more(X[:2] * 3, Y[:2])
    np.testing.assert_allclose(
        model._run.features[-3:, :-1], [by_hand(X[0] * 2), by_hand(X[0] * 3), by_hand(X[1] * 3)], atol=1e-9
    )
    weights = model._run.parameters[:, 0]
    wanted = [by_hand(x) @ weights[:-1] + weights[-1] for x in 5 * X]
    np.testing.assert_allclose(model.decision_function(5 * X), wanted, rtol=1e-6)
    line = (
        "every row is centred, scaled and cut off by feature_range, which was set without looking at the rows, then scaled down"
    )
    assert any(line in assumption for assumption in model.guarantee_.assumptions)


def test_coefficients_are_in_the_units_of_the_rows_that_keep_their_lengths() -> None:
    inner = (LOW + HIGH) / 2 + (X - (LOW + HIGH) / 2) / 3
    for model, y in ((PNSGDClassifier(**SETTINGS), Y), (PNSGDClassifier(**SETTINGS, fit_intercept=False), np.arange(N) % 3)):
        model.fit(X, y)
        wanted = inner @ model.coef_.T + model.intercept_
        np.testing.assert_allclose(model.decision_function(inner), wanted[:, 0] if wanted.shape[1] == 1 else wanted, rtol=1e-6)
    regressor = PNSGDRegressor(**SETTINGS).fit(X, X[:, 1])
    np.testing.assert_allclose(regressor.predict(inner), inner @ regressor.coef_ + regressor.intercept_, rtol=1e-6)


def test_units_of_the_features_do_not_matter() -> None:
    model, scaled = PNSGDClassifier(**SETTINGS).fit(X, Y), PNSGDClassifier(**SETTINGS)
    scaled.set_params(feature_range=(LOW * 1024 + 8, HIGH * 1024 + 8)).fit(X * 1024 + 8, Y)
    np.testing.assert_allclose(scaled.decision_function(X * 1024 + 8), model.decision_function(X), rtol=1e-6)
    assert model.score(X, Y) > 0.8


def test_ranges_go_through_copies_and_files(tmp_path: Path) -> None:
    for given in ((LOW, HIGH), (-5.0, 1000.0), (LOW.tolist(), 1000)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RescaledRowsWarning)
            model = PNSGDClassifier(**(SETTINGS | {"feature_range": given})).fit(X, Y)
        model.save(tmp_path / "model.npz")
        loaded = PNSGDClassifier.load(tmp_path / "model.npz")
        for again in (loaded, pickle.loads(pickle.dumps(model))):
            np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
            np.testing.assert_array_equal(again.coef_, model.coef_)
            assert again.unlearn([1]).requests_ == ((1,),)
        low, high = clone(loaded).feature_range
        np.testing.assert_array_equal(low, given[0])
        np.testing.assert_array_equal(high, given[1])


def test_ranges_must_stay_what_they_were_at_fit() -> None:
    low = np.zeros(2000)
    high = np.ones(2000)
    model = PNSGDClassifier(feature_range=(low, high), sigma=1.0).fit(RNG.uniform(0, 1, (20, 2000)), np.arange(20) % 2)
    # In the middle, which a repr leaves out.
    model.set_params(feature_range=(low, np.where(np.arange(2000) == 1000, 2.0, 1.0)))
    with pytest.raises(InputError, match="feature_range must stay what it was at fit"):
        model.unlearn([1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((1.0, 1.0), "finite low < high, at least 1e-200 apart and not infinitely far, got 1 and 1 of feature 0"),
        ((0.0, 5e-324), "at least 1e-200 apart"),
        ((0.0, 1e-310), "got 0 and 1e-310 of feature 0"),
        ((LOW, np.where(np.arange(D) == 2, -1.0, HIGH)), "got 100 and -1 of feature 2"),
        ((0.0, np.inf), "got 0 and inf"),
        ((np.nan, 1.0), "got nan and 1"),
        ((-1e308, 1e308), "finite low < high"),
        ((LOW[:-1], HIGH[:-1]), r"arrays of shape \(5,\), got shape \(4,\)"),
        (((LOW, LOW), HIGH), r"got shape \(2, 5\)"),
        (3.0, "feature_range must be .low, high., two numbers or arrays of one for each feature, got 3.0"),
        ((1.0, 2.0, 3.0), "feature_range must be .low, high."),
        ("ab", "feature_range must be .low, high."),
        (("a", "b"), "feature_range must be .low, high."),
    ],
)
def test_what_is_no_range_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PNSGDClassifier(**(SETTINGS | {"feature_range": given})).fit(X, Y)


def test_rows_that_lose_their_lengths_are_spoken_of() -> None:
    """More than one in twenty; by what factor, and what to do. Rows of Normalizer, and few long ones, lose nothing."""
    plain: dict[str, Any] = {"sigma": 0.1, "learn_epochs": 2, "batch_size": 50, "regularisation": 0.1}
    unit = Normalizer().fit_transform(X)
    for factors, warned in ((np.where(np.arange(N) < 7, 40.0, 0.5), False), (np.where(np.arange(N) < 8, 40.0, 0.5), True)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            PNSGDClassifier(**plain).fit(unit * factors[:, None], Y)
        words = [str(warning.message) for warning in caught if warning.category is RescaledRowsWarning]
        assert bool(words) == warned
    assert words[0].startswith(
        "8 of 150 rows (5%) are longer than feature_bound = 1 and are scaled down to it, by a factor of 40 at"
    )
    assert "feature_range=(low, high)" in words[0]
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (unit, unit.astype(np.float32), unit / 2):
            PNSGDClassifier(**plain).fit(rows, Y)
        # What is to be left is not scaled, and unlearning is refused anyway.
        PNSGDClassifier(**plain, long_rows="leave").fit(unit * 40, Y)
        # Ranges are there to scale; only values beyond them are spoken of.
        PNSGDClassifier(**plain, feature_range=(LOW, HIGH)).fit(X, Y)
    beyond = X.copy()
    beyond[:8, 2] = 901
    with pytest.warns(RescaledRowsWarning, match="8 of 150 rows .5%. have values beyond feature_range, which are cut off"):
        PNSGDClassifier(**plain, feature_range=(LOW, HIGH)).fit(beyond, Y)
