"""Input of other kinds: sparse matrices, data frames of pandas and polars, memory-mapped files, and large data."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from accountant import InputError
from accountant.trainer import PNSGDClassifier, PNSGDRegressor, RescaledRowsWarning, unlearn_in
from accountant.trainer.sparse_rows import SparseRows

RNG = np.random.default_rng(13)
N, D = 120, 30
X = np.where(RNG.uniform(size=(N, D)) < 0.15, RNG.uniform(-0.5, 0.5, (N, D)), 0.0)
X /= np.linalg.norm(X, axis=1).max()
Y = np.where(X[:, 0] + X[:, 1] + 0.05 * RNG.standard_normal(N) > 0, 1, 0)
SETTINGS: dict[str, Any] = {"batch_size": 30, "learn_epochs": 5, "regularisation": 0.1, "sigma": 0.2, "random_state": 0}
STILL: dict[str, Any] = {"batch_size": None, "learn_epochs": 600, "regularisation": 0.05, "sigma": 1e-6, "random_state": 0}
PARTITION: dict[str, Any] = {"assignment": "partition", "adjacency": "zero-out"}
FORMATS = [sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.coo_array, sp.lil_matrix]


# Sparse


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("changes", [{}, PARTITION])
def test_sparse_rows_give_the_optimum_of_the_same_dense_ones(kind: Any, changes: dict[str, Any]) -> None:
    model = PNSGDClassifier(**STILL, **changes).fit(kind(X), Y)
    assert isinstance(model._run.rows, SparseRows)
    theirs = LogisticRegression(C=1 / (0.05 * N), tol=1e-10, fit_intercept=False).fit(np.c_[X, np.ones(N)], Y)
    np.testing.assert_allclose(np.r_[model.coef_[0], model.intercept_], theirs.coef_[0], atol=1e-3)
    dense = PNSGDClassifier(**STILL, **changes).fit(X, Y)
    np.testing.assert_allclose(model.decision_function(kind(X)), dense.decision_function(X), atol=1e-3)
    np.testing.assert_allclose(model.decision_function(kind(X)), model.decision_function(X), atol=1e-12)


def test_noise_and_steps_are_those_of_dense_rows() -> None:
    """The accounting does not look at how rows are stored."""
    auto = [PNSGDClassifier(requests=10).fit(rows, Y) for rows in (X, sp.csr_array(X))]
    for name in ("sigma_", "batch_size_", "regularisation_", "learn_epochs_"):
        assert getattr(auto[0], name) == getattr(auto[1], name)
    for row in range(3):
        steps = [model.unlearn([row]).steps_run_[-1] for model in auto]
        assert steps[0] == steps[1]
    assert auto[1].guarantee_ == auto[0].guarantee_


def test_long_sparse_rows_are_scaled_as_dense_ones() -> None:
    long = X * np.where(np.arange(N) % 3 == 0, 1e200, 1.0)[:, None]
    with pytest.warns(RescaledRowsWarning, match="are longer than feature_bound = 1"):
        model = PNSGDClassifier(**SETTINGS).fit(sp.csr_array(long), Y)
    with pytest.warns(RescaledRowsWarning):
        dense = PNSGDClassifier(**SETTINGS).fit(long, Y)
    np.testing.assert_allclose(model._run.features.toarray(), dense._run.features, atol=1e-9)
    assert (model._run.rows.norms <= 2**0.5).all()
    np.testing.assert_allclose(model.decision_function(sp.csr_array(long)), model.decision_function(long), atol=1e-12)


@pytest.mark.parametrize("changes", [{}, PARTITION, PARTITION | {"adjacency": "replace"}, {"adjacency": "replace"}])
def test_sparse_models_unlearn_learn_more_refit_and_go_through_files(changes: dict[str, Any], tmp_path: Path) -> None:
    model = PNSGDClassifier(**SETTINGS, **changes, weight_bound=2.0).fit(sp.csr_array(X), Y, sample_weight=np.ones(N))
    replacing = (X[:2], Y[:2]) if changes.get("adjacency") == "replace" else ()
    model.unlearn([3, 4], *replacing, max_steps=10**6)
    if not changes:
        model.learn_more(sp.coo_array(X[:2]), Y[:2]).learn_more(X[2:3], Y[2:3])
    assert isinstance(model._run.rows, SparseRows)
    model.save(tmp_path / "model.npz")
    for again in (PNSGDClassifier.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.coef_, model.coef_)
        np.testing.assert_array_equal(again._run.features.toarray(), model._run.features.toarray())
        assert again.unlearn([5], max_steps=10**6).refit([6]).requests_ == ()
        left = again._run.rows.shape[0]
        assert left == {"remove": N - 4 + (0 if changes else 3), "zero-out": N - 4}.get(again.adjacency, N - 2)
    with np.load(tmp_path / "model.npz") as archive:
        assert archive["features"].size < N * D / 2


def test_text_is_hashed_learned_and_unlearned() -> None:
    texts = [f"{'good great' if k % 2 else 'bad poor'} film {k % 7} {k % 5}" for k in range(N)]
    hashing = HashingVectorizer(n_features=2**16, alternate_sign=False)
    pipeline = make_pipeline(hashing, PNSGDClassifier(epsilon=50.0, requests=5, random_state=0)).fit(texts, np.arange(N) % 2)
    unlearn_in(pipeline, [3])
    assert pipeline.score(texts, np.arange(N) % 2) > 0.9
    assert pipeline[-1]._run.rows.nbytes < 10**5


def test_regressors_take_sparse_rows() -> None:
    model = PNSGDRegressor(**SETTINGS).fit(sp.csr_matrix(X), X[:, 0])
    assert model.unlearn([3]).predict(sp.csr_matrix(X)).shape == (N,)


def test_what_sparse_rows_cannot_have_is_refused() -> None:
    for changes, words in (
        ({"dtype": "float32"}, "dtype must be float64 for sparse"),
        ({"feature_range": (0.0, 1.0)}, "feature_range must be left out for sparse X"),
    ):
        with pytest.raises(InputError, match=words):
            PNSGDClassifier(**(SETTINGS | changes)).fit(sp.csr_array(X), Y)
    # A projection looks at all parameters: rows become an array, as long as that is small.
    assert isinstance(PNSGDClassifier(**SETTINGS, radius=5.0).fit(sp.csr_array(X), Y)._run.features, np.ndarray)
    holes = sp.csr_array(X)
    holes.data[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        PNSGDClassifier(**SETTINGS).fit(holes, Y)


# Data frames


def test_frames_of_pandas() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(D)], index=[f"p{k}" for k in range(N)])
    labels, weights = pd.Series(Y, index=frame.index).map({0: "no", 1: "yes"}), pd.Series(0.5, index=frame.index)
    low = pd.Series(-1.0, index=frame.columns)
    model = PNSGDClassifier(**SETTINGS, feature_range=(low, low + 2), class_weight={"no": 2.0})
    model.fit(frame, labels, sample_weight=weights)
    assert model.unlearn(frame.index[[3, 7]], max_steps=10**6).requests_ == ((3, 7),)
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    assert model.refit(pd.Index(["p9"])).unlearn(pd.Series(["p8"]), max_steps=10**6).requests_ == ((8,),)
    model.learn_more(frame.iloc[:1].set_index(pd.Index(["q"])), labels[:1], sample_weight=weights[:1])
    assert model.unlearn(ids=["q"], max_steps=10**6).requests_ == ((8,), (N,))
    assert model.predict(frame).dtype == object
    typed = frame.convert_dtypes().astype("Float64")
    np.testing.assert_array_equal(model.decision_function(typed), model.decision_function(frame))


def test_frames_of_polars() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(X, schema=[f"f{k}" for k in range(D)])
    labels = pl.Series("y", np.where(Y, "yes", "no").tolist())
    model = PNSGDClassifier(**SETTINGS, class_weight={"no": 2.0})
    model.fit(frame, labels, ids=pl.Series([f"p{k}" for k in range(N)]), sample_weight=pl.Series([0.5] * N))
    assert model.feature_names_in_.tolist() == frame.columns
    assert model.unlearn(ids=pl.Series(["p3", "p7"]), max_steps=10**6).requests_ == ((3, 7),)
    assert model.unlearn(pl.Series([8]), max_steps=10**6).refit([9]).requests_ == ()
    assert set(model.predict(frame)) <= {"no", "yes"}
    np.testing.assert_array_equal(model.decision_function(frame)[:5], model.decision_function(frame[:5]))


# Large data


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_memory_mapped_rows_are_read_and_left_alone(dtype: str, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", X.astype(dtype))
    before = (tmp_path / "rows.npy").read_bytes()
    for mode in ("r", "r+", "c"):
        mapped = np.load(tmp_path / "rows.npy", mmap_mode=mode)
        model = PNSGDClassifier(**SETTINGS, dtype=dtype).fit(mapped, Y).unlearn([3], max_steps=10**6)
        array = PNSGDClassifier(**SETTINGS, dtype=dtype).fit(X.astype(dtype), Y).unlearn([3], max_steps=10**6)
        np.testing.assert_array_equal(model.coef_, array.coef_)
        np.testing.assert_array_equal(model.decision_function(mapped), array.decision_function(X.astype(dtype)))
        assert not any(np.shares_memory(block.array, mapped) for block in model._run.rows.blocks)
    assert (tmp_path / "rows.npy").read_bytes() == before


def test_a_request_copies_the_block_of_its_row_and_no_other() -> None:
    wide = RNG.uniform(-0.01, 0.01, (3000, 300))
    model = PNSGDClassifier(**SETTINGS | {"learn_epochs": 1, "batch_size": 1000}).fit(wide, np.arange(3000) % 2)
    before = model._run.rows.blocks
    assert len(before) > 3
    after = model.unlearn([0], max_steps=10**6)._run.rows.blocks
    assert [one is two for one, two in zip(before, after, strict=True)] == [False] + [True] * (len(before) - 1)
    again = model.refit([2999])._run.rows.blocks
    assert [one is two for one, two in zip(after, again, strict=True)] == [True] * (len(before) - 1) + [False]


_MEASURE = """
import sys, threading, time
import numpy as np, psutil
from accountant.trainer import PNSGDClassifier
n, d = int(sys.argv[1]), 100
settings = {"dtype": "float32"}
def rows(n):
    rng = np.random.default_rng(0)
    X = np.empty((n, d), np.float32)
    for first in range(0, n, 10000):
        X[first : first + 10000] = rng.standard_normal((min(10000, n - first), d), dtype=np.float32) / 20
    return X, (X[:, 0] > 0)
PNSGDClassifier(**settings).fit(*rows(20000)).unlearn([1])
process, most, done = psutil.Process(), [0], []
base = process.memory_info().rss
def watch():
    while not done:
        most[0] = max(most[0], process.memory_info().rss)
        time.sleep(0.002)
X, y = rows(n)
thread = threading.Thread(target=watch)
thread.start()
PNSGDClassifier(**settings).fit(X, y).unlearn([5])
done.append(True)
thread.join()
print((most[0] - base) / X.nbytes)
"""


@pytest.mark.slow
def test_a_million_rows_take_less_than_two_and_a_half_times_their_memory() -> None:
    """X itself included, in float32; with numba, without which batches are picked out ahead, in one copy more."""
    pytest.importorskip("psutil")
    pytest.importorskip("numba")
    found = subprocess.run([sys.executable, "-c", _MEASURE, "1000000"], check=True, capture_output=True, text=True).stdout
    assert float(found) < 2.5
