"""Everything public answers, copied or pickled, bit for bit as the original."""

import copy
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accountant import (
    PNSGD,
    Guarantee,
    Learn,
    Problem,
    Schedule,
    Unlearn,
    UnlearningAccountant,
    UnlearningStream,
    preset,
)
from accountant.methods import METHODS
from accountant.numerics import DOUBLE
from accountant.problem import cosine
from accountant.questions import Setup

MNIST = PNSGD(preset("mnist"), 128)
SMALL = Problem(n=103, smoothness=1.0, strong_convexity=0.05)
SCHEDULES = (
    Schedule([Learn(), Unlearn(steps=9, sigma=2.0), Unlearn()]),
    Schedule(
        [
            Learn(epochs=3, step_size=0.5),
            Learn(epochs=2, batch_size=20),
            Unlearn(steps=12, sigma=cosine(start=2.0, end=1.0, steps=12)),
        ]
    ),
)
COPIES: tuple[Callable[[Any], Any], ...] = (copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value)))


def accountants() -> dict[str, UnlearningAccountant]:
    small = PNSGD(SMALL, 10)
    return {
        "random": UnlearningAccountant(MNIST),
        "radius": UnlearningAccountant(PNSGD(preset("mnist"), 128, radius=1.0)),
        "worst": UnlearningAccountant(MNIST, batches="worst"),
        "position": UnlearningAccountant(small, batches=3),
        "placed": UnlearningAccountant(small, batches=[2, 1] + [0] * 9),
        "group worst": UnlearningAccountant(small, batches="worst", group_size=12),
        "group of few": UnlearningAccountant(PNSGD(SMALL, 50), group_size=3),
        "group random": UnlearningAccountant(small, group_size=30),
        "reshuffled": UnlearningAccountant(small, batches="reshuffle"),
        "dropped": UnlearningAccountant(PNSGD(SMALL, 10, last_batch="drop")),
        "finite": UnlearningAccountant(PNSGD(SMALL, 10, learn_epochs=4, radius=2.0), reference=7),
        "paper": UnlearningAccountant(MNIST, bound="paper"),
        "geometric": UnlearningAccountant(small, bound="paper-geometric", batches="random"),
        "open schedule": UnlearningAccountant(small, schedule=SCHEDULES[0]),
        "rounded": UnlearningAccountant(PNSGD(SMALL, 10, rounding="float64", dimension=20)),
    }


def answers(accountant: UnlearningAccountant) -> list[Any]:
    found: list[Any] = []
    for ask in (
        lambda: accountant.epsilon(sigma=[0.05, 0.3], delta=1e-3, epochs=2),
        lambda: accountant.sigma(epsilon=1.0, delta=1e-3, epochs=2),
        lambda: accountant.steps(sigma=0.3, epsilon=1.0, delta=1e-3),
        lambda: accountant.guarantee(sigma=0.3, epochs=1).to_json(),
        lambda: accountant.tightness(epochs=1),
        lambda: accountant.rdp(alpha=3.0, sigma=0.3, epochs=1),
        lambda: accountant.assumptions(),
    ):
        try:
            found.append(ask())
        except ValueError as error:
            found.append((type(error), str(error)))
    return found


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", accountants())
@pytest.mark.parametrize("make", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("asked_before", [False, True])
def test_accountants_answer_as_their_copies(name: str, make: Callable[[Any], Any], asked_before: bool) -> None:
    accountant = accountants()[name]
    expected = answers(accountants()[name])
    if asked_before:
        answers(accountant)
    other = make(accountant)
    assert same(answers(other), expected)
    assert same(answers(accountant), expected)


@pytest.mark.parametrize("make", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_values_are_equal_to_their_copies(make: Callable[[Any], Any]) -> None:
    guarantee = UnlearningAccountant(MNIST).guarantee(sigma=0.01, epochs=1)
    values = [SMALL, MNIST, Setup(MNIST, batches="worst"), guarantee, guarantee.compose(guarantee), *SCHEDULES[:1]]
    for value in values:
        assert make(value) == value
    assert make(DOUBLE) is DOUBLE
    assert isinstance(make(guarantee), Guarantee)
    closed = UnlearningAccountant(PNSGD(SMALL, 10), schedule=SCHEDULES[1])
    assert make(closed).epsilon(sigma=0.3, delta=1e-3) == closed.epsilon(sigma=0.3, delta=1e-3)


@pytest.mark.parametrize("bound", ["optimal", "paper"])
@pytest.mark.parametrize("make", COPIES[1:], ids=["deepcopy", "pickle"])
def test_streams_go_on_as_their_copies(bound: str, make: Callable[[Any], Any]) -> None:
    for algorithm in (MNIST, PNSGD(preset("mnist"), 128, radius=1.0), PNSGD(SMALL, 10, learn_epochs=9, radius=1.0)):
        if bound == "paper" and algorithm.learn_epochs is not None:
            continue
        stream = UnlearningStream(UnlearningAccountant(algorithm, bound=bound), sigma=0.05, epsilon=1.0, delta=1e-3)
        stream.request()
        other = make(stream)
        assert [stream.request(k) for k in (1, 2, 3)] == [other.request(k) for k in (1, 2, 3)]
        assert stream.to_json() == other.to_json()


@pytest.mark.parametrize("make", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_methods_answer_as_their_copies(make: Callable[[Any], Any]) -> None:
    setup = Setup(PNSGD(preset("mnist"), dimension=784))
    question = {"epsilon": np.array([1.0]), "delta": np.array([1e-4]), "steps": np.array([3.0])}
    for method in METHODS.values():
        if method.refusal(setup) is None:
            assert np.array_equal(make(method).sigma(make(setup), **question), method.sigma(setup, **question))


def test_process_pools_answer_as_one_process() -> None:
    joblib = pytest.importorskip("joblib")
    chosen = accountants()
    names = ("radius", "group worst", "placed", "open schedule")
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(answers)(chosen[name]) for name in names)
    assert all(same(there, answers(chosen[name])) for there, name in zip(found, names, strict=True))


@pytest.mark.integration
@pytest.mark.parametrize("make", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("batches", ["random", "worst", 3, "reshuffle"])
def test_the_opacus_accountant_answers_as_its_copies(make: Callable[[Any], Any], batches: str | int) -> None:
    interop = pytest.importorskip("accountant.interop.opacus", exc_type=ValueError)
    algorithm = PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.05), 10)
    accountant = interop.register(algorithm, batches=batches, name=f"copies-{batches}")()
    for _ in range(20):
        accountant.step(noise_multiplier=2.0, sample_rate=0.1)
    other = make(accountant)
    assert type(other) is type(accountant)
    assert other.get_epsilon(1e-5) == accountant.get_epsilon(1e-5)
    other.step(noise_multiplier=2.0, sample_rate=0.1)
    assert (len(other), len(accountant)) == (21, 20)


def test_threads_on_one_stream_are_answered_one_after_the_other() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        check_threads()
    finally:
        sys.setswitchinterval(interval)


def check_threads() -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist"), 32))
    for _ in range(20):
        stream = UnlearningStream(accountant, sigma=0.01, epsilon=1.0)
        expected = sorted(stream.fresh().request_all([1] * 16).tolist())
        barrier, found = threading.Barrier(4), []

        def ask(stream: UnlearningStream = stream, barrier: threading.Barrier = barrier, found: list[int] = found) -> None:
            barrier.wait()
            found.extend(stream.request() for _ in range(4))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == expected
        assert (stream.requests, stream.points, stream.total_steps) == (16, 16, sum(expected))
