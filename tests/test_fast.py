"""The compiled steps (extra ``fast``): the same noise bit for bit, the same parameters to rounding, for every loss and run."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from accountant import PNSGD, InputError, Learn, Schedule, Unlearn
from accountant.trainer import Logistic, Loss, Multinomial, Ridge, Run, SmoothedHinge, Trainer, unit_rows
from accountant.trainer import fast as module

pytest.importorskip("numba")
pytestmark = pytest.mark.integration

N, D = 61, 19
LOSSES = {
    "logistic": Logistic(regularisation=0.05),
    "clipped": Logistic(regularisation=0.05, clip=0.3),
    "smoothed-hinge": SmoothedHinge(regularisation=0.05, width=0.7),
    "ridge": Ridge(regularisation=0.05, clip=0.5),
    "multinomial": Multinomial(regularisation=0.05, classes=4),
    "unregularised": Logistic(regularisation=0.0),
}


def points(loss: Loss, n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of norms up to one, one of them zero, and labels."""
    rng = np.random.default_rng(seed)
    x = unit_rows(rng.standard_normal((n, D))) * rng.uniform(0.2, 1, (n, 1))
    x[3] = 0
    if isinstance(loss, Multinomial):
        return x, rng.integers(0, loss.classes, n)
    return x, (3 * rng.standard_normal(n) if isinstance(loss, Ridge) else rng.choice([-1, 1], n))


def both(monkeypatch: pytest.MonkeyPatch, make: object) -> tuple[Run, Run]:
    """What ``make()`` gives compiled, and not."""
    runs = []
    for wish in ("always", "never"):
        monkeypatch.setenv(module.VARIABLE, wish)
        runs.append(make())
    return runs[0], runs[1]


def agree(ours: Run, theirs: Run) -> None:
    """Equal to rounding, but not bit for bit, and with generators in the same place."""
    scale = np.abs(theirs.parameters).max()
    assert np.abs(ours.parameters - theirs.parameters).max() <= 1e-12 * scale
    for one, other in zip(ours.generators, theirs.generators, strict=True):
        assert one.bit_generator.state == other.bit_generator.state


def test_noise_is_numpys_bit_for_bit() -> None:
    """Two million numbers, of which some thirty thousand lie on edges and five hundred in tails; and whatever is drawn next."""
    assert module._same_noise()
    ours, theirs = np.random.default_rng(7), np.random.default_rng(7)
    # Half of a 64-bit word is kept by the generator, and not touched by normals.
    assert ours.integers(0, 100, dtype=np.uint32) == theirs.integers(0, 100, dtype=np.uint32)
    out = np.empty((1000, 2000))
    module.fill(ours, out)
    assert np.array_equal(out.ravel(), theirs.standard_normal(out.size))
    assert (np.abs(out) > 3.6541528853610088).sum() > 400
    assert ours.bit_generator.state == theirs.bit_generator.state
    assert ours.integers(0, 100, 3, dtype=np.uint32).tolist() == theirs.integers(0, 100, 3, dtype=np.uint32).tolist()


def test_other_generators_draw_for_themselves() -> None:
    ours, theirs = (np.random.Generator(np.random.Philox(3)) for _ in range(2))
    out = np.empty(100)
    module.fill(ours, out)
    assert np.array_equal(out, theirs.standard_normal(100))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("batch_size", [1, 13, "full"])
def test_compiled_steps_agree_with_numpy(monkeypatch: pytest.MonkeyPatch, name: str, dtype: str, batch_size: int | str) -> None:
    """Learning, a request and another one, over a short last batch (61 rows, 13 a batch)."""
    loss = LOSSES[name]
    x, y = points(loss)
    algorithm = PNSGD(loss.problem(N, adjacency="zero-out"), batch_size, learn_epochs=4)

    def make() -> Run:
        trainer = Trainer(loss, algorithm, sigma=0.05, dtype=dtype, seed=1, initial_variance=0.1)
        run = trainer.unlearn(trainer.learn(x, y), [5], steps=3)
        return trainer.unlearn(run, [0, 9], steps=7)

    agree(*both(monkeypatch, make))


@pytest.mark.parametrize("sigma", [0.1, 0.01])
@pytest.mark.parametrize("name", ["logistic", "multinomial"])
def test_projection(monkeypatch: pytest.MonkeyPatch, name: str, sigma: float) -> None:
    """On a ball that every step leaves, and on one that some steps leave by little."""
    loss = LOSSES[name]
    x, y = points(loss)
    algorithm = PNSGD(loss.problem(N), 7, learn_epochs=3, radius=0.2)
    ours, theirs = both(monkeypatch, lambda: Trainer(loss, algorithm, sigma=sigma, seed=2).learn(x, y))
    agree(ours, theirs)
    assert np.linalg.norm(ours.parameters) <= 0.2 * (1 + 1e-12)


@pytest.mark.parametrize("assignment", ["secret", "fresh", "poisson"])
@pytest.mark.parametrize("trials", [1, 3])
def test_own_draws(monkeypatch: pytest.MonkeyPatch, assignment: str, trials: int) -> None:
    """Batches of random sizes, empty ones included (two records a batch), under the divisor b; rows leave and join."""
    loss = LOSSES["clipped"]
    x, y = points(loss)
    algorithm = PNSGD(loss.problem(N, adjacency="remove"), 2, learn_epochs=5, assignment=assignment, largest_n=N + 5)

    def make() -> Run:
        trainer = Trainer(loss, algorithm, sigma=0.05, trials=trials, seed=3)
        run = trainer.unlearn(trainer.learn(x, y), [5, 6], epochs=2)
        return trainer.insert(run, x[:2] / 2, y[:2], epochs=1)

    agree(*both(monkeypatch, make))


