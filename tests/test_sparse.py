"""Sparse rows: noise drawn when a coordinate is looked at has exactly the law of noise drawn in every step."""

import copy
import pickle
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse, stats

from accountant import PNSGD, InputError, Learn, Schedule, Unlearn
from accountant.trainer import Logistic, Loss, Multinomial, Ridge, SmoothedHinge, Trainer, accuracy, unit_rows
from accountant.trainer import sparse_rows as sparse_rows_module
from accountant.trainer import trials as trials_module
from accountant.trainer.drawn import follow_draws
from accountant.trainer.draws import Draws
from accountant.trainer.parts import Part
from accountant.trainer.sparse import follow_sparse, follow_sparse_draws, spread
from accountant.trainer.sparse_rows import SparseRows
from accountant.trainer.steps import Cursor, Data, Update, follow

N, D = 23, 9


def points(loss: Loss, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of which a fifth is not zero, one of them empty, a column that no row has, and one that all have."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, D)) * (rng.random((N, D)) < 0.2)
    x[4], x[:, 3], x[:, 5] = 0, 0, 0.3
    x /= 3 + np.linalg.norm(x, axis=1).max()
    if isinstance(loss, Multinomial):
        return x, rng.integers(0, loss.classes, N)
    return x, (rng.standard_normal(N) if isinstance(loss, Ridge) else rng.choice([-1, 1], N))


class Unit:
    """A generator whose normal numbers are all zero but one."""

    def __init__(self, which: int) -> None:
        self.which, self.drawn = which, 0

    def standard_normal(self, size: object = None, *, dtype: object = None, out: np.ndarray | None = None) -> np.ndarray:
        found = np.zeros(size) if out is None else out
        found[...] = 0.0
        if self.drawn <= self.which < self.drawn + found.size:
            found.reshape(-1)[self.which - self.drawn] = 1.0
        self.drawn += found.size
        return found


def gaussian_law(run: Callable[[Unit], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a result that is affine in the normal numbers: column by column of its matrix."""
    probe = Unit(-1)
    mean = run(probe)
    matrix = np.stack([run(Unit(k)) - mean for k in range(probe.drawn)])
    return mean, matrix.T @ matrix


@pytest.mark.parametrize("regularisation", [0.0, 0.05, 3.0])
@pytest.mark.parametrize("assignment", ["partition", "secret", "poisson"])
def test_law_of_lazily_drawn_noise_is_the_dense_law(assignment: str, regularisation: float) -> None:
    """With squares everything is Gaussian: both means and covariances, exactly. The last regulariser makes s negative."""
    loss = Ridge(regularisation=regularisation, clip=1e6)
    x, y = points(loss)
    rows = SparseRows.of(sparse.csr_array(x))
    options = {} if assignment == "partition" else {"assignment": assignment, "largest_n": N}
    adjacency = "zero-out" if assignment == "partition" else "remove"
    algorithm = PNSGD(loss.problem(N, adjacency=adjacency), 5, learn_epochs=2, **options)
    # Two parts, the second with other rates, from the second batch on.
    eta = 0.5 if regularisation == 3.0 else 0.3
    parts = [Part(algorithm, 7, eta, 1.0), Part(algorithm, 6, eta / 2, 2.0)]
    update, start = Update(loss, 0.4, None), np.linspace(-1, 1, D)
    order = np.random.default_rng(1).permutation(N)[None]
    draws = None
    if assignment != "partition":
        draws = Draws.begun(algorithm, lambda trial: bytes(32), 1, range(N), key_is_secret=False)

    def result(lazy: bool) -> Callable[[Unit], np.ndarray]:
        def run(generator: Unit) -> np.ndarray:
            w = start[None].copy()
            data = Data(x, y, None)
            cursor = Cursor(5, 1)
            if draws is None and lazy:
                follow_sparse(w, parts, cursor, update, rows, y, None, order, [generator])
            elif draws is None:
                follow(w, parts, cursor, update, data, order, [generator])
            elif lazy:
                follow_sparse_draws(w, parts, 1, update, rows, y, None, draws, [generator])
            else:
                follow_draws(w, parts, 1, update, data, draws, [generator])
            return w[0]

        return run

    ours, theirs = gaussian_law(result(True)), gaussian_law(result(False))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-11, atol=1e-13)
    assert (np.diag(ours[1]) > 0.1).all()


def test_law_of_a_loss_that_is_not_linear() -> None:
    """2000 trials of both ways: every coordinate and two combinations, by Kolmogorov and Smirnov."""
    loss = Logistic(regularisation=0.05)
    x, y = points(loss)
    algorithm = PNSGD(loss.problem(N), 4, learn_epochs=1)
    trainer = Trainer(loss, algorithm, sigma=0.5, trials=2000, orders="shared", seed=3)
    order = np.arange(N)[None]
    ours = trainer.learn(sparse.csr_array(x), y, orders=order).parameters
    theirs = trainer.learn(x, y, orders=order).parameters
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (2, D))
    for one, other in zip(np.concatenate([ours, signs @ ours]), np.concatenate([theirs, signs @ theirs]), strict=True):
        assert stats.ks_2samp(one, other).pvalue > 1e-4


@pytest.mark.parametrize("shrink", [0.9, -0.5, 0.0, 1.0, -1.0, 1 - 1e-12])
def test_spread_is_the_sum_of_the_steps(shrink: float) -> None:
    steps = np.array([0, 1, 2, 5, 60])
    want = [0.3 * np.sqrt(sum(shrink ** (2 * i) for i in range(k))) for k in steps]
    np.testing.assert_allclose(spread(shrink, 0.3, steps), want, rtol=1e-12)


LOSSES = [
    Logistic(regularisation=0.05),
    Logistic(regularisation=0.05, clip=0.02),
    SmoothedHinge(regularisation=0.05, width=0.7),
    Ridge(regularisation=0.05, clip=0.02),
    Multinomial(regularisation=0.05, classes=4),
]


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("assignment", ["partition", "secret", "fresh"])
@pytest.mark.parametrize("batch_size", [1, 6, "full"])
def test_without_noise_sparse_steps_are_the_dense_ones(
    monkeypatch: pytest.MonkeyPatch, loss: Loss, assignment: str, batch_size: int | str
) -> None:
    """Every loss and assignment, requests in several blocks, rows that join and retraining, to rounding, with the same keys."""
    monkeypatch.setattr(sparse_rows_module, "_BLOCK", 4)
    x, y = points(loss)
    partition = assignment == "partition"
    options = {} if partition else {"assignment": assignment, "largest_n": N + 3}
    problem = loss.problem(N, adjacency="zero-out" if partition else "remove")
    algorithm = PNSGD(problem, batch_size, learn_epochs=4, **options)
    found = []
    for make in (np.asarray, sparse.csr_array, sparse.coo_matrix):
        trainer = Trainer(loss, algorithm, sigma=0.0, trials=2, seed=2, initial_variance=0.1)
        run = trainer.unlearn(trainer.learn(make(x), y), [2, 17], epochs=2)
        runs = [run] if partition else [run, trainer.insert(run, make(x[:3]), y[:3], epochs=1)]
        runs.append(trainer.retrain(runs[-1]))
        found.append([each.parameters for each in runs])
        features = runs[-1].features
        np.testing.assert_array_equal(features if make is np.asarray else features.toarray(), expected_rows(x, partition))
    for dense, one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, dense, rtol=1e-11, atol=1e-13)
        np.testing.assert_array_equal(one, other)


def expected_rows(x: np.ndarray, partition: bool) -> np.ndarray:
    if partition:
        zeroed = x.copy()
        zeroed[[2, 17]] = 0
        return zeroed
    return np.concatenate([np.delete(x, [2, 17], axis=0), x[:3]])


def test_replacing_rows_leaves_nothing_of_them() -> None:
    """Sparse or dense new rows, in a partition; the removed numbers are in no array of the run after."""
    loss = LOSSES[0]
    x, y = points(loss)
    trainer = Trainer(loss, PNSGD(loss.problem(N), 5, learn_epochs=2), sigma=0.1, seed=1)
    before, row = trainer.learn(sparse.csr_array(x), y), int((x != 0).sum(axis=1).argmax())
    for new in (x[:1] / 2, sparse.csr_array(x[:1] / 2)):
        after = trainer.unlearn(before, [row], features=new, labels=y[:1], steps=3)
        want = x.copy()
        want[row] = x[0] / 2
        np.testing.assert_array_equal(after.features.toarray(), want)
        gone = set(x[row][x[row] != 0].tolist()) - set(want.ravel().tolist())
        assert gone
        assert not any(gone & set(block.data.tolist()) for block in after.rows.blocks)
    np.testing.assert_array_equal(before.features.toarray(), x)


def test_copies_and_predictions() -> None:
    loss = LOSSES[0]
    x, y = points(loss)
    trainer = Trainer(loss, PNSGD(loss.problem(N, adjacency="zero-out"), 5, learn_epochs=2), sigma=0.1, seed=1)
    run = trainer.learn(sparse.csr_array(x), y)
    twins = [pickle.loads(pickle.dumps(run)), copy.deepcopy(run)]
    after = trainer.unlearn(run, [1], steps=5).parameters
    for twin in twins:
        assert np.array_equal(trainer.unlearn(twin, [1], steps=5).parameters, after)
    assert accuracy(loss, after, sparse.csr_array(x), y) == accuracy(loss, after, x, y)


def test_rows_of_a_hundred_thousand_features_take_megabytes() -> None:
    """20,000 rows with 50 numbers each: 16 GB as an array; learning and a request in under 100 MB."""
    n, d, each = 20_000, 100_000, 50
    rng = np.random.default_rng(0)
    x = sparse.csr_array((np.full(n * each, 0.14), rng.integers(0, d, n * each), np.arange(n + 1) * each), shape=(n, d))
    x.sum_duplicates()
    x.data[:] = 0.1
    y = rng.choice([-1, 1], n)
    loss = Logistic(regularisation=0.001)
    algorithm = PNSGD(loss.problem(n, adjacency="remove"), 128, learn_epochs=1, assignment="secret")
    trainer = Trainer(loss, algorithm, sigma=0.01)
    tracemalloc.start()
    run = trainer.unlearn(trainer.learn(x, y), [3], steps=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert run.parameters.shape == (d, 1)
    assert peak < 1e8


def test_what_sparse_rows_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = LOSSES[0]
    x, y = points(loss)
    features = sparse.csr_array(x)
    with pytest.raises(InputError, match="dtype must be float64 for sparse features, got float32"):
        Trainer(loss, PNSGD(loss.problem(N), 5, learn_epochs=2), sigma=0.1, dtype="float32").learn(features, y)
    ball = PNSGD(loss.problem(N), 5, learn_epochs=2, radius=0.5)
    dense, same = (Trainer(loss, ball, sigma=0.1, seed=1).learn(each, y).parameters for each in (x, features))
    np.testing.assert_array_equal(dense, same)
    monkeypatch.setattr(trials_module, "DENSE_BYTES", 8 * N * D - 1)
    with pytest.raises(InputError, match=r"radius must be left out for sparse features .* shape \(23, 9\)"):
        Trainer(loss, ball, sigma=0.1, seed=1).learn(features, y)
    rates = Schedule([Learn(epochs=1, step_size=[0.1, 0.2, 0.1, 0.1, 0.1]), Unlearn()])
    with pytest.raises(InputError, match="schedule must have a constant step size and noise in every phase"):
        Trainer(loss, PNSGD(loss.problem(N), 5), sigma=0.1, schedule=rates).learn(features, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.astype(complex), "features must be a numeric array"),
        (lambda x: 9 * x, "features must have rows of norm at most feature_bound = 1"),
        (lambda x: x * np.where(np.arange(D) == 5, np.nan, 1), "features must be finite numbers, got nan in row 0"),
        (lambda x: x[:-1], "labels must be one for each of the 22 rows"),
    ],
)
def test_bad_sparse_features(change: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    loss = LOSSES[0]
    x, y = points(loss)
    with pytest.raises(InputError, match=message):
        Trainer(loss, PNSGD(loss.problem(N), 5, learn_epochs=2), sigma=0.1).learn(sparse.csr_array(change(x)), y)


def test_rows_longer_by_rounding_are_put_back() -> None:
    loss = LOSSES[0]
    x = unit_rows(points(loss)[0] + 0.1) * (1 + 1e-9)
    trainer = Trainer(loss, PNSGD(loss.problem(N), 5, learn_epochs=2), sigma=0.1)
    run = trainer.learn(sparse.csr_array(x), points(loss)[1])
    assert (run.rows.norms <= 1).all()
    assert run.rows.norms == pytest.approx(1)
