"""What follows from public numbers, what requests cost, and learning again on the rows that are left."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.datasets import load_digits as load_all_digits
from sklearn.linear_model import LogisticRegression

from accountant import PNSGD, InputError, UnlearningAccountant, UnlearningStream, UnreachableError
from accountant.requests import choose_setting
from accountant.trainer import Cost, PNSGDClassifier, PNSGDRegressor
from accountant.trainer.losses import Logistic

RNG = np.random.default_rng(11)
N = 200
X = RNG.uniform(-0.5, 0.5, (N, 4))
Y = np.where(X[:, 0] + 0.1 * RNG.standard_normal(N) > 0, "yes", "no")
SETTINGS: dict[str, Any] = {"requests": 20, "random_state": 0}
QUICK: dict[str, Any] = {"batch_size": 40, "learn_epochs": 5, "regularisation": 0.1, "sigma": 0.2, "random_state": 0}
CHOSEN = ("batch_size_", "regularisation_", "learn_epochs_", "step_size_", "sigma_")
PARTITION: dict[str, Any] = {"assignment": "partition", "adjacency": "zero-out"}


def chosen(model: Any) -> tuple[Any, ...]:
    return tuple(getattr(model, name) for name in CHOSEN)


# What follows


@pytest.mark.parametrize(
    "changes", [{}, {"adjacency": "replace"}, PARTITION, PARTITION | {"adjacency": "replace"}, {"fit_intercept": False}]
)
def test_what_says_auto_is_what_the_accountant_chooses(changes: dict[str, Any]) -> None:
    model = PNSGDClassifier(**SETTINGS, **changes).fit(X, Y)
    intercept = bool(model.fit_intercept)
    setting = choose_setting(
        loss=Logistic(regularisation=0.0, feature_bound=np.hypot(1.0, intercept)),
        n=N,
        epsilon=1.0,
        requests=20,
        adjacency=model.adjacency,
        assignment=model.assignment,
        rounding="float64",
        dimension=4 + intercept,
    )
    assert chosen(model) == (
        setting.batch_size, setting.regularisation, setting.learn_epochs, setting.step_size, setting.sigma,
    )  # fmt: skip
    for row in range(20):
        model.unlearn([row])
    assert sum(model.steps_run_) <= 20 / 40 * model._run.learned * 1.01
    assert model.guarantee_.epsilon(model.delta_) <= 1.0


def test_nothing_follows_from_rows_or_labels() -> None:
    others = [(X[::-1] * 0.01, Y), (X, Y[::-1]), (np.zeros_like(X), Y), (X, np.where(np.arange(N) == 0, "yes", "no"))]
    settings = [chosen(PNSGDClassifier(**SETTINGS).fit(rows, labels)) for rows, labels in [(X, Y), *others]]
    assert len(set(settings)) == 1


def test_what_is_given_stays() -> None:
    model = PNSGDClassifier(**SETTINGS, batch_size=50, regularisation=0.03, learn_epochs=60).fit(X, Y)
    assert chosen(model)[:3] == (50, 0.03, 60)
    assert PNSGDClassifier(**SETTINGS, step_size=0.5).fit(X, Y).step_size_ == 0.5
    assert PNSGDClassifier(**QUICK, step_size=0.5).fit(X, Y).step_size_ == 0.5
    assert PNSGDClassifier(**QUICK).fit(X, Y).step_size_ == pytest.approx(1 / (2 / 4 + 0.1))
    assert PNSGDClassifier(**SETTINGS, batch_size=None).fit(X, Y).batch_size_ == N
    given = PNSGDClassifier(**(SETTINGS | {"sigma": 0.3})).fit(X, Y)
    assert given.sigma_ == 0.3
    # And all that follows can be given.
    auto = PNSGDClassifier(**SETTINGS).fit(X, Y)
    again = PNSGDClassifier(**{name[:-1]: getattr(auto, name) for name in CHOSEN}, random_state=0).fit(X, Y)
    assert chosen(again) == chosen(auto)
    np.testing.assert_array_equal(again.coef_, auto.coef_)
    assert chosen(given)[:4] == chosen(PNSGDClassifier(**SETTINGS).fit(X, Y))[:4]


def test_unlearn_epochs_are_enough_for_one_row_and_then_requests_do_not_matter() -> None:
    words: dict[str, Any] = {"batch_size": 40, "regularisation": 0.05, "learn_epochs": 20, "unlearn_epochs": 2}
    one, other = (PNSGDClassifier(**words, requests=count).fit(X, Y) for count in (1, 90))
    problem = Logistic(regularisation=0.05, feature_bound=2**0.5).problem(N, adjacency="remove")
    about: dict[str, Any] = {"learn_epochs": 20, "assignment": "secret", "redraw": False, "rounding": "float64", "dimension": 5}
    accountant = UnlearningAccountant(PNSGD(problem, 40, **about))
    assert one.sigma_ == other.sigma_ == pytest.approx(accountant.sigma(epsilon=1.0, epochs=2), rel=1e-8)
    assert one.planned_steps() <= 2 * 5


def test_a_short_learning_has_requests_of_an_epoch() -> None:
    model = PNSGDClassifier(**SETTINGS, batch_size=40, regularisation=0.05, learn_epochs=10).fit(X, Y)
    for row in range(20):
        model.unlearn([row])
    assert 0.8 * 20 * 5 <= sum(model.steps_run_) <= 20 * 5


@pytest.mark.parametrize("bound", ["paper", "paper-geometric"])
def test_published_bounds_are_calibrated_for_one_epoch(bound: str) -> None:
    model = PNSGDClassifier(bound=bound, **PARTITION).fit(X, Y)
    assert model.planned_steps() <= model._trainer.algorithm.steps_per_epoch
    assert model.unlearn([3]).guarantee_.epsilon(model.delta_) <= 1.0


def test_the_refused_cases_of_before_work_with_defaults() -> None:
    """Breast cancer, digits and diabetes: the second request of one row was refused. Ranges are public ones of the units."""
    cancer, digits, diabetes = load_breast_cancer(), load_all_digits(), load_diabetes()
    for model, X_, y in (
        (PNSGDClassifier(feature_range=(0, 1)), cancer.data / cancer.data.max(axis=0), cancer.target),
        (PNSGDClassifier(feature_range=(0, 16)), digits.data, digits.target),
        (PNSGDRegressor(feature_range=(-0.2, 0.2)), diabetes.data, diabetes.target / 150 - 1),
    ):
        model.fit(X_, y)
        for row in range(3):
            model.unlearn([row])
        assert sum(model.steps_run_) <= 3 / 40 * model._run.learned * 1.01
        assert model.guarantee_.epsilon(model.delta_) <= 1.0


def test_what_follows_goes_through_copies_and_files(tmp_path: Path) -> None:
    model = PNSGDClassifier(**SETTINGS).fit(X, Y).unlearn([1])
    assert model.get_params()["batch_size"] == "auto"
    model.save(tmp_path / "model.npz")
    for again in (PNSGDClassifier.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        assert chosen(again) == chosen(model)
        assert again.get_params() == model.get_params() == clone(again).get_params()
        assert str(again.cost_) == str(model.cost_)
        assert again.unlearn([2]).guarantee_.epsilon(again.delta_) <= 1.0


def test_files_without_what_follows_are_read(tmp_path: Path) -> None:
    """As earlier versions wrote them: no new parameters, and nothing that was chosen."""
    model = PNSGDClassifier(**(QUICK | {"sigma": None, "unlearn_epochs": 1})).fit(X, Y).unlearn([1])
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(arrays["header"].tobytes())
    del header["fitted"]
    for name in ("requests", "feature_range", "class_weight", "weight_bound"):
        del header["params"][name]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(tmp_path / "old.npz", **arrays)
    old = PNSGDClassifier.load(tmp_path / "old.npz")
    assert chosen(old) == chosen(model)
    assert old.get_params() == model.get_params()
    assert old.cost_.seconds is None
    assert "fit)" in str(old.cost_)
    np.testing.assert_array_equal(old.unlearn([2]).coef_, model.unlearn([2]).coef_)
    assert old.refit([3]).unlearn([4]).requests_ == ((4,),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"requests": 0}, "requests must be a whole number"),
        ({"requests": 2.5}, "requests must be a whole number"),
        ({"requests": "auto"}, "requests must be"),
        ({"batch_size": "large"}, "batch_size must be auto or a number or None, got 'large'"),
        ({"batch_size": "full"}, "batch_size must be auto or a number or None, got 'full'"),
        ({"batch_size": N + 1}, f"batch_size must be a whole number from 1 to {N}"),
        ({"regularisation": "small"}, "regularisation must be auto or a number, got 'small'"),
        ({"regularisation": -1.0}, "regularisation"),
        ({"regularisation": None}, "regularisation"),
        ({"learn_epochs": "long"}, "learn_epochs must be auto or a number, got 'long'"),
        ({"learn_epochs": 0}, "learn_epochs"),
        ({"learn_epochs": None}, "learn_epochs"),
        ({"step_size": "small"}, "step_size must be auto or a number or None, got 'small'"),
        ({"step_size": 0.0}, "step_size"),
        ({"step_size": 1e9}, "step_size"),
        (
            {"adjacency": "replace", "largest_n": N, "sigma": None},
            "largest_n must be more than the 200 rows under adjacency replace",
        ),
        ({"epsilon": 0.0, "delta": 1e-300}, "epsilon and delta allow|no batch size is possible"),
        ({"unlearn_epochs": -1}, "unlearn_epochs"),
        ({"unlearn_epochs": "auto"}, "unlearn_epochs"),
    ],
)
def test_what_is_no_setting_is_refused(changes: dict[str, Any], message: str) -> None:
    for more in ({}, {"sigma": 0.1} if "unlearn_epochs" not in changes and "epsilon" not in changes else {}):
        with pytest.raises(InputError, match=message):
            PNSGDClassifier(**(SETTINGS | more | changes)).fit(X, Y)


# What requests cost


def test_cost_is_what_is_run_then() -> None:
    # Without contraction requests pile up.
    model = PNSGDClassifier(**(QUICK | {"sigma": 0.3, "regularisation": 0.0})).fit(X, Y)
    cost = model.cost_
    assert isinstance(cost, Cost)
    assert (cost.steps, cost.fit_steps, cost.max_steps) == (model.planned_steps(), 25, 25)
    assert cost.seconds == pytest.approx(cost.steps * cost.seconds_per_step)
    assert cost.share == cost.steps / 25
    assert cost.fit_seconds == pytest.approx(25 * model._seconds)
    assert cost.ends == "steps"
    for row in range(cost.remaining):
        assert not model.cost_.refit
        assert model.cost_.remaining == cost.remaining - row
        model.unlearn([row])
    assert model.cost_.remaining == 0
    assert model.cost_.refit
    with pytest.raises(
        UnreachableError, match=r"fit again without the rows, which refit\(...\) with the same arguments does in 25"
    ):
        model.unlearn([100])
    again = model.refit([100])
    assert (again.requests_, again.cost_.remaining) == ((), cost.remaining)


def test_what_ends_requests() -> None:
    few = PNSGDClassifier(**(QUICK | {"batch_size": 5, "sigma": 5.0})).fit(X[:10], Y[:10])
    assert (few.cost_.remaining, few.cost_.ends) == (10, "rows")
    model = PNSGDClassifier(**SETTINGS).fit(X, Y)
    cost = model.cost_
    assert (cost.remaining, cost.ends) == (N, "steady")
    assert f"requests go on to take about {cost.last_steps} steps each" in str(cost)
    for row in range(40):
        model.unlearn([row])
    assert abs(model.steps_run_[-1] - cost.last_steps) <= 1
    assert model.cost_.remaining == N - 40
    none = PNSGDClassifier(**QUICK | {"regularisation": 0.0, "sigma": 1e-4}).fit(X, Y)
    assert none.cost_.steps is none.cost_.seconds is none.cost_.share is None
    assert (none.cost_.remaining, none.cost_.refit) == (0, True)
    assert str(none.cost_) == "no number of steps answers another request: refit() takes 25 steps"


def test_cost_is_there_after_fit_only() -> None:
    model = PNSGDClassifier()
    assert not hasattr(model, "cost_")
    with pytest.raises(AttributeError, match="cost_ is there after fit"):
        _ = model.cost_


def test_lists_cost_less_than_their_rows() -> None:
    model = PNSGDClassifier(**SETTINGS).fit(X, Y)
    stream = UnlearningStream(model._stream.accountant, sigma=model.sigma_, epsilon=1.0, delta=1 / N)
    assert model.planned_steps(10) < sum(stream.request() for _ in range(10)) / 2
    with pytest.raises(UnreachableError, match=r"rows in one list share their steps \(planned_steps\(10\) says how many\)"):
        model.unlearn([1], max_steps=0)
    assert model.requests_ == ()


# Learning again


@pytest.mark.parametrize("changes", [{}, PARTITION, PARTITION | {"adjacency": "replace"}])
def test_of_what_was_removed_nothing_is_left(changes: dict[str, Any]) -> None:
    """Two models whose removed rows are different people: with the same random_state they are the same to the last bit."""
    other_rows, other_labels = X.copy(), Y.copy()
    other_rows[[3, 50, 60]], other_labels[[3, 50, 60]] = 0.49, "no"
    models = [PNSGDClassifier(**QUICK, **changes).fit(rows, y) for rows, y in ((X, Y), (other_rows, other_labels))]
    for model in models:
        model.unlearn([3], max_steps=10**6)
    assert not np.array_equal(models[0].coef_, models[1].coef_)
    for model in models:
        model.refit([50, 60])
    np.testing.assert_array_equal(models[0].coef_, models[1].coef_)
    assert models[0].requests_ == models[0].steps_run_ == ()
    assert not hasattr(models[0], "guarantee_")
    assert models[0]._trainer.algorithm.problem.n == N - 3
    assert models[0].delta_ == 1 / (N - 3)


def test_learning_again_is_learning_on_the_rows_that_are_left() -> None:
    still: dict[str, Any] = {"batch_size": None, "learn_epochs": 600, "regularisation": 0.05, "sigma": 1e-5}
    model = PNSGDClassifier(**still).fit(X, Y).unlearn([1, 2], max_steps=10**6).refit()
    rows = np.c_[X[3:], np.ones(N - 3)], Y[3:]
    model = model.refit([0])
    theirs = LogisticRegression(C=1 / (0.05 * (N - 3)), tol=1e-10, fit_intercept=False).fit(*rows)
    np.testing.assert_allclose(np.r_[model.coef_[0], model.intercept_], theirs.coef_[0], atol=1e-3)


def test_noise_and_key_are_fresh_also_where_a_seed_was_given(tmp_path: Path) -> None:
    model = PNSGDClassifier(**QUICK).fit(X, Y)
    first, key = model.coef_.copy(), model._run.draws.keys
    model.save(tmp_path / "model.npz")
    loaded = PNSGDClassifier.load(tmp_path / "model.npz")
    noise = [model.refit().coef_.copy() for _ in range(2)]
    assert model._run.draws.keys != key
    assert not np.array_equal(first, noise[0])
    assert not np.array_equal(noise[0], noise[1])
    # Reproducible, from a file, too.
    np.testing.assert_array_equal(loaded.refit().coef_, noise[0])
    loaded.save(tmp_path / "again.npz")
    np.testing.assert_array_equal(PNSGDClassifier.load(tmp_path / "again.npz").refit().coef_, noise[1])
    fresh = [PNSGDClassifier(**(QUICK | {"random_state": None})).fit(X, Y).refit().coef_ for _ in range(2)]
    assert not np.array_equal(*fresh)


def rows_of(model: Any) -> Any:
    return model._run.features[:, :-1]


@pytest.mark.parametrize("changes", [{}, PARTITION])
def test_rows_keep_their_numbers_names_and_weights(changes: dict[str, Any], tmp_path: Path) -> None:
    weights = np.linspace(0.1, 1, N)
    model = PNSGDClassifier(**QUICK, **changes).fit(X, Y, sample_weight=weights).unlearn([0, 10], max_steps=10**6).refit([20])
    stay = np.delete(np.arange(N), [0, 10, 20])
    np.testing.assert_allclose(rows_of(model), X[stay])
    np.testing.assert_array_equal(model._run.labels["weight"], weights[stay])
    model.save(tmp_path / "model.npz")
    for each in (model, PNSGDClassifier.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        for gone in (0, 10, 20):
            for call in (each.unlearn, each.refit):
                with pytest.raises(InputError, match=f"rows that have not been removed before, got {gone}"):
                    call([30, gone])
        assert each.requests_ == ()
        each.unlearn([30, 199], max_steps=10**6)
        assert each.requests_ == ((30, 199),)
        left = np.setdiff1d(stay, [30, 199])
        kept = rows_of(each)[~each._run.zeroed]
        np.testing.assert_allclose(kept, X[left])
        assert each.refit([40]).refit()._trainer.algorithm.problem.n == N - 6
        np.testing.assert_allclose(rows_of(each), X[np.setdiff1d(left, [40])])
        with pytest.raises(InputError, match="got 30"):
            each.unlearn([30])


def test_identifiers_and_newcomers_go_on() -> None:
    ids = [f"p{k}" for k in range(N)]
    model = PNSGDClassifier(**QUICK).fit(X, Y, ids=ids).unlearn(ids=["p7"], max_steps=10**6)
    model.learn_more(X[:2] / 2, Y[:2], ids=["q0", "q1"]).refit(ids=["p9"])
    assert model._run.draws.identifiers == (*(name for name in ids if name not in ("p7", "p9")), "q0", "q1")
    assert model.unlearn(ids=["q0", "p8"], max_steps=10**6).requests_ == ((N, 8),)
    model.learn_more(X[2:3] / 2, Y[2:3], ids=["p7"])
    assert model.unlearn(ids=["p7"], max_steps=10**6).requests_ == ((N, 8), (N + 2,))
    assert model.refit([N + 1])._run.draws.identifiers == tuple(name for name in ids if name not in ("p7", "p8", "p9"))
    with pytest.raises(InputError, match="got 'q1'"):
        model.unlearn(ids=["q1"])


def test_what_took_a_place_is_another_row(tmp_path: Path) -> None:
    settings = QUICK | {"assignment": "partition", "adjacency": "replace"}
    model = PNSGDClassifier(**settings).fit(X, Y).unlearn([5], X[:1] / 3, Y[:1], max_steps=10**6).refit()
    with pytest.raises(InputError, match="removed before, got 5"):
        model.unlearn([5])
    np.testing.assert_allclose(rows_of(model)[-1], X[0] / 3)
    model.save(tmp_path / "model.npz")
    assert PNSGDClassifier.load(tmp_path / "model.npz").unlearn([N], max_steps=10**6).requests_ == ((N,),)


def test_files_go_on_with_the_same_history(tmp_path: Path) -> None:
    model = PNSGDClassifier(**QUICK).fit(X, Y)
    model.save(tmp_path / "model.npz")
    late = PNSGDClassifier.load(tmp_path / "model.npz")
    model.refit([1]).save(tmp_path / "model.npz")
    with pytest.raises(InputError, match="somebody else has saved since"):
        late.unlearn([2], max_steps=10**6).save(tmp_path / "model.npz")
    removed = X[1].tobytes()
    with np.load(tmp_path / "model.npz") as archive:
        assert all(removed not in archive[name].tobytes() for name in archive.files)


def test_what_cannot_be_learned_again_changes_nothing() -> None:
    model = PNSGDClassifier(**QUICK).fit(X, Y).unlearn([1], max_steps=10**6)
    before = dict(model.__dict__)
    one_class = np.flatnonzero(Y == "no")
    for asked, words in (
        ({"indices": [1]}, "removed before"),
        ({"indices": [N]}, "row numbers from 0"),
        ({"indices": np.delete(np.arange(N), 1)}, "leave at least one"),
        ({"indices": np.setdiff1d(one_class, [1])}, "leave a row of every class"),
        ({"indices": [2], "ids": [2]}, "exactly one of indices and ids"),
        ({"ids": [N]}, "identifiers of records that are there"),
        ({"indices": np.arange(2, 170)}, "batch_size must be a whole number from 1 to 31"),
    ):
        with pytest.raises(InputError, match=words):
            model.refit(**asked)
        assert {name: value is before[name] for name, value in model.__dict__.items()} == dict.fromkeys(before, True)
