"""``tune`` and the settings that follow from public constants: against streams, recursions and comparisons by brute force."""

from __future__ import annotations

import csv
import json
import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from accountant import PNSGD, InputError, UnlearningAccountant, UnlearningStream, UnreachableError
from accountant.commands.program import app
from accountant.problem import LogisticConstants, MultinomialConstants, RidgeConstants
from accountant.requests import TunedSetting, choose_setting, duration, expected_requests, tune
from accountant.requests.settings import HEARD, SHARE, longest_step, two_digits_up

LOGISTIC = LogisticConstants(regularisation=0.0, feature_bound=1.0)
SMALL: dict[str, Any] = {"loss": LOGISTIC, "n": 300, "epsilon": 1.0, "delta": 1e-3}
#: A call of the shell that takes a moment.
CALL = ("tune", "--n", "300", "--epsilon", "1", "--delta", "1e-3", "--requests", "10", "--no-intercept")
CALL = (*CALL, "--regularisation", "0.02,0.05")


def stream_of(setting: TunedSetting, *, epsilon: float, delta: float, sigma: float | None = None) -> UnlearningStream:
    accountant = UnlearningAccountant(setting.algorithm)
    return UnlearningStream(accountant, sigma=setting.sigma if sigma is None else sigma, epsilon=epsilon, delta=delta)


def answers(setting: TunedSetting, *, epsilon: float, delta: float, sigma: float | None = None) -> list[int]:
    stream = stream_of(setting, epsilon=epsilon, delta=delta, sigma=sigma)
    return [stream.request() for _ in range(setting.requests)]


# Costs and noise, by the stream that answers.


@pytest.mark.parametrize(("assignment", "adjacency"), [("secret", "remove"), ("secret", "replace"), ("partition", "zero-out")])
def test_costs_are_those_that_the_stream_answers(assignment: str, adjacency: str) -> None:
    run: dict[str, Any] = {"assignment": assignment, "adjacency": adjacency}
    found = tune(**SMALL, requests=12, batch_size=[32, 300], regularisation=[0.02, 0.1], share=[0.01, 0.1], exact=True, **run)
    assert len(found.tried) == 8
    for row in found.tried:
        setting = row.setting
        steps = answers(setting, epsilon=1.0, delta=1e-3)
        assert list(setting.steps) == steps
        assert setting.gradient_evaluations == setting.algorithm.gradient_evaluations(sum(steps))
        assert setting.steps_per_request == pytest.approx(sum(steps) / 12)
        assert setting.last_steps == steps[-1]
        allowed = max(math.floor(row.share * setting.learning_steps), 1)
        assert sum(steps) <= 12 * allowed


def test_less_noise_would_cost_more_than_the_share() -> None:
    found = tune(**SMALL, requests=12, batch_size=[32, 300], regularisation=[0.02, 0.1], share=[0.01, 0.1], exact=True)
    for row in found.tried:
        allowed = 12 * max(math.floor(row.share * row.setting.learning_steps), 1)
        # Near enough to what is allowed, or the next smaller noise is beyond it.
        dear = sum(answers(row.setting, epsilon=1.0, delta=1e-3, sigma=row.setting.sigma * 0.9))
        assert sum(row.setting.steps) >= 0.85 * allowed or dear > allowed or dear == sum(row.setting.steps) == 12


@pytest.mark.parametrize("batch_size", [32, 300])
def test_constant_steps_reach_the_target_and_no_less(batch_size: int) -> None:
    """sigma is read off a law that is scaled; the stream that follows constant steps says what epsilon they have."""
    setting = tune(**SMALL, requests=200, batch_size=batch_size, regularisation=0.05, share=0.1).tried[0].setting
    steps = int(setting.steps_per_request) if not setting.confirmed else math.floor(0.1 * setting.learning_steps)
    reached = stream_of(setting, epsilon=1.0, delta=1e-3).follow([steps] * 60).epsilon[-1]
    assert 0.98 < reached <= 1.0


