"""Copies, threads and processes of the trainer's objects: the same answers, noise of their own, and one request at a time."""

import copy
import math
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from accountant import PNSGD, InputError, Learn, Schedule, Unlearn
from accountant.problem import cosine
from accountant.trainer import Logistic, PNSGDClassifier, PNSGDRegressor, Run, Trainer
from accountant.trainer.noise import Seeds

RNG = np.random.default_rng(3)
N = 60
X = RNG.standard_normal((N, 3)) / 3
X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1.0)
Y = X[:, 0] > 0
THIRDS = np.digitize(X[:, 1], [-0.15, 0.15])


def pickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickled,
    "twice": lambda thing: copy.copy(pickled(copy.deepcopy(thing))),
}
PARTITION: dict[str, Any] = {"assignment": "partition", "adjacency": "zero-out"}
MODELS = {
    "classifier": (PNSGDClassifier(batch_size=20, learn_epochs=5, regularisation=0.1), Y),
    "three classes": (PNSGDClassifier(batch_size=25, learn_epochs=5, regularisation=0.1, batches="worst"), THIRDS),
    "radius": (PNSGDClassifier(batch_size=20, learn_epochs=5, regularisation=0.1, radius=1.0), Y),
    "partition": (PNSGDClassifier(batch_size=20, learn_epochs=5, regularisation=0.1, **PARTITION), Y),
    "hinge": (
        PNSGDClassifier(
            loss="smoothed-hinge", batch_size=20, learn_epochs=5, assignment="partition", adjacency="replace", dtype="float32"
        ),
        Y,
    ),
    "paper": (PNSGDClassifier(batch_size=20, learn_epochs=5, regularisation=0.1, bound="paper", **PARTITION), Y),
    "regressor": (PNSGDRegressor(learn_epochs=5, regularisation=0.1, fit_intercept=False), X[:, 1]),
}
many = {"max_steps": 10**6}


def fitted(name: str, random_state: int | None) -> Any:
    estimator, y = MODELS[name]
    # With noise for an epoch of each request: so few rows need no step after a hundred requests were calibrated for.
    return clone(estimator).set_params(random_state=random_state, unlearn_epochs=1).fit(X, y)


def gone(model: Any) -> list[int]:
    """The rows that are no longer trained on."""
    draws = model._run.draws
    if draws is not None:
        return sorted(set(range(draws.came)) - set(draws.numbers.tolist()))
    assert not model._run.features[model._run.zeroed].any()
    return np.flatnonzero(model._run.zeroed).tolist()


def answers(model: Any) -> tuple[Any, ...]:
    """All that a model says."""
    said = [model.predict(X).tolist(), model.coef_.tolist(), np.asarray(model.intercept_).tolist(), model.planned_steps(2)]
    said += [model.sigma_, model.delta_, model.requests_, model.steps_run_, getattr(model, "guarantee_", None)]
    said += [model._stream.to_json(), model._run.orders.tolist(), model._run.features.tolist(), gone(model)]
    return (*said, model.decision_function(X).tolist() if hasattr(model, "decision_function") else None)


# Copies


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("random_state", [None, 3])
def test_copies_of_estimators_answer_alike_and_go_their_own_ways(how: str, name: str, random_state: int | None) -> None:
    model = fitted(name, random_state)
    model.unlearn([1], **many)
    twin = COPIES[how](model)
    assert answers(twin) == answers(model)
    before = answers(model)
    twin.unlearn([2, 3], **many)
    assert answers(model) == before, "the original has not moved"
    model.unlearn([2, 3], **many)
    assert twin.steps_run_ == model.steps_run_
    assert sum(model.steps_run_[1:]) > 0
    assert twin.guarantee_ == model.guarantee_
    assert twin._stream.to_json() == model._stream.to_json()
    assert np.array_equal(twin.coef_, model.coef_) == (random_state is not None)
    with pytest.raises(InputError, match="removed before"):
        twin.unlearn([1])


@pytest.mark.parametrize("how", COPIES)
def test_copies_of_estimators_that_are_not_fitted(how: str) -> None:
    model = PNSGDClassifier(batch_size=20, random_state=1)
    twin = COPIES[how](model)
    assert repr(twin) == repr(model)
    np.testing.assert_array_equal(twin.fit(X, Y).coef_, model.fit(X, Y).coef_)


