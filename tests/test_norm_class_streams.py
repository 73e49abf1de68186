"""Streams whose requests are of several classes of norm: what each left adds up, with its own sensitivity."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import numpy as np
import oracle
import pytest
from mpmath import mp, mpf

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, UnlearningStream, preset
from accountant.certificates import certify_stream
from accountant.numerics import UnreachableError
from accountant.requests import about_every_point

SHARES = (1.0, 0.25, 0.5, 0.125, 1.0, 0.25)


def run(algorithm: PNSGD, **target: Any) -> UnlearningStream:
    return UnlearningStream(UnlearningAccountant(algorithm), **{"sigma": 0.05, "epsilon": 1.0, "delta": 1e-3, **target})


@mp.workdps(40)
def test_full_batches_leave_the_sum_of_what_each_class_left() -> None:
    """The exact Gaussians of f(x; d) = (m/2)x^2 + r_i d x: after converged learning they are what is proved, to nine digits."""
    problem = Problem(n=20, smoothness=1.0, strong_convexity=0.1, lipschitz=2.0)
    stream = run(PNSGD(problem, step_size=0.5), sigma=0.3, epsilon=0.5)
    eta, sigma, c, distance = mpf(0.5), mpf(0.3), 1 - mpf(0.5) * mpf(0.1), mpf(0)
    for share in SHARES:
        planned = stream.planned(1, norm_class=share)
        assert stream.request(1, norm_class=share) == planned.steps
        distance = (distance + mpf(share) * 2 * eta * 2 / (20 * (1 - c))) * c**planned.steps
        mu = distance * mp.sqrt(1 - c * c) / (mp.sqrt(2 * eta) * sigma)
        exact = oracle.gdp_epsilon(delta=1e-3, mu=mu)
        assert exact <= planned.guarantee.epsilon(1e-3) <= exact * (1 + mpf("1e-9"))
        assert planned.guarantee.epsilon(1e-3) <= 0.5
        # One step less would not do.
        assert planned.steps == 0 or oracle.gdp_epsilon(delta=1e-3, mu=mu / c) > 0.5


def averaged(sizes: list[int], shares: list[float], steps: list[int], *, learned: int, own: bool) -> mpf:
    """delta(0.5), averaged over the places of the deleted points, of the exact Gaussians; eta = 0.5, m = 0.25, M = 1."""
    eta, c, length = mpf(0.5), 1 - mpf(0.5) * mpf(0.25), len(sizes)
    slots = [batch for batch, size in enumerate(sizes) for _ in range(size)]
    places = list(product(range(length), repeat=len(shares))) if own else list(permutations(slots, len(shares)))
    factor, total = (1 if own else 2), mpf(0)
    clock, gone = learned * length, []
    for count in steps:
        gone.append(clock)
        clock += count
    variance = 2 * eta * sum(c ** (2 * k) for k in range(clock)) * mpf(SIGMA) ** 2
    for place in places:
        distance = mpf(0)
        for batch, share, until in zip(place, shares, gone, strict=True):
            visits = [at for at in range(until) if at % length == batch]
            distance += sum(factor * eta * mpf(share) / sizes[batch] * c ** (clock - 1 - at) for at in visits)
        total += oracle.gdp_delta(epsilon=0.5, mu=distance / mp.sqrt(variance))
    return total / len(places)


SIGMA = 0.4


@pytest.mark.parametrize("shares", [[1.0, 0.25, 0.5], [0.25, 1.0, 0.25], [0.5, 0.5, 0.125]])
@pytest.mark.parametrize("learned", [1, 4])
@mp.workdps(30)
def test_every_place_of_a_small_partition(shares: list[float], learned: int) -> None:
    problem = Problem(n=6, smoothness=1.0, strong_convexity=0.25)
    stream = run(PNSGD(problem, 2, step_size=0.5, learn_epochs=learned), sigma=SIGMA, epsilon=0.5, delta=0.02)
    steps: list[int] = []
    for share in shares:
        planned = stream.planned(1, norm_class=share)
        steps.append(stream.request(1, norm_class=share))
        exact = averaged([2, 2, 2], shares[: len(steps)], steps, learned=learned, own=False)
        assert exact <= planned.guarantee.delta(0.5) <= 0.02


def check_random_streams(seed: int, count: int) -> None:
    """Groups of mixed classes at any time on any partition, saved on the way: the Gaussians of every placement, averaged."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n, convexity, eta = int(rng.integers(2, 6)), float(rng.uniform(0.05, 1)), float(rng.uniform(0.1, 1))
        batch, learned, factor = int(rng.integers(1, n + 1)), int(rng.choice([1, 2, 5, 300])), int(rng.integers(1, 3))
        problem = Problem(n=n, smoothness=1.0, strong_convexity=convexity, adjacency="replace" if factor == 2 else "zero-out")
        algorithm = PNSGD(problem, batch, step_size=eta, learn_epochs=learned if learned < 300 else None)
        scale, c = factor * math.sqrt(eta / 2) / batch, 1 - eta * convexity
        target = {"epsilon": float(rng.uniform(0.05, 2)), "delta": float(10 ** rng.uniform(-4, -1))}
        stream = run(algorithm, sigma=scale * float(10 ** rng.uniform(-0.5, 1.2)), **target)
        sizes = algorithm.batch_sizes(np.arange(algorithm.steps_per_epoch)).astype(int).tolist()
        slots = [place for place, size in enumerate(sizes) for _ in range(size)]
        clock, gone = learned * len(sizes), []
        while len(gone) < min(n - 1, 4):
            group = rng.choice([1.0, 0.5, 0.25, float(rng.uniform(0.01, 1))], size=int(rng.integers(1, min(n - len(gone), 3))))
            for share in group[:-1].tolist():
                stream.arrive(1, norm_class=share)
            stream = UnlearningStream.from_json(stream.to_json(), stream.accountant)
            try:
                planned = stream.planned(1, norm_class=float(group[-1]))
                steps = stream.request(1, norm_class=float(group[-1]))
            except UnreachableError:
                break
            gone += [(share, clock) for share in group.tolist()]
            clock += steps
            noise = stream.sigma * math.sqrt(2 * eta * (1 - c ** (2 * clock)) / (1 - c * c))
            mus = Counter(
                round(
                    sum(
                        factor * eta * share / sizes[place] * c ** (clock - 1 - at)
                        for place, (share, until) in zip(places, gone, strict=True)
                        for at in range(place, until, len(sizes))
                    ) / noise, 13,
                )
                for places in permutations(slots, len(gone))
            )  # fmt: skip
            for epsilon in (target["epsilon"], 0.5 * target["epsilon"]):
                exact = sum(times * oracle.gdp_delta(epsilon=epsilon, mu=mu) for mu, times in mus.items()) / sum(mus.values())
                assert exact <= mpf(planned.guarantee.delta(epsilon)) * (1 + mpf("1e-9")) + mpf("1e-14")