@pytest.mark.parametrize(
    "given",
    [
        {"n": 135, "epsilon": 0.1, "delta": 5e-4, "requests": 60, "assignment": "partition", "adjacency": "replace"}
        | {"rounding": "float64", "dimension": 800, "regularisation": 0.0044},
        {
            "n": 3707,
            "epsilon": 0.5,
            "delta": 2.8e-5,
            "requests": 60,
            "adjacency": "replace",
            "largest_n": 4137,
            "learn_epochs": 1,
        },
    ],
)
def test_a_few_dozen_requests_cost_no_more_than_their_share_one_by_one(given: dict[str, Any]) -> None:
    """Where four answers in a row are equal, and later ones take some percent more."""
    setting = choose_setting(loss=LogisticConstants(regularisation=0.0, feature_bound=1.0), **given)
    stream = UnlearningStream(
        UnlearningAccountant(setting.algorithm), sigma=setting.sigma, epsilon=given["epsilon"], delta=given["delta"]
    )
    steps = tuple(stream.request(1) for _ in range(60))
    assert steps == setting.steps
    assert sum(steps) <= 60 * max(setting.learning_steps // 40, 1)


def test_costs_that_repeat_are_close_to_all_of_them() -> None:
    for penalty, size in ((0.01, 32), (0.003, 300), (0.0, "full")):
        given = {**SMALL, "regularisation": penalty, "batch_size": size}
        rough, exact = (choose_setting(**given, requests=150, exact=exact) for exact in (False, True))
        assert rough.sigma == pytest.approx(exact.sigma, rel=0.02)
        assert rough.total_steps == pytest.approx(sum(answers(rough, epsilon=1.0, delta=1e-3)), rel=0.02)


@pytest.mark.parametrize("penalty", [1e-3, 0.05])
def test_noise_is_where_the_recursion_of_one_coordinate_comes_to_rest(penalty: float) -> None:
    setting = choose_setting(**SMALL, regularisation=penalty, requests=5)
    eta, c = setting.step_size, 1 - setting.step_size * penalty
    variance = 0.0
    for _ in range(100_000):
        variance = c**2 * variance + 2 * eta * setting.sigma**2
    assert setting.noise == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_without_contraction_noise_adds_up_in_learning_and_the_ball_bounds_it() -> None:
    free = choose_setting(**SMALL, regularisation=0.0, requests=5)
    assert free.noise == pytest.approx(math.sqrt(2 * free.step_size * free.learning_steps) * free.sigma)
    inside = choose_setting(**SMALL, regularisation=0.0, requests=5, radius=2.0, batch_size=free.batch_size)
    assert inside.noise == 2.0


# The rule of choice.


def test_the_regularisation_is_the_smallest_with_little_noise() -> None:
    for n, requests in ((200, 20), (5000, 100)):
        setting = choose_setting(loss=LOGISTIC, n=n, epsilon=1.0, requests=requests)
        assert setting.noise <= HEARD
        less = choose_setting(
            loss=LOGISTIC, n=n, epsilon=1.0, requests=requests, regularisation=setting.regularisation / 1.4,
            batch_size=setting.batch_size,
        )  # fmt: skip
        assert less.noise > HEARD


def test_among_batch_sizes_the_least_noise_is_taken() -> None:
    for penalty in (0.02, 0.2):
        one = {**SMALL, "regularisation": penalty, "requests": 20}
        chosen = choose_setting(**one)
        others = [choose_setting(**one, batch_size=size) for size in (32, 64, 128, 256, 300)]
        assert chosen.noise == pytest.approx(min(other.noise for other in others), rel=0.03)


@settings(max_examples=6, deadline=None)
@given(scale=st.floats(0.05, 20.0))
def test_units_of_the_features_change_nothing(scale: float) -> None:
    """Rows s times as long, with parameters s times as small: the same model, with the same noise in its scores."""
    one = choose_setting(**SMALL, requests=10)
    loss = LogisticConstants(regularisation=0.0, feature_bound=scale)
    other = choose_setting(**{**SMALL, "loss": loss}, requests=10)
    assert (other.batch_size, other.learn_epochs, other.steps) == (one.batch_size, one.learn_epochs, one.steps) or (
        abs(math.log(other.regularisation / scale**2 / one.regularisation)) > 1e-9
    )
    # To two digits, rounded up, and looked for to a sixth.
    assert other.regularisation / scale**2 == pytest.approx(one.regularisation, rel=0.25)
    assert other.noise * scale == pytest.approx(one.noise, rel=0.8)
    assert other.noise * scale <= HEARD


@settings(max_examples=6, deadline=None)
@given(share=st.floats(0.01, 0.2), factor=st.floats(1.3, 5.0), penalty=st.floats(0.01, 0.2))
def test_whoever_pays_more_or_asks_for_less_has_less_noise(share: float, factor: float, penalty: float) -> None:
    one = {**SMALL, "regularisation": penalty, "batch_size": 32, "learn_epochs": 50, "requests": 30}
    sigma = choose_setting(**one, share=share).sigma
    slack = 1.05
    assert choose_setting(**one, share=share * factor).sigma <= sigma * slack
    assert choose_setting(**{**one, "epsilon": factor}, share=share).sigma <= sigma * slack
    assert choose_setting(**{**one, "requests": 3}, share=share).sigma <= sigma * slack


def test_what_is_given_stays() -> None:
    given: dict[str, Any] = {"batch_size": 50, "step_size": 1.0, "regularisation": 0.05, "learn_epochs": 17, "sigma": 0.3}
    setting = choose_setting(**SMALL, **given, requests=4)
    assert {name: getattr(setting, name) for name in given} == given
    assert list(setting.steps) == answers(setting, epsilon=1.0, delta=1e-3)
    assert choose_setting(**SMALL, batch_size="full", requests=3).batch_size == 300


def test_a_request_takes_at_least_a_step() -> None:
    setting = choose_setting(**SMALL, batch_size="full", regularisation=0.1, learn_epochs=5, share=1e-9, requests=40)
    assert 0 < setting.total_steps <= 40
    assert setting.warning is not None
    assert "fits" in setting.warning


def test_too_few_rows_are_told_of_beforehand() -> None:
    loud = choose_setting(**SMALL, regularisation=1e-4, requests=100)
    assert loud.noise > 1
    assert loud.warning is not None
    assert "noise" in loud.warning
    assert choose_setting(**SMALL, requests=100).warning is None


def test_rounding_is_paid_for_and_limits_how_little_noise_there_may_be() -> None:
    given = {**SMALL, "n": 2000, "epsilon": 10.0, "regularisation": 0.05, "batch_size": 32}
    rounded, exact = (choose_setting(**given, rounding=kind, dimension=20) for kind in ("float64", None))
    assert rounded.sigma > 10 * exact.sigma
    assert rounded.total_steps < exact.total_steps
    assert list(rounded.steps)[:5] == answers(replace(rounded, requests=5), epsilon=10.0, delta=1e-3)


def test_step_sizes_follow_how_many_batches_come_out_too_large() -> None:
    from accountant.problem import oversize

    for size in (4, 32, 300):
        algorithm = choose_setting(**SMALL, batch_size=size, regularisation=0.05, requests=3).algorithm
        assert oversize(algorithm).log_added <= math.log(1e-3 * 0.01)
        assert algorithm.eta == longest_step(algorithm, 1e-3)
        larger = replace(algorithm, step_size=algorithm.eta + 0.1 / algorithm.problem.smoothness)
        assert algorithm.eta == 1 / algorithm.problem.smoothness or oversize(larger).log_added > math.log(1e-5)


def test_no_record_more_than_there_are_is_asked_for() -> None:
    assert choose_setting(loss=LOGISTIC, n=5, epsilon=1.0, delta=0.1, requests=100).requests == 5
    with pytest.raises(InputError, match="requests must be at most 30, each with a stand-in"):
        choose_setting(**SMALL, adjacency="replace", requests=31)
    with pytest.raises(InputError, match="requests must be at most n = 300 records in all, got 301"):
        tune(**SMALL, requests=301)


# The front.


def test_the_front_is_what_no_other_setting_beats() -> None:
    found = tune(**SMALL, requests=20, batch_size=[32, 64, 300], regularisation=[0.01, 0.05, 0.2], share=[0.01, 0.025, 0.1])
    rows = [row for row in found.tried if row.setting.refused is None]

    def beaten(row: Any) -> bool:
        mine = row.setting
        for other in rows:
            yours = other.setting
            costs = (
                (yours.gradient_evaluations_per_request, mine.gradient_evaluations_per_request),
                (
                    yours.gradient_evaluations + yours.learning_gradient_evaluations,
                    mine.gradient_evaluations + mine.learning_gradient_evaluations,
                ),
            )
            no_worse = yours.regularisation <= mine.regularisation and yours.noise <= mine.noise
            no_worse &= all(one <= 1.1 * two for one, two in costs)
            better = yours.regularisation < mine.regularisation or yours.noise < mine.noise
            if no_worse and (better or any(1.1 * one < two for one, two in costs)):
                return True
        return False

    assert [row for row in rows if not beaten(row)] == list(found.front)
    assert 3 <= len(found.front) < len(rows)


def test_scores_of_the_user_make_the_front() -> None:
    marks = [{"regularisation": 0.01, "score": 0.8}, {"regularisation": 0.2, "share": 0.1, "score": 0.9}]
    found = tune(**SMALL, requests=20, batch_size=32, regularisation=[0.01, 0.05, 0.2], share=[0.01, 0.1], scores=marks)
    scores = {(row.setting.regularisation, row.share): row.score for row in found.tried}
    assert scores == {
        (0.01, 0.01): 0.8,
        (0.01, 0.1): 0.8,
        (0.05, 0.01): None,
        (0.05, 0.1): None,
        (0.2, 0.01): None,
        (0.2, 0.1): 0.9,
    }
    # The best score at more cost, and the lowest cost; 0.8 at more cost is beaten.
    assert [(row.score, row.share) for row in found.front] == [(0.8, 0.01), (0.9, 0.1)]


def test_each_refused_setting_has_its_reason() -> None:
    found = tune(**SMALL, requests=10, batch_size=[8, 100], step_size=3.5, regularisation=0.05)
    small, large = ([row for row in found.tried if row.setting.batch_size == size] for size in (8, 100))
    assert all("too large" in str(row.setting.refused) for row in small)
    assert len(small) == 3
    assert all(row.setting.refused is None for row in large)
    assert set(found.refused) == set(small)
    assert not any(row.front for row in small)
    assert found.chosen.batch_size == 100


def test_where_nothing_is_possible_all_reasons_are_told() -> None:
    with pytest.raises(UnreachableError, match=r"batch_size 8: a batch of own draws is too large.*batch_size 16: "):
        tune(**SMALL, batch_size=[8, 16], step_size=7.0, regularisation=0.01)


def test_waiting_costs_what_a_stream_of_groups_costs() -> None:
    found = tune(**SMALL, requests="4/week", over="10w", window="2w", batch_size=32, regularisation=0.05, share=0.1)
    (row,) = found.front
    accountant = UnlearningAccountant(row.setting.algorithm)
    stream = UnlearningStream(accountant, sigma=row.setting.sigma, epsilon=1.0, delta=1e-3)
    steps = [stream.request(8) for _ in range(5)]
    assert row.merged == pytest.approx(row.setting.algorithm.gradient_evaluations(sum(steps)), rel=0.05)
    assert row.merged is not None
    assert row.merged < row.setting.gradient_evaluations


def test_progress_never_falls_and_ends_at_all() -> None:
    seen: list[tuple[int, int]] = []
    tune(**SMALL, requests=5, regularisation=0.05, progress=lambda done, total: seen.append((done, total)))
    shares = [done / total for done, total in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1


# Rates.


def test_rates_and_times() -> None:
    assert expected_requests("20/week", "1y") == (math.ceil(20 * 365 / 7), 365 * 86_400.0)
    assert expected_requests("3/day", "2w").requests == 42
    assert expected_requests(" 0.5 per hours ", "1d").requests == 12
    assert expected_requests("1/y", "30d").requests == 1
    assert expected_requests("17") == (17, None)
    assert expected_requests(17, "7d") == (17, 604_800.0)
    assert duration("1y") == 365 * 86_400
    assert expected_requests("20/week", "1y").windows(duration("1w")) == (53, 20)
    assert expected_requests(10, "1d").windows(duration("1y")) == (1, 10)
    assert expected_requests(10, "1d").windows(60.0) == (10, 1)


@given(count=st.integers(1, 10**6), unit=st.sampled_from(["s", "m", "h", "d", "w", "y"]), times=st.integers(1, 10**3))
def test_whole_rates_give_whole_numbers(count: int, unit: str, times: int) -> None:
    if float(duration(f"1{unit}")) * times <= 1e10:
        assert expected_requests(f"{count}/{unit}", f"{times}{unit}").requests == count * times


@pytest.mark.parametrize("requests", ["x", "1.5", "20/fortnight", "20/", "/week", "0/week", "-3/day", "5/ms", "1.5e0", ""])
def test_what_is_no_rate_is_refused(requests: str) -> None:
    with pytest.raises(InputError, match="requests must be a whole number from 1, or a rate > 0 per second"):
        expected_requests(requests, "1y")


def test_a_rate_needs_a_time() -> None:
    with pytest.raises(InputError, match="over must be given with a rate of requests"):
        expected_requests("20/week")
    with pytest.raises(InputError, match="over must be given with window"):
        tune(**SMALL, window="1w")
    with pytest.raises(InputError, match="over must be seconds, or a number with s, m, h, d, w or y"):
        expected_requests("20/week", "1 fortnight")


@pytest.mark.parametrize("given", [{"share": 1e3}, {"learn_epochs": 10**12}])
def test_where_any_noise_is_enough_there_is_some(given: dict[str, Any]) -> None:
    """So many steps forget a record to less than the smallest double."""
    found = tune(**{**SMALL, "n": 5000, "batch_size": [32, 128]}, **given)
    assert all(row.setting.sigma > 0 and row.setting.noise > 0 for row in found.tried if row.setting.refused is None)


@pytest.mark.parametrize("bound", [1e200, 1e-200])
def test_a_feature_bound_whose_square_is_no_number_is_refused(bound: float) -> None:
    with pytest.raises(InputError, match="feature_bound must be 1e-140 to 1e\\+140 in size"):
        LogisticConstants(regularisation=0.1, feature_bound=bound)


# Bad input.


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"loss": "logistic"}, "loss must be the constants of a loss"),
        ({"n": 0}, "n must be"),
        ({"epsilon": -1.0}, "epsilon must be"),
        ({"delta": 1.0}, "delta must be"),
        ({"requests": 0}, "requests must be"),
        ({"share": 0.0}, "share must be"),
        ({"share": 1e7}, "share must be"),
        ({"batch_size": 301}, "batch_size must be"),
        ({"batch_size": "x"}, "batch_size must be"),
        ({"step_size": 100.0}, "step_size must be"),
        ({"step_size": "x"}, "step_size must be"),
        ({"regularisation": -1.0}, "regularisation must be"),
        ({"regularisation": "x"}, "regularisation must be"),
        ({"learn_epochs": 0}, "learn_epochs must be"),
        ({"learn_epochs": 1.5}, "learn_epochs must be"),
        ({"adjacency": "zero-out"}, "adjacency must be"),
        ({"assignment": "poisson"}, "assignment must be"),
        ({"largest_n": 10}, "largest_n must be"),
        ({"radius": 0.0}, "radius must be"),
        ({"rounding": "float64"}, "dimension must be given"),
        ({"dimension": 0}, "dimension must be"),
        ({"batches": "reshuffle"}, "batches must be"),
    ],
)
def test_bad_input_is_refused_by_name(wrong: dict[str, Any], told: str) -> None:
    for asked in (choose_setting, tune):
        with pytest.raises(InputError, match=told):
            asked(**{**SMALL, **wrong})
    with pytest.raises(InputError, match=r"bound must be|published"):
        choose_setting(**SMALL, bound="paper")
    with pytest.raises(InputError, match="sigma must be"):
        choose_setting(**SMALL, sigma=0.0)