SCHEDULES = [
    None,
    Schedule([Learn(steps=9, step_size=cosine(start=2.0, end=0.1, steps=9)), Unlearn(steps=2, sigma=[1.0, 2.0])]),
]


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seed", [None, 3])
def test_copies_of_trainers_and_runs(how: str, schedule: Schedule | None, seed: int | None) -> None:
    loss = Logistic(regularisation=0.1)
    algorithm = PNSGD(loss.problem(N, adjacency="zero-out"), 20, learn_epochs=3, radius=2.0)
    trainer = Trainer(loss, algorithm, sigma=0.1, trials=4, seed=seed, schedule=schedule, initial_variance=0.1)
    labels = np.where(Y, 1, -1)
    run = trainer.learn(X, labels)
    other, twin = COPIES[how](trainer), COPIES[how](run)
    for name in ("parameters", "orders", "features", "labels", "zeroed"):
        np.testing.assert_array_equal(getattr(twin, name), getattr(run, name))
    assert (twin.steps, twin.learned, twin.next_batch, twin.origin) == (run.steps, run.learned, run.next_batch, run.origin)
    assert not twin.parameters.flags.writeable
    ask = {"sigma": 0.1, "epsilon": 1.0} | ({"steps": 3} if schedule is None else {})
    assert other.accountant(twin).delta(**ask) == trainer.accountant(run).delta(**ask)
    length = {"steps": 3} if schedule is None else {}
    replayed = seed is not None
    # Whichever goes first.
    pairs = [(other.learn(X, labels), trainer.learn(X, labels))]
    pairs += [(other.unlearn(twin, [1], **length), trainer.unlearn(run, [1], **length))]
    pairs += [(other.retrain(pairs[1][0]), trainer.retrain(pairs[1][1]))]
    for theirs, ours in pairs:
        assert np.array_equal(theirs.parameters, ours.parameters) == replayed
    # One run asked twice never gives the same noise.
    assert (trainer.unlearn(run, [1], **length).parameters != pairs[1][1].parameters).all()


def request_in_a_pool(model: Any, rows: list[int]) -> tuple[Any, ...]:
    before = answers(model)
    return before, model.unlearn(rows, max_steps=10**6).coef_


def learn_in_a_pool(trainer: Trainer) -> Any:
    return trainer.learn(X, np.where(Y, 1, -1)).parameters


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_pools_of_processes_and_threads(backend: str) -> None:
    for random_state in (None, 5):
        model = fitted("classifier", random_state)
        with joblib.parallel_backend(backend, n_jobs=2):
            # Threads share what they are given; processes have copies.
            jobs = [copy.deepcopy(model) if backend == "threading" else model for _ in range(3)]
            found = joblib.Parallel()(joblib.delayed(request_in_a_pool)(each, [1]) for each in jobs)
        assert all(before == answers(model) for before, _ in found)
        assert len({coef.tobytes() for _, coef in found}) == (3 if random_state is None else 1)
    loss = Logistic(regularisation=0.1)
    trainer = Trainer(loss, PNSGD(loss.problem(N), 20, learn_epochs=2), sigma=0.1)
    with joblib.parallel_backend(backend, n_jobs=2):
        parameters = joblib.Parallel()(joblib.delayed(learn_in_a_pool)(trainer) for _ in range(4))
    assert len({each.tobytes() for each in parameters}) == 4