def test_random_groups_of_mixed_classes_are_never_above() -> None:
    check_random_streams(1, 25)


@pytest.mark.slow
def test_hundreds_of_random_streams_of_mixed_classes_are_never_above() -> None:
    check_random_streams(2, 300)


@pytest.mark.parametrize("own", [{}, {"learn_epochs": 20}, {"assignment": "secret"}, {"radius": 0.3}])
def test_a_stream_of_one_class_is_that_of_its_problem(own: dict[str, Any]) -> None:
    """As the algorithm's class, as every request's, and as the bound M itself: the same steps."""
    problem = replace(preset("mnist"), adjacency="remove" if "assignment" in own else "replace")
    algorithm = PNSGD(problem, 128, **own)
    shorter = replace(algorithm, problem=replace(problem, lipschitz=0.35))
    asked = {"sigma": 0.003, "delta": 1e-5}
    by_request, by_class, by_bound = (
        run(one, **asked) for one in (algorithm, replace(algorithm, norm_class=0.35), shorter)
    )  # fmt: skip
    for points in (1, 1, 3, 1):
        steps = by_request.request(points, norm_class=0.35)
        assert steps == by_class.request(points) == by_bound.request(points)


def test_answers_of_other_classes_are_not_taken_for_ones_own() -> None:
    """What was worked out for one class from a past is not read for another."""
    for own in ({}, {"assignment": "secret"}):
        problem = replace(preset("mnist"), adjacency="remove" if own else "replace")
        algorithm = PNSGD(problem, 128, **own)
        seen, shares = run(algorithm, sigma=0.003), (0.1, 1.0, 0.3)
        seen.request(2)
        seen.request(1, norm_class=0.5)
        for share in shares:
            alone = run(algorithm, sigma=0.003)
            alone.request(2)
            alone.request(1, norm_class=0.5)
            found, fresh = seen.planned(1, norm_class=share), alone.planned(1, norm_class=share)
            assert found.steps == fresh.steps
            assert found.guarantee.epsilon(1e-3) == fresh.guarantee.epsilon(1e-3)