@pytest.mark.parametrize("marks", [[{"score": "x"}], [{"regularisation": 1.0}], [{"score": 1.0, "sigma": 2.0}], [3]])
def test_bad_scores_are_refused(marks: Any) -> None:
    with pytest.raises(InputError, match="score"):
        tune(**SMALL, scores=marks)
    with pytest.raises(InputError, match="share must have at least one value"):
        tune(**SMALL, share=[])


def test_two_digits_are_rounded_up() -> None:
    rng = np.random.default_rng(0)
    for value in np.exp(rng.uniform(-20, 20, 200)):
        assert value <= two_digits_up(value) * (1 + 1e-11)
        assert two_digits_up(value) < value * 1.1
    assert two_digits_up(0.011) == 0.011


@pytest.mark.parametrize("loss", [RidgeConstants(regularisation=0.0, clip=0.5), MultinomialConstants(regularisation=0.0)])
def test_every_loss_has_a_setting(loss: Any) -> None:
    setting = choose_setting(loss=loss, n=500, epsilon=1.0, requests=20)
    assert isinstance(setting.algorithm, PNSGD)
    assert setting.noise <= HEARD
    assert setting.share <= 20 * SHARE


# The shell.


def run(*words: str) -> Any:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, list(words))


def test_the_table_names_the_front_and_what_is_chosen() -> None:
    said = run(*CALL, "--verbose").stdout
    for words in ("lambda", "batch", "noise", "/request", "in all", "Chosen", "batch size", "Assumptions", "0.05"):
        assert words in said
    assert "Refused" not in said
    assert "score" not in said


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--requests", "2/week", "--for", "30w", "--window", "4w"), marks=pytest.mark.slow),
        ("--loss", "ridge", "--clip", "2", "--intercept", "--feature-bound", "0.5", "--regularisation", "0.05,0.1"),
        ("--assignment", "partition", "--adjacency", "replace", "--radius", "3", "--batches", "worst"),
    ],
)
def test_what_is_said_to_be_next_plans_what_was_chosen(words: tuple[str, ...]) -> None:
    """Typed as it stands on the screen, it takes as many gradients as the choice said that requests would."""
    call = ("tune", "--n", "600", "--epsilon", "1", *words)
    record = json.loads(run(*call, "--exact", "--json").stdout)
    shown = shlex.split(run(*call, "--exact").stdout.split("Next\n")[1].replace("\\\n", ""))
    assert shlex.join(shown) == record["next"]
    assert shown[:2] == ["accountant", "plan"]
    made = json.loads(run(*shown[1:], "--json").stdout)
    assert made["sigma"] == record["chosen"]["sigma"]
    assert made["total_gradient_evaluations"] == record["chosen"]["gradient_evaluations"]
    assert made["algorithm"] == record["algorithm"]