def in_a_fork(work: Callable[[], bytes]) -> bytes:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(write, work())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_processes_draw_noise_of_their_own() -> None:
    loss, labels = Logistic(regularisation=0.1), np.where(Y, 1, -1)
    for seed in (None, 3):
        trainer = Trainer(loss, PNSGD(loss.problem(N, adjacency="zero-out"), 20, learn_epochs=1), sigma=0.1, seed=seed)
        run, model = trainer.learn(X, labels), fitted("classifier", seed)
        for work in (
            lambda trainer=trainer: trainer.learn(X, labels).parameters.tobytes(),
            lambda trainer=trainer, run=run: trainer.unlearn(run, [1], steps=2).parameters.tobytes(),
            lambda model=model: model.unlearn([1]).coef_.tobytes(),
        ):
            found = {in_a_fork(work), in_a_fork(work), work()}
            assert len(found) == (3 if seed is None else 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_does_not_wait_for_a_thread_that_it_does_not_have() -> None:
    loss, model = Logistic(regularisation=0.1), fitted("classifier", None)
    trainer = Trainer(loss, PNSGD(loss.problem(N), 20, learn_epochs=1), sigma=0.1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with model.alone(), trainer._seeds._lock:
            held.set()
            done.wait()

    def ended_by_alarm(work: Callable[[], Any]) -> bytes:
        signal.alarm(30)
        return bytes(np.asarray(work()).tobytes())

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        for work in (lambda: model.unlearn([1]).coef_, lambda: trainer.learn(X, np.where(Y, 1, -1)).parameters):
            assert in_a_fork(lambda work=work: ended_by_alarm(work))
    finally:
        done.set()
        thread.join()


# Threads


def together(*calls: Callable[[], Any]) -> list[Any]:
    """All at once; what each gives or raises."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_two_threads_on_one_estimator_are_served_one_after_the_other() -> None:
    """Both were recorded with the steps of a first request, and one of the rows was often still trained on."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 5)) / 5
    y = x[:, 0] > 0
    for _ in range(6):
        settings = {"regularisation": 0.05, "learn_epochs": 10, "unlearn_epochs": 1, **PARTITION}
        model = PNSGDClassifier(epsilon=1.0, delta=1e-3, batch_size=100, random_state=0, **settings).fit(x, y)
        together(lambda: model.unlearn([0]), lambda: model.unlearn([1]))  # noqa: B023
        assert model.steps_run_ == (4, 10)
        assert sorted(model.requests_) == [(0,), (1,)]
        assert not model._run.features[[0, 1]].any()
        assert (model._stream.points, model._stream.total_steps, model._run.steps) == (2, 14, 40 + 14)
        assert model.guarantee_.epsilon(1e-3) <= 1.0


def test_many_threads_ask_for_the_same_and_for_other_rows() -> None:
    model = fitted("classifier", None)
    found = together(*(lambda row=row: model.unlearn([row % 4], **many) for row in range(8)))
    assert sum(isinstance(each, InputError) for each in found) == 4
    assert sorted(model.requests_) == [(0,), (1,), (2,), (3,)]
    assert gone(model) == [0, 1, 2, 3]
    assert model._stream.points == 4


def test_requests_while_others_fit_copy_save_and_predict(tmp_path: Any) -> None:
    model = fitted("classifier", None)
    file = tmp_path / "model.npz"
    for row in range(4):
        found = together(
            lambda row=row: model.unlearn([row], **many),
            lambda: model.predict(X),
            lambda: pickled(model),
            lambda: copy.deepcopy(model),
            lambda: model.save(file),
            lambda: model.planned_steps(),
        )
        assert not any(isinstance(each, Exception) for each in found), found
        for twin in (found[2], found[3], PNSGDClassifier.load(file)):
            rows = [row for request in twin.requests_ for row in request]
            assert rows in (list(range(row)), list(range(row + 1)))
            assert gone(twin) == rows
            assert twin._stream.points == len(rows)
            assert hasattr(twin, "guarantee_") == bool(rows)
    found = together(lambda: model.fit(X, Y), lambda: model.unlearn([7], **many))
    assert model.requests_ in ((), ((7,),))
    assert len(gone(model)) == len(model.requests_)


def test_threads_on_one_trainer_and_on_one_run_draw_noise_of_their_own() -> None:
    loss, labels = Logistic(regularisation=0.1), np.where(Y, 1, -1)
    for seed in (None, 5):
        trainer = Trainer(loss, PNSGD(loss.problem(N, adjacency="zero-out"), 20, learn_epochs=2), sigma=0.1, seed=seed)
        run = trainer.learn(X, labels)
        learned = together(*(lambda: trainer.learn(X, labels) for _ in range(8)))  # noqa: B023
        answered = together(*(lambda: trainer.unlearn(run, [1], steps=4) for _ in range(8)))  # noqa: B023
        for runs in (learned, answered):
            assert all(isinstance(each, Run) for each in runs)
            assert len({each.parameters.tobytes() for each in runs}) == 8


def test_seeds_are_spawned_once_each() -> None:
    for seed in (None, 1):
        seeds = Seeds(seed)
        found = together(*(lambda: [seeds.spawn().generate_state(2).tolist() for _ in range(50)] for _ in range(4)))  # noqa: B023
        assert len({tuple(each) for several in found for each in several}) == 200


# Interrupts


class Interrupt:
    """Raises KeyboardInterrupt at the given line of the package, of those that run from now on; counts them."""

    def __init__(self, at: float) -> None:
        self.at, self.lines = at, 0

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        if "accountant" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                raise KeyboardInterrupt
        return self


def interrupted(model: Any, at: float) -> int:
    """A request that is interrupted at a line; how many it ran."""
    interrupt, tracing = Interrupt(at), sys.gettrace()
    sys.settrace(interrupt)
    try:
        model.unlearn([2], **many)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(tracing)
    return interrupt.lines


def test_no_interrupt_leaves_a_record_of_what_did_not_happen() -> None:
    """At any line of a request: it has been answered, or nothing has changed."""
    base = fitted("classifier", 2)
    base.unlearn([1], **many)
    before, finished = answers(base), copy.deepcopy(base)
    # Asked before, it computes less.
    lines = interrupted(finished, math.inf)
    done = answers(finished)
    assert before != done
    # Every line near the end, where things are written down.
    places = {*range(lines - 20, lines + 1), *np.random.default_rng(0).integers(1, lines, 8).tolist()}
    found = set()
    for at in places:
        model = copy.deepcopy(base)
        assert interrupted(model, at) == at
        now = answers(model)
        assert now in (before, done)
        found.add(now == done)
    assert found == {True, False}
