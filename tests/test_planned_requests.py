"""Planning a request takes short cuts, and none changes an answer: against streams that know nothing, and smallest epsilons."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountant import PNSGD, Problem, UnlearningAccountant, UnlearningStream
from accountant.curves import AddedCurve, Curve, GaussianMixtureCurve, GDPCurve, RedrawnCurve, excess_of, rounded_down
from accountant.numerics import guided_whole
from accountant.requests.lately import Lately
from accountant.requests.past import MOST_CELLS, PastLaw

KINDS = [("secret", "remove"), ("secret", "replace"), ("partition", "replace"), ("partition", "zero-out")]


@st.composite
def streams(draw: st.DrawFn) -> UnlearningStream:
    """Streams of a few batches whose requests pile up: of every assignment, length of learning, and with a ball or without."""
    assignment, adjacency = draw(st.sampled_from(KINDS))
    batches, size = draw(st.integers(2, 12)), draw(st.integers(2, 6))
    n = batches * size
    problem = Problem(n=n, smoothness=1.0, strong_convexity=draw(st.floats(0.005, 0.3)), adjacency=adjacency)
    own: dict[str, Any] = {"largest_n": 2 * n, "redraw": False, "step_size": 1 / 12} if assignment == "secret" else {}
    radius = draw(st.sampled_from([None, 5.0])) if assignment == "partition" else None
    epochs = draw(st.sampled_from([None, 1, 3, 30]))
    algorithm = PNSGD(problem, size, learn_epochs=epochs, assignment=assignment, radius=radius, **own)
    accountant = UnlearningAccountant(algorithm)
    epsilon, delta = draw(st.floats(0.1, 4.0)), draw(st.sampled_from([1e-2, 1e-5]))
    # Noise with which a single request takes a few steps.
    sigma = float(accountant.sigma(epsilon=epsilon, delta=max(delta, 1.1 * _spent(algorithm)), steps=draw(st.integers(1, 40))))
    delta = max(delta, 1.1 * _spent(algorithm))
    return UnlearningStream(accountant, sigma=sigma, epsilon=epsilon, delta=min(delta, 0.5))


def _spent(algorithm: PNSGD) -> float:
    """What batches that are too large cost of delta."""
    from accountant.problem import oversize

    return math.exp(min(oversize(algorithm).log_added, -1.0)) if algorithm.own_draws else 0.0


def cold(stream: UnlearningStream) -> UnlearningStream:
    """The same state, and nothing that was worked out before; where to begin to look is forgotten, too."""
    restored = UnlearningStream.from_json(stream.to_json(), stream.accountant)
    restored._guess = 0
    return restored


@settings(max_examples=6, deadline=None)
@given(streams(), st.lists(st.integers(1, 2), min_size=3, max_size=6))
def test_streams_that_remember_answer_as_those_that_know_nothing(stream: UnlearningStream, sizes: list[int]) -> None:
    for points in sizes:
        if stream.points + points >= stream.accountant.algorithm.problem.n:
            break
        planned, anew = stream.planned(points), cold(stream).planned(points)
        assert planned.steps == anew.steps
        assert planned.guarantee == anew.guarantee
        assert stream.request(points) == planned.steps


@settings(max_examples=12, deadline=None)
@given(streams(), st.lists(st.integers(1, 2), min_size=3, max_size=5))
def test_steps_are_the_fewest_and_what_is_stated_is_the_smallest_epsilon(stream: UnlearningStream, sizes: list[int]) -> None:
    delta = np.log(np.array([stream.delta]))

    def least(points: int, steps: int) -> float:
        """The smallest epsilon of all curves, each looked for to the last digit."""
        return min(
            (
                float(one.curve.epsilon(delta, one.log_weights, one.log_scale)[0])
                for one in stream.mixtures(points, steps)
                if one.log_scale.max() < 300
            ),
            default=math.inf,
        )

    for points in sizes:
        if stream.points + points >= stream.accountant.algorithm.problem.n:
            break
        steps, guarantee = stream.planned(points)
        stated = guarantee.epsilon(stream.delta)
        assert stated <= stream.epsilon * (1 + 1e-9)
        if stream.accountant.algorithm.radius is None:
            # Behind a ball there are blocks, too, which are no mixtures.
            assert least(points, steps) * (1 - 1e-10) <= stated <= least(points, steps) * (1 + 1e-10)
            assert steps == 0 or least(points, steps - 1) > stream.epsilon * (1 - 1e-9)
        stream.request(points)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(-2, 10**6), st.integers(0, 2 * 10**6),
    st.sampled_from(["line", "curve", "flat", "nothing", "wrong", "noise"]), st.integers(0, 2**32),
)  # fmt: skip
def test_hints_save_questions_and_never_change_the_number(switch: int, more: int, start: int, kind: str, seed: int) -> None:
    high, rng, asked = max(switch + more, 0), np.random.default_rng(seed), 0
    start = min(start, high)

    def holds(number: int) -> bool:
        nonlocal asked
        asked += 1
        assert 0 <= number <= high
        return number >= switch

    def excess(number: int) -> float | None:
        short = switch - 0.5 - number
        hints = {"line": short, "curve": math.expm1(short / 1e6), "flat": max(min(short, 1.0), -1.0), "nothing": None}
        return {**hints, "wrong": -short, "noise": float(rng.choice([math.nan, math.inf, 1.0, -1.0, short]))}[kind]

    assert guided_whole(holds, excess, 0, high, start) == min(switch, high + 1)
    assert asked <= (15 if kind in ("line", "curve") else 130)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 5), st.floats(0.0, 6.0), st.floats(-30.0, -1.0), st.integers(0, 2**32))
def test_a_target_is_missed_exactly_where_delta_is_above_it(
    inside: int, outside: int, epsilon: float, log_delta: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    log_weights = np.concatenate([np.log(rng.dirichlet(np.ones(size))) for size in (inside, outside) if size])
    log_mu = np.log(rng.uniform(0.01, 2.5, (3, inside + outside)))
    e, d = np.full(3, epsilon), np.full(3, log_delta) + np.array([0.0, 0.5, -0.5])
    pair = GaussianMixtureCurve(outside)
    curves: list[Curve] = [pair, AddedCurve(pair, log_delta - 2)]
    curves += [] if outside else [GDPCurve(), AddedCurve(GDPCurve(), log_delta - 2), AddedCurve(GDPCurve(), log_delta + 1)]
    for curve in curves:
        missed = excess_of(curve, e, d, log_weights, log_mu)
        above = curve.log_delta(e, log_weights, log_mu) - rounded_down(d)
        clear = np.abs(above) > 1e-9
        assert ((missed > 0) == (above > 0))[clear].all()
        assert ((missed <= 0) == curve.meets(e, d, log_weights, log_mu)).all()
        smallest = curve.epsilon(d, log_weights, log_mu)
        apart = np.abs(smallest - e) > 1e-9
        assert ((missed <= 0) == (smallest <= e))[apart].all()
    if not outside:
        redrawn = RedrawnCurve(pair, log_delta - 9)
        missed = excess_of(redrawn, e + 0.1, d, log_weights, log_mu)
        smallest = redrawn.epsilon(d, log_weights, log_mu)
        apart = np.abs(smallest - e - 0.1) > 1e-9
        assert ((missed <= 0) == (smallest <= e + 0.1))[apart].all()


@pytest.mark.parametrize(
    ("old", "first", "few"), [(80, 0, False), (80, 30, False), (80, 30, True), (20, 30, False), (3, 0, False)]
)
def test_the_law_of_a_sum_is_above_the_sum_of_every_pair(old: int, first: int, few: bool) -> None:
    rng = np.random.default_rng(old + first)
    law = PastLaw.nothing(0.1, -60.0).plus(np.arange(0.5, old) * 0.1, rng.dirichlet(np.ones(old)))
    values = np.arange(first + 0.5, first + 40, 13 if few else 1, dtype=np.float64) * 0.1
    weights = rng.dirichlet(np.ones(values.size))
    found = law.plus(values, weights).tail
    # P(X + Y > 0.1 (k - 1)), from what is known of X, outcome of Y by outcome.
    cells = np.ceil(values / 0.1).astype(int)
    for k in range(1, found.size - 1):
        each = [law.tail[min(k - j, law.tail.size - 1)] if k > j else 1.0 for j in cells]
        total = float(weights @ each)
        assert total * (1 - 1e-15) <= found[k] <= max(total * (1 + 1e-6), 2 * found[-1]) + 1e-300


def test_what_is_beyond_every_cell_is_the_worst_outcome() -> None:
    law = PastLaw.nothing(1.0, -60.0).plus(np.arange(100.0), np.full(100, 0.01))
    far = law.plus(MOST_CELLS + np.arange(100.0), np.full(100, 0.01))
    assert far.tail.size <= MOST_CELLS + 1
    assert far.tail[-1] == 1.0
    assert far.worst >= MOST_CELLS + 99 + 99


def test_what_was_asked_lately_is_not_worked_out_again() -> None:
    lately = Lately()
    worked: list[int] = []

    def ask(question: int) -> int:
        def work() -> int:
            worked.append(question)
            return question**2

        return lately.answer(question, work)

    assert [ask(k) for k in (1, 2, 1, 2, 3, 1)] == [1, 4, 1, 4, 9, 1]
    assert worked == [1, 2, 3]
    assert [ask(k) for k in range(4, 9)] == [16, 25, 36, 49, 64]
    ask(1)
    assert worked[-1] == 1
    assert pickle.loads(pickle.dumps(lately))._kept == ()