def test_json_keys_are_those_of_the_documentation() -> None:
    answer = run(*CALL, "--json")
    assert answer.exit_code == 0
    record = json.loads(answer.stdout)
    assert set(record) == {
        "command", "n", "loss", "feature_bound", "clip", "epsilon", "delta", "delta_is_default", "requests", "rate", "for",
        "window", "chosen", "settings", "assumptions", "algorithm", "version", "to_check", "next", "constants",
    }  # fmt: skip
    row = {
        "batch_size", "step_size", "regularisation", "learn_epochs", "share", "sigma", "noise", "steps_per_request",
        "last_steps", "gradient_evaluations_per_request", "gradient_evaluations", "learning_gradient_evaluations", "fits",
        "redraw", "merged_gradient_evaluations", "score", "front", "read", "confirmed", "refused", "warning",
    }  # fmt: skip
    assert all(set(each) == row for each in (record["chosen"], *record["settings"]))
    python = tune(**SMALL, requests=10, regularisation=[0.02, 0.05])
    assert record["settings"] == [each.to_dict() for each in python.tried]
    assert record["chosen"] == python.chosen_row.to_dict()
    chosen = record["chosen"]
    again = choose_setting(**SMALL, requests=10, regularisation=chosen["regularisation"])
    assert (again.sigma, again.batch_size) == (chosen["sigma"], chosen["batch_size"])