def test_steps_never_fall_as_a_class_grows_whatever_came_before() -> None:
    stream = run(PNSGD(preset("mnist"), 128), sigma=0.003)
    for share in SHARES:
        planned = [stream.planned(1, norm_class=one).steps for one in (0.05, 0.2, 0.5, 1.0)]
        assert planned == sorted(planned)
        assert planned[0] < planned[-1]
        stream.request(1, norm_class=share)


def test_what_waits_counts_in_its_largest_class() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    for first, second, largest in ((0.25, 0.5, 0.5), (0.5, 0.25, 0.5), (None, 0.25, 1.0), (0.25, None, 1.0)):
        merged, alone = run(algorithm, sigma=0.003), run(algorithm, sigma=0.003)
        merged.arrive(1, norm_class=first)
        assert merged.request(1, norm_class=second) == alone.request(2, norm_class=largest)
        assert merged.state == alone.state


def test_a_saved_stream_goes_on_with_its_classes() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    stream = run(algorithm, sigma=0.003)
    assert "classes" not in stream.to_json()
    for share in SHARES:
        stream.request(1, norm_class=share)
    stream.arrive(2, norm_class=0.25)
    again = UnlearningStream.from_json(stream.to_json(), stream.accountant)
    assert again.state.classes == ((0.125, 1), (0.25, 2), (0.5, 1))
    assert again.process() == stream.process()
    assert again.to_json() == stream.to_json()
    for damage in ([[0.5, 1], [0.25, 1]], [[0.5, 99]], [[1.5, 1]], [[0.5]], "0.5", [[0.5, 0]]):
        broken = json.loads(stream.to_json())
        broken["state"]["classes"] = damage
        with pytest.raises(InputError, match="stream state"):
            UnlearningStream.from_json(json.dumps(broken), stream.accountant)


def test_what_holds_names_the_classes_and_what_they_disclose() -> None:
    stream = run(PNSGD(preset("mnist"), 128), sigma=0.003)
    stream.request(2)
    assert not any("class" in line for line in stream.planned(1).guarantee.assumptions)
    stream.request(1, norm_class=0.25)
    lines = stream.planned(3, norm_class=0.5).guarantee.assumptions
    assert any(line.startswith("classes of norm of the deleted points: 1 of 0.25, 3 of 0.5, 2 of 1;") for line in lines)
    assert any("steps or sigma disclose" in line for line in lines)


def test_classes_that_a_stream_has_not_are_refused_and_change_nothing() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    stream, published = run(algorithm), UnlearningAccountant(algorithm, bound="paper")
    before = stream.to_json()
    for share in (0, 1.5, -1, float("nan"), "a", True):
        with pytest.raises(InputError, match="norm_class"):
            stream.request(1, norm_class=share)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"norm_class must be .*at most 0\.5"):
        run(replace(algorithm, norm_class=0.5)).request(1, norm_class=0.75)
    with pytest.raises(InputError, match="norm_class needs bound=optimal"):
        UnlearningStream(published, sigma=1.0, epsilon=1.0).request(1, norm_class=0.5)
    assert stream.to_json() == before


def test_a_stream_with_classes_has_no_certificate() -> None:
    stream = run(PNSGD(preset("mnist"), 128), sigma=0.003)
    steps = stream.request(1, norm_class=0.5)
    with pytest.raises(InputError, match=r"norm_class .*must be left out for a certificate"):
        certify_stream(stream, [(1, steps)])


def test_all_releases_together_have_the_class_too() -> None:
    whole, half = (UnlearningAccountant(PNSGD(preset("mnist"), 128, norm_class=share)) for share in (1.0, 0.5))
    told = [about_every_point(one, sigma=0.1 * share, releases=3).epsilon(1e-5) for one, share in ((whole, 1.0), (half, 0.5))]
    assert told[1] == pytest.approx(told[0], rel=1e-9)


def test_a_state_with_classes_is_no_state_of_a_published_bound() -> None:
    stream = UnlearningStream(UnlearningAccountant(PNSGD(preset("mnist"), 128), bound="paper"), sigma=0.03, epsilon=1.0)
    stream.request(1)
    data = json.loads(stream.to_json())
    assert UnlearningStream.from_json(json.dumps(data), stream.accountant).state == stream.state
    data |= {"pending": 1, "state": data["state"] | {"waiting": 0.1}}
    with pytest.raises(InputError, match="classes of the stream state need bound=optimal, got paper"):
        UnlearningStream.from_json(json.dumps(data), stream.accountant)
