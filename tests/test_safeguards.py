"""Safeguards: each test here fails if one of them is taken out of the code."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import oracle_deletions
import pytest
from test_groups import brute, settings
from typer.testing import CliRunner

from accountant import (
    PNSGD,
    Guarantee,
    InputError,
    Learn,
    Problem,
    Schedule,
    Unlearn,
    UnlearningAccountant,
    UnlearningStream,
    mixture_delta,
    optimal_shifts,
    preset,
)
from accountant.averaging import RandomGroup, sampled_sum, worst_counts
from accountant.averaging import groups as groups_module
from accountant.averaging import reshuffle as reshuffle_module
from accountant.commands.program import app
from accountant.curves import rounded_up
from accountant.numerics import Law
from accountant.questions import load
from accountant.requests import rules as recursions
from accountant.requests.arrivals import Arrival, Queue
from accountant.shifts import Timeline
from accountant.shifts import timeline as timeline_module


def by_hand(bound: str, radius: float, requests: tuple[int, ...]) -> None:
    algorithm = PNSGD(preset("mnist"), 512, radius=radius)
    accountant = UnlearningAccountant(algorithm, bound=bound)
    z = 2 * algorithm.eta / 512 / (1 - algorithm.contraction**22)
    run = UnlearningStream(accountant, sigma=0.02, epsilon=1.0)
    distance = 0.0
    for points in requests:
        distance = min(distance + points * z, 2 * radius)
        steps = run.request(points)
        assert steps == accountant.steps(sigma=0.02, epsilon=1.0, start_distance=distance)
        distance *= algorithm.contraction**steps


def test_cap_is_carried() -> None:
    algorithm = PNSGD(preset("mnist"), 512)
    z = 2 * algorithm.eta / 512 / (1 - algorithm.contraction**22)
    by_hand("paper", 1.0 * z, (1, 8, 1, 1, 6, 1))


def test_restarts_are_used() -> None:
    algorithm = PNSGD(Problem(n=60, smoothness=1.0, strong_convexity=0.01), 6, radius=0.05)
    accountant = UnlearningAccountant(algorithm, batches="worst")
    ball = UnlearningStream(accountant, sigma=0.02, epsilon=1.0).request_all(np.ones(30))
    # never more than what the diameter alone asks of a single request
    most = accountant.steps(sigma=0.02, epsilon=1.0, start_distance=0.1)
    assert ball.max() <= most


def test_dropped_points_are_weighed() -> None:
    algorithm = PNSGD(Problem(n=60, smoothness=1.0, strong_convexity=0.1), 25, last_batch="drop")
    for points in (2, 4):
        random = UnlearningAccountant(algorithm, group_size=points)
        for k in (1, 4, 9):
            sigma = random.sigma(epsilon=1.0, delta=0.01, steps=k) * (1 + 1e-6)
            found = UnlearningStream(UnlearningAccountant(algorithm), sigma=sigma, epsilon=1.0, delta=0.01).request(points)
            assert found <= k + 1


def test_older_epochs_count(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = PNSGD(Problem(n=12, smoothness=1.0, strong_convexity=0.05), 3, learn_epochs=6)
    fine = UnlearningAccountant(algorithm, batches="reshuffle").epsilon(sigma=3.0, delta=1e-3, steps=2)
    monkeypatch.setattr(reshuffle_module, "_RECENT", 1)
    reshuffle_module._sum.cache_clear()
    coarse = UnlearningAccountant(algorithm, batches="reshuffle").epsilon(sigma=3.0, delta=1e-3, steps=2)
    reshuffle_module._sum.cache_clear()
    worst = UnlearningAccountant(algorithm, batches="worst").epsilon(sigma=3.0, delta=1e-3, steps=2)
    assert fine * (1 - 1e-9) < coarse <= worst * (1 + 1e-9)


def test_reshuffled_mass_adds_up() -> None:
    for radius in (None, 0.01):
        accountant = UnlearningAccountant(PNSGD(preset("mnist"), 128, radius=radius), batches="reshuffle")
        law = reshuffle_module.reshuffled_sum(accountant.placing.bound, accountant.setting, 3.0, 1)[1].law
        assert law.mass.sum() + law.lost == pytest.approx(1, rel=1e-12)


def test_reshuffled_outcomes_dominate_the_true_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = PNSGD(Problem(n=12, smoothness=1.0, strong_convexity=0.15), 4, learn_epochs=3)
    monkeypatch.setattr(reshuffle_module, "_CELLS", 7)
    reshuffle_module._sum.cache_clear()
    coarse = UnlearningAccountant(algorithm, batches="reshuffle")
    weights, mus = oracle_deletions.reshuffled_mixture(learn_epochs=3, steps=2, **settings(algorithm))
    scaled = [float(m) for m in mus]
    tv = Guarantee("gdp", np.array([float(w) for w in weights]), np.array(scaled))
    mine = coarse.guarantee(sigma=1.0, steps=2)
    reshuffle_module._sum.cache_clear()
    # P(X > t) is never below: stochastic dominance
    for t in np.linspace(0, max(scaled), 50):
        assert mine.weights[mine.values >= t * (1 - 1e-12)].sum() >= tv.weights[tv.values > t * (1 + 1e-9)].sum() - 1e-9


def test_reshuffled_groups_are_read_through_tangents() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    assert (
        UnlearningAccountant(algorithm, batches="reshuffle", group_size=20).guarantee(sigma=0.01, epochs=1).kind
        == "gdp-tangent"
    )
    assert UnlearningAccountant(algorithm, batches="reshuffle").guarantee(sigma=0.01, epochs=1).kind == "gdp"


def test_groups_drawn_with_replacement_are_read_through_tangents() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    acc = UnlearningAccountant(algorithm, group_size=20)
    q = acc.run(steps=3).query
    grid = RandomGroup(acc.placing.sizes, 20, affordable=0.0)
    assert grid.mixture(acc.placing.bound, q.setting, q.steps[None], np.zeros(1)).curve.kind == "gdp-tangent"
    assert sampled_sum(np.array([1.0, 0.5]), np.array([9.0, 9.0]), 3, affordable=0.0).convex_only


def test_outcomes_of_a_group_are_raised_by_what_the_law_asks() -> None:
    acc = UnlearningAccountant(PNSGD(preset("mnist"), 128), group_size=20)
    q = acc.run(steps=3).query
    m = acc.components.mixture(acc.placing.bound, q.setting, q.steps[None], np.zeros(1))
    plain = m._replace(law=None).log_mu(np.array([0.01]))
    mine = m.log_mu(np.array([0.01]))
    some = np.isfinite(plain[0])
    some[-1] = False
    raise_ = np.exp(mine[0][some]) - np.exp(plain[0][some])
    assert raise_ == pytest.approx(float(m.law.raised_by(np.array(100.0))), rel=1e-3)
    assert raise_.min() > 0


def test_worst_of_a_schedule_is_its_largest_cell() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    a = UnlearningAccountant(algorithm, schedule=Schedule([Learn(epochs=3), Unlearn(sigma=2.0)]), batches="worst")
    assert a.guarantee(sigma=0.01, steps=5).values[0] == pytest.approx(a.gdp(sigma=0.01, steps=5).max(), rel=1e-12)


def test_what_is_lost_stays_bounded() -> None:
    one = Law(0.0, 1 / 64, 0, np.array([0.5, 0.2, 0.2]), 0.1, 1.0, 1e-4, 1 / 64)
    two = one + one
    assert two.mass.sum() + two.lost == pytest.approx(one.mass.sum() ** 2 + 0.2, rel=1e-12)  # union bound on what is lost
    c = one.coarser()
    assert (c.worst, c.error) == (1.0 + 1 / 64, 2 / 64)
    assert c.variance == pytest.approx(1e-4 + 1 / 64**2)


def test_mass_beyond_the_table_is_kept() -> None:
    plan = groups_module._Recursion(0.9 ** np.arange(20.0), np.full(20, 10.0), 15, 256)
    plan.columns = plan.columns * 2 // 5
    law = plan.run()
    assert law.mass.sum() + law.lost == pytest.approx(1, rel=1e-9)
    assert law.lost > 1e-4


def test_bounds_of_the_rounding() -> None:
    rng = np.random.default_rng(5)
    values, sizes, count = rng.uniform(0, 1, 6), np.full(6, 3.0), 4
    plan = groups_module._Recursion(values, sizes, count, 16)
    law = plan.run()
    w, s = brute(plan.values.tolist(), [3] * 6, count)
    var_true = (
        sum(float(a) * x * x for a, x in zip(w, s, strict=True)) - sum(float(a) * x for a, x in zip(w, s, strict=True)) ** 2
    )
    m = (law.mass * law.outcomes).sum() / law.mass.sum()
    spread = (law.mass * (law.outcomes - m) ** 2).sum() / law.mass.sum() - var_true
    assert 0 <= spread <= law.variance + 1e-12
    assert law.error == pytest.approx(law.step * 4)
    # some placement's rounding variance reaches more than one batch's
    at = np.outer(np.arange(4), plan.values) / law.step
    share = at - np.floor(at)
    v = (share * (1 - share)).max(axis=0) * law.step**2
    assert law.variance == pytest.approx(np.sort(v)[::-1][:4].sum(), rel=1e-9)


def test_raised_by_is_enough_with_the_largest_variance() -> None:
    # many small two-sided roundings: variance as large as step^2/4 at the largest outcome, where the bound is tight
    for scale in (0.5, 2.0, 4.0):
        step = 0.02
        law = Law(0.0, step, 0, np.ones(round(scale / step) + 1), 0.0, scale, step**2 / 4, step)
        y2 = scale / 4 * law.variance / 2  # |y''/y'| = x/4 at x: half of it times the variance
        assert float(law.raised_by(np.array(1.0))) >= y2


def test_refill_with_a_radius() -> None:
    algorithm = PNSGD(Problem(n=30, smoothness=1.0, strong_convexity=0.05), 5, radius=0.5)
    acc = UnlearningAccountant(algorithm, schedule=Schedule([Learn(sigma=2.0), Unlearn(steps=4)]))
    short = UnlearningAccountant(algorithm, schedule=Schedule([Learn(epochs=400, sigma=2.0), Unlearn(steps=4)]))
    assert acc.gdp(sigma=1.0) == pytest.approx(short.gdp(sigma=1.0), rel=1e-9)


def test_gradients_go_on_in_the_cycle() -> None:
    algorithm = PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=0.1), 4)  # batches of 4, 4, 2
    a = UnlearningAccountant(algorithm, schedule=Schedule([Learn(steps=5), Unlearn(sigma=2.0)]))
    assert a.gradient_evaluations(steps=1) == 2
    assert a.gradient_evaluations(steps=4) == 12


def test_published_groups_are_capped_by_the_ball() -> None:
    algorithm = PNSGD(preset("mnist"), 512, radius=1e-3)
    worst = UnlearningAccountant(algorithm, bound="paper", group_size=100)
    assert worst.sigma(epsilon=1.0, epochs=1) == pytest.approx(
        worst.with_(group_size=1).sigma(epsilon=1.0, epochs=1, start_distance=2e-3), rel=1e-9
    )


def test_plan_says_who_is_averaged() -> None:
    def lines(*words: str) -> list[str]:
        return json.loads(
            CliRunner()
            .invoke(
                app,
                [
                    "plan",
                    "--preset",
                    "mnist",
                    "--epsilon",
                    "1",
                    "--sigma",
                    "0.03",
                    "--batch-size",
                    "512",
                    "--requests",
                    "2",
                    "--json",
                    *words,
                ],
            )
            .stdout
        )["assumptions"]

    says = "earlier requests are averaged over positions, too, or count at their worst, whichever proves more"
    assert says in lines("--batches", "random")
    assert says not in lines("--batches", "worst")
    published = "earlier requests count at their worst positions, only the newest is averaged"
    assert published in lines("--batches", "random", "--bound", "paper")


def test_dropped_group() -> None:
    algorithm = PNSGD(Problem(n=13, smoothness=1.0, strong_convexity=0.3), 4, last_batch="drop")
    a = UnlearningAccountant(algorithm, group_size=2)
    # Every placement, the dropped point included.
    weights, mus = [], []
    for counts, chance in oracle_deletions.group_placements(sizes=[4, 4, 4, 1], group=2):
        mu = (
            UnlearningAccountant(algorithm, batches=counts[:3]).guarantee(sigma=1.0, steps=3).values[0]
            if sum(counts[:3])
            else 0.0
        )
        weights.append(float(chance))
        mus.append(mu)
    sigma = a.sigma(epsilon=0.7, delta=1e-2, steps=3)
    exact = mixture_delta(epsilon=0.7, weights=weights, mu=np.array(mus) / sigma)
    assert 1e-2 * (1 - 1e-3) <= exact <= 1e-2 * (1 + 1e-9)


def test_positions_where_cells_are_not_batches() -> None:
    algorithm = PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=0.1), 4)
    a = UnlearningAccountant(
        algorithm, schedule=Schedule([Learn(epochs=1, batch_size=3), Learn(epochs=2), Unlearn()]), batches=2
    )
    with pytest.raises(InputError, match="where learning changes its batch size, got 2"):
        a.epsilon(sigma=1.0, steps=3)


def test_tightness_of_the_worst_cell() -> None:
    algorithm = PNSGD(Problem(n=24, smoothness=1.0, strong_convexity=0.1), 2)
    s = Schedule([Learn(epochs=3), Unlearn(steps=1, sigma=0.5)])
    a = UnlearningAccountant(algorithm, schedule=s, batches="worst")
    each = [UnlearningAccountant(algorithm, schedule=s, batches=j) for j in range(12)]
    at = int(np.argmax(a.gdp(sigma=1.0)))
    assert a.tightness() == pytest.approx(each[at].tightness(), rel=1e-9)
    assert max(e.tightness() for e in each) > min(e.tightness() for e in each) + 1e-6


def test_reshuffle_with_schedule_refused() -> None:
    with pytest.raises(InputError, match="needs a constant algorithm without schedule"):
        UnlearningAccountant(
            PNSGD(preset("mnist"), 128), batches="reshuffle", schedule=Schedule([Learn(epochs=3), Unlearn(sigma=2.0)])
        ).epsilon(sigma=1.0, steps=3)


def test_group_of_a_schedule_is_above_every_placement() -> None:
    algorithm = PNSGD(Problem(n=12, smoothness=1.0, strong_convexity=0.1), 4)
    # The first batch is seen last: so the last cell is not where points add most.
    s = Schedule([Learn(steps=7), Unlearn(steps=1, sigma=2.0)])
    worst = UnlearningAccountant(algorithm, schedule=s, batches="worst", group_size=3).guarantee(sigma=1.0).mu_worst
    for counts, _ in oracle_deletions.group_placements(sizes=[4, 4, 4], group=3):
        assert UnlearningAccountant(algorithm, schedule=s, batches=counts).guarantee(sigma=1.0).mu_worst <= worst * (1 + 1e-11)


def test_borders_by_products() -> None:
    for k in range(1, 400):
        w = 0.1
        q = Queue.of([Arrival(0.0), Arrival(k * w)], 10)
        ends = q.batched(w)[1]
        assert ends[-1] > k * w


def test_learning_that_is_not_forgotten_is_not_taken_for_converged() -> None:
    algorithm = PNSGD(Problem(n=60, smoothness=1.0, strong_convexity=0.05), 6, learn_epochs=10)
    accountant = UnlearningAccountant(algorithm, batches="worst")
    for k in (5, 20, 60):
        sigma = accountant.sigma(epsilon=1.0, steps=k) * (1 + 1e-6)
        assert UnlearningStream(accountant, sigma=sigma, epsilon=1.0).request() == k


def test_coarse_places_are_never_below_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = PNSGD(Problem(n=199, smoothness=1.0, strong_convexity=0.02), 2)
    rule = UnlearningStream(UnlearningAccountant(algorithm), sigma=1.0, epsilon=1.0)._rule
    states = [recursions.StreamState(steps=steps) for steps in range(100)]
    exact = [rule.place(state, points).worst for state in states for points in (2, 5)]
    monkeypatch.setattr(recursions, "_MOST_PHASES", 8)
    monkeypatch.setattr(recursions, "_YOUNG", 4)
    rule._places.clear()
    coarse = [rule.place(state, points).worst for state in states for points in (2, 5)]
    assert np.all(np.array(coarse) >= np.array(exact) * (1 - 1e-12))


def test_lost_outcomes_count_as_the_worst_and_its_rounding() -> None:
    values, sizes = np.array([1.0, 0.6, 0.3]), np.full(3, 9.0)
    law = sampled_sum(values, sizes, 10, affordable=1e18).law
    assert law.error > 0
    assert law.worst >= worst_counts(values, sizes, 10) @ values + law.error


def test_converged_learning_starts_at_the_diameter_where_the_epochs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = PNSGD(Problem(n=5, smoothness=1.0, strong_convexity=0.002), 5)
    full = 2 / 5 / 0.002
    ball = PNSGD(algorithm.problem, 5, radius=0.45 * full)
    monkeypatch.setattr(timeline_module, "_MOST_EPOCHS", 20)
    converged = UnlearningAccountant(ball, schedule=Schedule([Learn(sigma=2.0), Unlearn(steps=2)]), batches="worst")
    long = UnlearningAccountant(ball, schedule=Schedule([Learn(epochs=6000, sigma=2.0), Unlearn(steps=2)]), batches="worst")
    assert converged.guarantee(sigma=1.0).mu_worst >= long.guarantee(sigma=1.0).mu_worst * (1 - 1e-9)


def test_distances_of_a_random_group_are_read_by_convex_functions_only() -> None:
    algorithm = PNSGD(Problem(n=40, smoothness=1.0, strong_convexity=0.05), 4)
    assert recursions._random_shares(algorithm, 3, 0, math.inf)[2]
    assert not recursions._random_shares(algorithm, 1, 0, math.inf)[2]


def test_per_step_contractions_are_never_below_the_exact_ones() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        p = Problem(n=10, smoothness=float(rng.uniform(0.1, 10)), strong_convexity=1e-3)
        algorithm = PNSGD(p, 5)
        etas = rng.uniform(1.9, 2, 20) / p.smoothness
        mine = Timeline(Schedule([Learn(epochs=1), Unlearn()]), algorithm)._log_contractions(etas)
        for eta, log_c in zip(etas.tolist(), mine.tolist(), strict=True):
            gap = min(Fraction(eta) * Fraction(p.strong_convexity), 2 - Fraction(eta) * Fraction(p.smoothness))
            assert log_c >= math.log1p(-float(gap)) - 1e-19 - 1.2e-16 * abs(math.log1p(-float(gap)))


def test_a_turned_cycle_in_a_ball_is_above_the_minorant() -> None:
    for radius in (0.05, 0.1, 0.2, 0.4, 0.8):
        algorithm = PNSGD(Problem(n=7, smoothness=1.0, strong_convexity=0.1), 2, radius=radius)  # 2, 2, 2, 1
        rule = UnlearningStream(UnlearningAccountant(algorithm), sigma=1.0, epsilon=1.0)._rule
        for phase in (1, 2, 3):
            place = rule.place(recursions.StreamState(steps=phase), 1)
            for steps in (1, 2, 6):
                mus = rounded_up(rule.newest(place, steps)[1])
                for j in range(4):
                    c, h, v = (
                        np.array(a, float)
                        for a in oracle_deletions.unrolled_stream(
                            learn_epochs=100,
                            requests=[{"positions": [], "steps": phase}, {"positions": [j], "steps": steps}],
                            **settings(algorithm),
                        )
                    )
                    exact = optimal_shifts(contraction=c, sensitivity=h, noise_std=np.sqrt(v), diameter=algorithm.diameter).mu
                    assert mus[j] >= exact * (1 - 1e-12)


def test_a_file_says_the_target(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("n = 100\nsmoothness = 1.0\nstrong_convexity = 0.1\n[target]\nsigma = 0.5\ndelta = 1e-3\n")
    assert load({}, problem_file=path).target == {"sigma": 0.5, "delta": 1e-3}


def test_another_schedule_starts_from_the_algorithm_that_was_given() -> None:
    algorithm = PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.001), 10)
    short = UnlearningAccountant(algorithm, schedule=Schedule([Learn(epochs=3), Unlearn()]))
    converged = UnlearningAccountant(algorithm).sigma(epsilon=1.0, steps=5)
    assert short.with_(schedule=Schedule([Learn(), Unlearn()])).sigma(epsilon=1.0, steps=5) == converged
    assert short.with_(schedule=None).sigma(epsilon=1.0, steps=5) == converged
    assert short.with_(batches="worst").schedule is short.schedule


def test_numpy_integers_are_integers() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    group = UnlearningAccountant(algorithm, group_size=np.int64(5))  # type: ignore[arg-type]
    assert group.with_(batches=np.int64(3)).group_size == 5
    run = UnlearningStream(UnlearningAccountant(algorithm), sigma=0.03, epsilon=1.0)
    run.arrive(np.int64(2))  # type: ignore[arg-type]
    assert json.loads(run.to_json())["pending"] == 2
    phase = Learn(epochs=1, batch_size=np.int64(64))  # type: ignore[arg-type]
    assert json.dumps(Schedule([phase]).to_list())


def test_published_bounds_need_a_step_of_closed_schedules_too() -> None:
    for phases in ([Learn()], [Learn(), Unlearn(steps=0)]):
        for bound in ("paper", "paper-geometric"):
            accountant = UnlearningAccountant(PNSGD(preset("mnist")), bound=bound, schedule=Schedule(phases))
            with pytest.raises(InputError, match="at least 1 unlearning step"):
                accountant.epsilon(sigma=1.0)


def test_a_calibrated_sigma_is_enough_in_a_stream() -> None:
    for batch_size in (32, 128, "full"):
        for bound in ("optimal", "paper"):
            for batches in ("random", "worst"):
                accountant = UnlearningAccountant(PNSGD(preset("mnist"), batch_size), bound=bound, batches=batches)
                sigma = accountant.sigma(epsilon=1.0, epochs=1)
                run = UnlearningStream(accountant, sigma=sigma, epsilon=1.0, unit="epochs")
                assert run.request() == accountant.steps_per_epoch * accountant.epochs(sigma=sigma, epsilon=1.0)


def test_a_callable_of_ones_own_is_not_left_out() -> None:
    listed = Schedule([Learn(epochs=2, step_size=lambda k: 1 / (1 + k)), Unlearn()]).to_list()
    assert listed[0]["step_size"] == {"kind": "own"}
    with pytest.raises(InputError, match="kind of step_size must be one of"):
        Schedule.from_list(listed)


def test_no_tightness_where_differences_turn_round() -> None:
    algorithm = PNSGD(preset("mnist"))
    smoothness = algorithm.problem.smoothness
    late = Schedule([Learn(), Unlearn(step_size=lambda k: np.full(k.size, 1.99 / smoothness))])
    assert UnlearningAccountant(algorithm, schedule=late).tightness(steps=3) is None
    assert UnlearningAccountant(PNSGD(preset("mnist"), step_size=1.99 / smoothness)).tightness(steps=3) is None


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist"), 512), group_size=9)
    fresh = accountant.with_(group_size=9)
    assert accountant.epsilon(sigma=0.01, steps=3) > 0
    assert accountant.epsilon(sigma=0.01, steps=22) == fresh.epsilon(sigma=0.01, steps=22)


def test_epochs_of_several_batch_sizes_are_not_counted() -> None:
    schedule = Schedule([Learn(), Unlearn(steps=3, batch_size="full"), Unlearn()])
    assert not UnlearningAccountant(PNSGD(preset("mnist"), 128), schedule=schedule).counts_epochs
    with pytest.raises(InputError, match="single numbers"):
        UnlearningAccountant(PNSGD(preset("mnist"), 128)).gradient_evaluations(steps=[1, 2])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="all be dated or all be in seconds"):
        Queue.of([Arrival(0.0), Arrival(1.0, 1, True)], 10)
