"""Rows in blocks that runs share: what an array is, what is copied, and that a removed row is in no block of the run after."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from accountant import PNSGD
from accountant.trainer import Logistic, Run, Trainer, unit_rows
from accountant.trainer import rows as module
from accountant.trainer.rows import Rows, addresses

N, D = 50, 7


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight rows each."""
    monkeypatch.setattr(module, "_BLOCK", 8 * D)


def array(n: int = N) -> np.ndarray:
    return np.arange(1.0, 1 + n * D).reshape(n, D)


def test_rows_are_the_array_that_they_were_made_of() -> None:
    x = array()
    rows = Rows.of(x, np.float32)
    assert (len(rows.blocks), rows.shape, rows.dtype) == (7, (N, D), np.float32)
    np.testing.assert_array_equal(rows.whole(), x)
    np.testing.assert_allclose(rows.norms, np.linalg.norm(x, axis=1), rtol=1e-6)
    for at in (np.array([3, 49, 0, 3, -1]), np.arange(12).reshape(3, 4) * 4, np.empty(0, dtype=np.int64)):
        np.testing.assert_array_equal(rows.take(at), x[at])
    x[:] = 0
    assert rows.whole().all()


def test_a_change_copies_one_block_and_leaves_the_rows_before_as_they_were() -> None:
    x, at = array(), np.array([9, 33, 15])
    rows = Rows.of(x)
    after = rows.changed(at, -x[at])
    want = x.copy()
    want[at] *= -1
    np.testing.assert_array_equal(after.whole(), want)
    np.testing.assert_array_equal(rows.whole(), x)
    assert [one is other for one, other in zip(rows.blocks, after.blocks, strict=True)] == [
        number not in (1, 4) for number in range(7)
    ]


def test_rows_leave_and_join() -> None:
    """In any order, as deletion and concatenation have it; also the last row of a block and of all."""
    rng = np.random.default_rng(0)
    want, rows = array(), Rows.of(array())
    for k in range(40):
        at = rng.choice(want.shape[0], size=rng.integers(1, 4), replace=False)
        want, rows = np.delete(want, at, axis=0), rows.without(at)
        np.testing.assert_array_equal(rows.whole(), want)
        new = rng.standard_normal((k % 3, D))
        want, rows = np.concatenate([want, new]), rows.extended(new)
        np.testing.assert_array_equal(rows.whole(), want)
        np.testing.assert_allclose(rows.norms, np.linalg.norm(want, axis=1))
    nobody = rows.without(np.arange(want.shape[0]))
    assert nobody.shape == nobody.whole().shape == (0, D)
    np.testing.assert_array_equal(nobody.extended(array(3)).whole(), array(3))


def test_blocks_cannot_be_written_not_even_after_a_pickle() -> None:
    for rows in (Rows.of(array()), pickle.loads(pickle.dumps(Rows.of(array()))), copy.deepcopy(Rows.of(array()))):
        with pytest.raises(ValueError, match="read-only"):
            rows.blocks[2].array[0, 0] = 1.0


def test_addresses_are_where_the_rows_are() -> None:
    rows = Rows.of(array()).without(np.array([4, 17])).extended(array(2))
    found = addresses(rows, np.array([0, 3, 4, 17, 49]), 5)
    inside = [block.array[k].ctypes.data for block in rows.blocks for k in range(block.array.shape[0])]
    assert found.tolist() == [inside[k] for k in (0, 3, 4, 17, 49)]
    x = array()
    assert addresses(x, None, 3).tolist() == [x[k].ctypes.data for k in range(3)]


def learned(assignment: str, batch_size: int | str, dtype: str, trials: int) -> tuple[Trainer, Run, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x, y = unit_rows(rng.standard_normal((N, D))), rng.choice([-1, 1], N)
    loss = Logistic(regularisation=0.05, clip=0.4)
    adjacency = "zero-out" if assignment == "partition" else "remove"
    options = {} if assignment == "partition" else {"assignment": assignment, "largest_n": N + 9}
    algorithm = PNSGD(loss.problem(N, adjacency=adjacency), batch_size, learn_epochs=8, **options)
    trainer = Trainer(loss, algorithm, sigma=0.05, dtype=dtype, seed=1, trials=trials)
    return trainer, trainer.learn(x, y), x, y


@pytest.mark.parametrize("fast", ["never", "always"])
@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize("assignment", ["partition", "secret"])
@pytest.mark.parametrize("batch_size", [6, "full"])
def test_training_does_not_see_the_blocks(
    monkeypatch: pytest.MonkeyPatch, fast: str, trials: int, assignment: str, batch_size: int | str
) -> None:
    """Bit for bit what one block of all rows gives: learning, two requests of rows in several blocks, newcomers, retraining."""
    if fast == "always":
        pytest.importorskip("numba")
    monkeypatch.setenv("ACCOUNTANT_FAST", fast)
    found = []
    for block in (8 * D, 1 << 18):
        monkeypatch.setattr(module, "_BLOCK", block)
        trainer, run, x, y = learned(assignment, batch_size, "float32", trials)
        run = trainer.unlearn(trainer.unlearn(run, [9, 33], steps=16), [0], steps=8)
        if assignment == "secret":
            run = trainer.insert(run, x[:3], y[:3], steps=8)
        found.append((run.parameters, trainer.retrain(run).parameters, run.features))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("assignment", ["partition", "secret"])
def test_a_removed_row_is_gone_with_the_run_before(assignment: str) -> None:
    """No block of the run after has it, and the one that had it is freed; all other blocks are the same objects."""
    trainer, before, *_ = learned(assignment, 6, "float64", 1)
    x = before.features
    after = trainer.unlearn(before, [9], steps=3)
    assert not any((block.array == x[9]).all(axis=1).any() for block in after.rows.blocks)
    assert sum(block in after.rows.blocks for block in before.rows.blocks) == len(before.rows.blocks) - 1
    np.testing.assert_array_equal(before.features, x)
    had = weakref.ref(before.rows.blocks[1])
    del before
    gc.collect()
    assert had() is None