def test_trials_with_own_orders_and_a_shared_one(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = LOSSES["logistic"]
    x, y = points(loss)
    for orders in ("own", "shared"):
        algorithm = PNSGD(loss.problem(N), 10, learn_epochs=3)
        agree(
            *both(
                monkeypatch, lambda o=orders, a=algorithm: Trainer(loss, a, sigma=0.1, trials=4, orders=o, seed=4).learn(x, y)
            )
        )


def test_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch size, step size and noise change, from step to step in one phase; long enough to be reordered first."""
    loss = LOSSES["logistic"]
    x, y = points(loss)
    rates = [2.0 / (1 + k) for k in range(14)]
    phases = [Learn(epochs=40), Learn(epochs=2, batch_size=10, step_size=rates), Unlearn(epochs=3, sigma=2.0)]
    algorithm = PNSGD(loss.problem(N, adjacency="zero-out"), 30)

    def make() -> Run:
        trainer = Trainer(loss, algorithm, sigma=0.05, schedule=Schedule(phases), seed=5)
        return trainer.unlearn(trainer.learn(x, y), [8])

    agree(*both(monkeypatch, make))


def test_without_noise_none_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = LOSSES["ridge"]
    x, y = points(loss)
    agree(*both(monkeypatch, lambda: Trainer(loss, PNSGD(loss.problem(N), 8, learn_epochs=3), sigma=0.0, seed=6).learn(x, y)))


def test_far_scores_neither_overflow_nor_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    """From parameters 1e6 times too large, where exp overflows, and labels that are all wrong."""
    loss = LOSSES["logistic"]
    x, _ = points(loss)
    w = 1e6 * np.random.default_rng(0).standard_normal(D)
    y = np.where(x @ w > 0, -1, 1)
    algorithm = PNSGD(loss.problem(N), 8, learn_epochs=2)
    agree(*both(monkeypatch, lambda: Trainer(loss, algorithm, sigma=1.0, seed=6, initial=w).learn(x, y)))


def test_copies_and_pickles_go_on_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, as a seed was given."""
    monkeypatch.setenv(module.VARIABLE, "always")
    loss = LOSSES["logistic"]
    x, y = points(loss)
    trainer = Trainer(loss, PNSGD(loss.problem(N, adjacency="zero-out"), 8, learn_epochs=3), sigma=0.1, seed=7)
    run = trainer.learn(x, y)
    twins = [pickle.loads(pickle.dumps(run)), copy.deepcopy(run), copy.copy(run)]
    after = trainer.unlearn(run, [1], steps=5).parameters
    for twin in twins:
        assert np.array_equal(trainer.unlearn(twin, [1], steps=5).parameters, after)


@dataclass(frozen=True, kw_only=True)
class _Own(Logistic):
    """A loss of somebody's own."""

    def derivatives(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return 0.5 * super().derivatives(scores, labels)


def test_who_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses of this package, runs that are long; the variable has the last word, and no word that is none."""
    loss, own = LOSSES["logistic"], _Own(regularisation=0.05)
    part = part_of(10)
    monkeypatch.delenv(module.VARIABLE, raising=False)
    assert not module.worthwhile(loss, [part], size=D, trials=1)
    assert module.worthwhile(loss, [part_of(10**8)], size=D, trials=1)
    assert not module.worthwhile(own, [part_of(10**8)], size=D, trials=1)
    monkeypatch.setenv(module.VARIABLE, "always")
    assert module.worthwhile(loss, [part], size=D, trials=1)
    assert not module.worthwhile(own, [part], size=D, trials=1)
    monkeypatch.setenv(module.VARIABLE, "never")
    assert not module.worthwhile(loss, [part_of(10**8)], size=D, trials=1)
    monkeypatch.setenv(module.VARIABLE, "auto")
    for kept in (True, False):
        monkeypatch.setattr(module.kernels(), "kept", lambda kept=kept: kept)
        assert module.worthwhile(loss, [part_of(10**5)], size=D, trials=1) == kept
    monkeypatch.setenv(module.VARIABLE, "perhaps")
    with pytest.raises(InputError, match=r"ACCOUNTANT_FAST must be .*perhaps"):
        module.worthwhile(loss, [part], size=D, trials=1)


def part_of(steps: int) -> object:
    """A part of so many steps."""
    from accountant.trainer.parts import Part

    return Part(PNSGD(LOSSES["logistic"].problem(N), 8), steps, 0.1, 1.0)


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    loss = LOSSES["logistic"]
    monkeypatch.setenv(module.VARIABLE, "auto")
    assert not module.worthwhile(loss, [part_of(10**8)], size=D, trials=1)
    monkeypatch.setenv(module.VARIABLE, "always")
    with pytest.raises(InputError, match=r"ACCOUNTANT_FAST must be auto or never without numba"):
        module.worthwhile(loss, [part_of(1)], size=D, trials=1)


@pytest.mark.slow
def test_compiles_where_nothing_can_be_written(tmp_path: Path) -> None:
    """With a copy of the package, and a home, that are no folders to write in, nothing is kept, and everything works."""
    package = Path(module.__file__).parents[1]
    shutil.copytree(package, tmp_path / "accountant", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "accountant" / "trainer" / "__pycache__").write_text("not a folder")
    code = (
        "import numpy as np\nfrom accountant.trainer import fast\n"
        "g = np.random.default_rng(0)\nout = np.empty(9)\nfast.fill(g, out)\n"
        "print(np.array_equal(out, np.random.default_rng(0).standard_normal(9)), fast.kernels().kept(), fast.__file__)"
    )
    environment = {**os.environ, "HOME": os.devnull, "XDG_CACHE_HOME": os.devnull, "PYTHONPATH": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert said.stdout.split() == ["True", "False", str(tmp_path / "accountant" / "trainer" / "fast.py")]