def test_refused_settings_stand_with_their_reasons() -> None:
    call = (*CALL[:-1], "0.05", "--batch-size", "8,100", "--step-size", "3.5")
    assert "Refused" in run(*call).stdout
    assert "too large" in run(*call).stdout
    rows = json.loads(run(*call, "--json").stdout)["settings"]
    refused = [row for row in rows if row["refused"]]
    assert {row["batch_size"] for row in refused} == {8}
    assert all(row["sigma"] is None and not row["front"] for row in refused)


def test_files_that_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    scores = tmp_path / "scores.csv"
    scores.write_text("regularisation,score\n0.02,0.7\n0.05,0.8\n")
    table, picture = tmp_path / "rows.csv", tmp_path / "front.svg"
    said = run(*CALL, "--csv", str(table), "--plot", str(picture))
    assert said.exit_code == 0
    assert "<svg" in picture.read_text()
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["regularisation"] for row in rows} == {"0.02", "0.05"}
    scored = run(*CALL, "--scores", str(scores), "--plot", str(picture))
    assert scored.exit_code == 0
    assert "score" in scored.stdout
    assert "0.8" in scored.stdout
    assert "not learned from" in " ".join(scored.stdout.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--requests", "20/week"), "for must be given with a rate"),
        (("--requests", "20/week", "--for", "1z"), "for must be seconds"),
        (("--requests", "x"), "requests must be"),
        (("--window", "1w"), "for must be given with --window"),
        (("--loss", "ridge"), "clip must be given"),
        (("--loss", "x"), "loss must be one of"),
        (("--feature-bound", "0", "--intercept"), "--feature-bound must be a number above 0, got 0"),
        (("--batch-size", "32,x"), "--batch-size must be auto, or whole numbers or full"),
        (("--regularisation", "x"), "regularisation must be auto, or numbers"),
        (("--learn-epochs", "1.5"), "--learn-epochs must be auto, or whole numbers"),
        (("--share", "0"), "share must be"),
        (("-o", "a.txt"), "output must end in"),
        (("--scores", "nowhere.csv"), "cannot be read"),
    ],
)
def test_bad_words_are_refused_in_one_sentence(words: tuple[str, ...], told: str) -> None:
    answer = run("tune", "--n", "300", "--epsilon", "1", *words)
    assert answer.exit_code == 2
    assert told in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["", "regularisation,score\n", "lam,score\n1,2\n", "regularisation,score\n1,x\n", "score\n1,2\n"]
)
def test_bad_files_of_scores_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    answer = run(*CALL, "--scores", str(path))
    assert answer.exit_code == 2
    assert answer.stderr.startswith("Error: --scores")
