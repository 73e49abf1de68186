"""Requests are read as they were written, windows batch them as stated, and the plan adds up."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, preset
from accountant.problem import default_retrain_epochs
from accountant.problem.published import PUBLISHED_EPOCHS
from accountant.requests import Arrival, UnlearningStream, duration, make_plan, optimize, read_requests
from accountant.requests.windows import candidate_windows

DAY = 86_400.0
MNIST = UnlearningAccountant(PNSGD(preset("mnist")), batches="worst")  # one batch: the average is no different
BATCHES = UnlearningAccountant(PNSGD(preset("mnist"), 1000), batches="worst")  # with a short last batch
ASK: dict[str, Any] = {"epsilon": 1.0, "sigma": 0.03}


def read(tmp_path: Path, content: str | bytes) -> list[Arrival]:
    path = tmp_path / "requests.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_requests(path)


# --- reading


def test_seconds_and_points(tmp_path: Path) -> None:
    assert read(tmp_path, "time,points\n0,1\n0,2\n3.5,7\n") == [Arrival(0.0, 1), Arrival(0.0, 2), Arrival(3.5, 7)]


@pytest.mark.parametrize("name", ["time", "date", "timestamp", "arrival", " Time "])
def test_every_name_of_the_time_column_and_points_default_to_one(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, f"{name}\n5\n") == [Arrival(5.0)]
    assert read(tmp_path, f"count,{name}\n3,5\n") == [Arrival(5.0, 3)]


def test_dates_with_and_without_offset_are_one_clock(tmp_path: Path) -> None:
    lines = ["1970-01-02", "1970-01-02T01:00:00", "1970-01-02 03:30:00+02:00", "1970-01-02T01:30:00.5Z", "1970-01-03"]
    times = [arrival.time for arrival in read(tmp_path, "date\n" + "\n".join(lines))]
    assert times == [DAY, DAY + 3600, DAY + 5400, DAY + 5400.5, 2 * DAY]


def test_a_byte_order_mark_windows_line_ends_quotes_and_empty_lines_are_fine(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf"time","points"\r\n\r\n"2024-01-01","2"\r\n2024-01-02,3\r\n\r\n'
    assert [arrival.points for arrival in read(tmp_path, content)] == [2, 3]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty: it must have a header and at least one row"),
        ("\n\n", "is empty"),
        ("time,points\n", "is empty: it must have a header and at least one row"),
        ("time\n5\n4\n", "line 3: times must be sorted, none before that of the line above, got '4'"),
        ("time\n2024-01-02\n2024-01-01\n", "line 3: times must be sorted"),
        ("time\n2024-01-01T00:00\n2024-01-01T01:00+02:00\n", "line 3: times must be sorted"),
        ("time\n-1\n", "line 2: time in seconds must be a number from 0 to 2e11, got -1"),
        ("time\n1\nnan\n", "line 3: time in seconds must be a finite number from 0 to 2e11, got nan"),
        ("time\ninf\n", "line 2: time in seconds must be a finite number from 0 to 2e11, got inf"),
        ("time\n1700000000000\n", "line 2: time in seconds must be a number from 0 to 2e11"),
        ("time\nsoon\n", "line 2: time must be an ISO 8601 date or seconds, got 'soon'"),
        ('time\n""\n', "line 2: time must be an ISO 8601 date or seconds, got ''"),
        ("time\n2024-02-30\n", "line 2: time must be an ISO 8601 date or seconds, got '2024-02-30'"),
        ("time\n5\n2024-01-01\n", "line 3: time must be seconds, as above, got '2024-01-01'"),
        ("time\n2024-01-01\n5\n", "line 3: time must be an ISO 8601 date, as above, got '5'"),
        ("time\n20240131\n", "line 2: time 20240131 may be a date or seconds"),
        ("time,points\n1,0\n", "line 2: points must be a whole number from 1, got '0'"),
        ("time,points\n1,-2\n", "line 2: points must be a whole number from 1, got '-2'"),
        ("time,points\n1,1.5\n", "line 2: points must be a whole number from 1, got '1.5'"),
        ("time,points\n1,\n", "line 2: points must be a whole number from 1, got ''"),
        ("time,points\n1,nan\n", "line 2: points must be a whole number from 1, got 'nan'"),
        (f"time,points\n1,{'9' * 5000}\n", "line 2: points must be a whole number from 1, got '9999"),
        ("time,who\n1,me\n", "column 'who' is unknown: the header may name time (or date, timestamp, arrival)"),
        ("2024-01-01,1\n", "column '2024-01-01' is unknown"),
        ("points\n1\n", "the time column is missing"),
        ("time,time\n1,1\n", "column 'time' twice: keep one"),
        ("time,date\n1,1\n", "columns 'time' and 'date' both give the time: keep one"),
        ("time,points,count\n1,1,1\n", "columns 'points' and 'count' both give the points"),
        ("time,points\n1\n", "line 2: a row must have as many cells as the header, 2, got 1"),
        ("time\n1,2\n", "line 2: a row must have as many cells as the header, 1, got 2"),
        ('time\n"1\n', "this is not CSV"),
        ("time\n" + "1" * 200_000 + "\n", "line 2: time in seconds must be a finite number"),
        ("time\n1\n\n\n0\n", "line 5: times must be sorted"),
        (b"\xff\xfet\x00", "column 't' is unknown"),
        (b"time\n1\x00\n", "zero byte"),
        (b"time\n" + b"1\n" * (1 << 25), "must be at most 67108864 bytes"),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_the_line(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    assert says in str(caught.value)
    assert "requests.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_a_file_that_is_not_there_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_requests(path)


# --- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7d", 7 * DAY),
        ("12h", 43_200),
        ("30m", 1800),
        ("90s", 90),
        ("2w", 14 * DAY),
        ("1.5d", 1.5 * DAY),
        ("90", 90),
        (" 1 h ", 3600),
        ("7 days", 7 * DAY),
        ("a year", 365 * DAY),
        ("1e3", 1000),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds
    assert duration(seconds) == seconds


@pytest.mark.parametrize(
    "text", ["", "d", "7 fortnights", "-7d", "1 month", "a", "7d12h", "nan", "inf", "7z", "٧d", "0", "0d", "99999w" * 9]
)
def test_bad_durations_name_the_argument(text: str) -> None:
    with pytest.raises(InputError, match=r"^window must be"):
        duration(text, name="window")


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, 1e-4, 1e11])
def test_durations_out_of_range(value: float) -> None:
    with pytest.raises(InputError, match=r"^deadline must be a (finite )?number from 0\.001 to 1e10, got"):
        duration(value, name="deadline")


# --- windows


def batches(times: list[float], window: float | str | None, **more: Any) -> tuple[list[tuple[float | None, int]], float | None]:
    plan = make_plan(MNIST, [Arrival(time, points) for points, time in enumerate(times, start=1)], **ASK, window=window, **more)
    return [(row.time, row.points) for row in plan.requests], plan.longest_wait


def test_without_a_window_what_arrives_at_one_time_is_processed_at_once() -> None:
    assert batches([3, 3, 4, 9, 9], None) == ([(3, 3), (4, 3), (9, 9)], 0.0)


def test_windows_start_at_the_first_arrival_are_half_open_and_skip_gaps() -> None:
    times = [100.0, 101.0, 109.5, 110.0, 131.0, 139.0]
    assert batches(times, 10) == ([(110, 6), (120, 4), (140, 11)], 10)
    assert batches([0.0, 4.0], 60) == ([(60, 3)], 60)


def test_the_longest_wait_is_that_of_the_first_request_of_a_window() -> None:
    assert batches([0.0], 10)[1] == 10
    assert batches([0.0, 18.0], 10) == ([(10, 1), (20, 2)], 10)


def test_every_request_is_processed_after_it_arrives_within_its_window() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        window = float(rng.choice([0.1, 0.7, 1 / 3, 7.0, rng.uniform(0.01, 50)]))
        steps = rng.integers(0, 30, size=12) * float(rng.choice([window, window / 3, 0.1]))
        times = float(rng.choice([0.0, 0.3, 1.7e9])) + np.sort(steps)
        rows, wait = batches(times.tolist(), window)
        assert wait is not None
        assert wait <= window
        assert sum(points for _, points in rows) == 78
        ends = np.array([end for end, _ in rows])
        slack = 1e-15 * np.abs(times).max() * 4
        for time in times:
            first = ends[np.searchsorted(ends, time - slack)]
            assert time - slack <= first <= time + window + slack
        assert np.all(np.diff(ends) > 0)


def test_a_window_longer_than_the_deadline_is_refused_and_one_as_long_is_not() -> None:
    assert batches([0.0, 5.0], "1h", deadline="60m")[1] == 3600
    with pytest.raises(InputError, match="window must be at most the deadline, 3600 seconds, got 3601 seconds"):
        batches([0.0], 3601, deadline="1h")


@pytest.mark.parametrize(
    ("requests", "more", "says"),
    [
        ([], {}, "requests must have at least one entry"),
        ([1, 0], {}, "points must be a whole number from 1"),
        ([1, 1.5], {}, "points must be a whole number from 1"),
        ([math.nan], {}, "points must be a whole number from 1"),
        ([[1, 2]], {}, "requests must be a list"),
        ([Arrival(0.0), 1], {}, "got a mix"),
        ([Arrival(1.0), Arrival(0.0)], {}, "arrival times must be sorted, got 0 after 1"),
        ([Arrival(math.nan)], {}, "arrival times must be a finite number"),
        ([11_000, 265], {}, "requests must delete at most n = 11264 points in all, got 11265"),
        ([1], {"window": "7d"}, "window must be left out where requests have no arrival times, got 7d"),
        ([1], {"deadline": 5.0}, "deadline must be left out where requests have no arrival times, got 5"),
        ([1], {"retrain_epochs": 0}, "retrain_epochs must be a whole number from 1"),
        ([1], {"sigma": -1.0}, "sigma must be"),
        ([1], {"unit": "hours"}, "unit must be one of steps, epochs"),
    ],
)
def test_bad_questions(requests: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(MNIST, requests, **(ASK | more))
    assert says in str(caught.value)


# --- plans


def test_the_published_stream() -> None:
    assert make_plan(MNIST, [1] * 100, **ASK, unit="epochs").total_epochs == 358
    assert make_plan(MNIST.with_(bound="paper"), [1] * 100, **ASK, unit="epochs").total_epochs == 1786
    geometric = MNIST.with_(bound="paper-geometric")
    assert make_plan(geometric, [1] * 100, **ASK, unit="epochs", first_bound="paper").total_epochs == 887


@pytest.mark.parametrize("accountant", [MNIST, BATCHES, BATCHES.with_(bound="paper")])
@pytest.mark.parametrize("unit", ["steps", "epochs"])
def test_rows_add_up_to_the_totals_and_are_those_of_the_stream(accountant: UnlearningAccountant, unit: str) -> None:
    points = [3, 1, 1, 40, 2, 1, 7]
    plan = make_plan(accountant, points, **ASK, unit=unit, retrain_epochs=5)
    stream = UnlearningStream(accountant, **ASK, unit=unit)
    algorithm = accountant.algorithm
    steps = spent = 0
    once = 5 * algorithm.problem.n
    for at, row in enumerate(plan.requests):
        assert (row.request, row.time, row.points, row.steps) == (at + 1, None, points[at], stream.request(points=points[at]))
        assert row.mu_worst == stream.mu_worst
        assert row.epochs == row.steps / algorithm.steps_per_epoch
        assert row.gradient_evaluations == algorithm.gradient_evaluations(row.steps, first=steps)
        steps, spent = steps + row.steps, spent + row.gradient_evaluations
        assert row.total_gradient_evaluations == spent
        assert row.retrain_each_gradient_evaluations == once * (at + 1)
        assert row.retrain_once_gradient_evaluations == once
    assert (plan.total_steps, plan.total_gradient_evaluations) == (steps, spent)
    assert spent == algorithm.gradient_evaluations(steps)
    assert plan.total_epochs == steps / algorithm.steps_per_epoch
    assert plan.retrain_gradient_evaluations == 7 * once
    assert plan.to_dict()["requests"] == [row._asdict() for row in plan.requests]


def test_break_even_is_the_first_request_that_makes_unlearning_dearer_than_one_retraining() -> None:
    for retrain_epochs in (1, 2, 5, 17, 100, 357, 358):
        plan = make_plan(MNIST, [1] * 100, **ASK, retrain_epochs=retrain_epochs)
        dearer = [row.request for row in plan.requests if row.total_gradient_evaluations > retrain_epochs * 11_264]
        assert plan.break_even == (dearer[0] if dearer else None)
        assert (plan.break_even is None) == (retrain_epochs >= plan.total_epochs)


def test_what_retraining_takes_by_default() -> None:
    mnist = preset("mnist")
    assert [default_retrain_epochs(PNSGD(mnist, b)) for b in (32, 128, 512, "full", 11_264)] == [50, 100, 200, 1000, 1000]
    assert set(PUBLISHED_EPOCHS) == {32, 64, 128, 256, 512, "full"}
    assert default_retrain_epochs(PNSGD(mnist, 100)) is None
    assert default_retrain_epochs(PNSGD(mnist, 32, learn_epochs=7)) == 7
    own = Problem(n=1000, smoothness=1.0, strong_convexity=0.1)
    assert default_retrain_epochs(PNSGD(own)) is None
    plan = make_plan(UnlearningAccountant(PNSGD(own)), [1, 1], epsilon=1.0, sigma=0.05)
    assert (plan.retrain_epochs, plan.retrain_gradient_evaluations, plan.break_even) == (None, None, None)
    assert plan.requests[1].retrain_each_gradient_evaluations is None
    assert make_plan(MNIST, [1], **ASK, retrain_epochs=3).retrain_gradient_evaluations == 3 * 11_264


def test_dates_stay_dates(tmp_path: Path) -> None:
    arrivals = read(tmp_path, "date\n2024-01-01\n2024-01-02T12:00\n")
    for window, says in ((None, ["2024-01-01T00:00:00Z", "2024-01-02T12:00:00Z"]), ("1w", ["2024-01-08T00:00:00Z"])):
        rows = make_plan(MNIST, arrivals, **ASK, window=window).to_dict()["requests"]
        assert [row["time"] for row in rows] == says


def test_progress_is_told() -> None:
    calls: list[tuple[int, int]] = []
    make_plan(MNIST, [1, 1, 1], **ASK, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


# --- optimize


def arrivals(seed: int, count: int = 15) -> list[Arrival]:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(DAY, count))
    return [Arrival(float(time), int(points)) for time, points in zip(times, rng.integers(1, 6, count), strict=True)]


def test_candidate_windows_are_few_sorted_and_end_with_the_deadline() -> None:
    for deadline in (0.01, 59.0, 3600.0, 30 * DAY, 1e10):
        none, *windows = candidate_windows(deadline)
        assert none is None
        assert windows[-1] == deadline
        assert windows == sorted({w for w in windows if w is not None})
        assert len(windows) < 60


@pytest.mark.parametrize("accountant", [MNIST, BATCHES, MNIST.with_(bound="paper")])
@pytest.mark.parametrize("deadline", [3 * DAY, 20 * DAY])
def test_the_chosen_window_is_never_worse_than_any_candidate(accountant: UnlearningAccountant, deadline: float) -> None:
    requests = arrivals(5)
    choice = optimize(accountant, requests, **ASK, deadline=deadline)
    assert choice.sigma == 0.03
    costs = {
        window: make_plan(accountant, requests, **ASK, window=window, deadline=deadline).total_gradient_evaluations
        for window in candidate_windows(deadline)
    }
    assert costs[choice.window] == min(costs.values())
    assert choice.window == next(window for window, cost in costs.items() if cost == min(costs.values()))


def test_a_free_sigma_reaches_the_least_cost_and_a_smaller_one_does_not() -> None:
    requests = arrivals(8)
    for limits in ({"max_sigma": 0.02}, {"max_sigma": 0.05, "unit": "epochs"}, {"max_sigma": 1e6}):
        unit = {"unit": limits.get("unit", "steps")}
        choice = optimize(MNIST, requests, epsilon=1.0, deadline="10d", **limits)
        top = limits["max_sigma"]
        assert choice.sigma <= top

        def cost(sigma: float, windows: list[float | None], unit: dict[str, Any] = unit) -> int:
            plans = (make_plan(MNIST, requests, epsilon=1.0, sigma=sigma, window=window, **unit) for window in windows)
            return min(plan.total_gradient_evaluations for plan in plans)

        everywhere = candidate_windows(10 * DAY)
        least = cost(top, everywhere)
        assert cost(choice.sigma, [choice.window]) == least
        assert cost(choice.sigma / 1.0011, everywhere) > least
    assert least == 0


def test_sigma_alone_can_be_chosen() -> None:
    choice = optimize(MNIST, [1] * 20, epsilon=1.0, max_sigma=0.03)
    assert choice.window is None
    assert choice.sigma <= 0.03
    full = make_plan(MNIST, [1] * 20, **ASK).total_steps
    assert make_plan(MNIST, [1] * 20, epsilon=1.0, sigma=choice.sigma).total_steps == full
    assert optimize(MNIST, arrivals(1), epsilon=1.0, max_sigma=0.03, window="2d").window == 2 * DAY


@pytest.mark.parametrize(
    ("requests", "more", "says"),
    [
        ([1], {"sigma": 0.03}, "optimize has nothing to choose"),
        ([1], {}, "max_sigma must be given where sigma is left to optimize"),
        ([Arrival(0.0)], {"sigma": 0.03, "window": "1d"}, "optimize has nothing to choose"),
        ([Arrival(0.0)], {"sigma": 0.03}, "deadline must be given for optimize"),
        ([Arrival(0.0)], {"window": "2d", "deadline": "1d", "max_sigma": 1.0}, "window must be at most the deadline"),
        ([1], {"sigma": 0.03, "max_sigma": 0.1}, "max_sigma must be left out where sigma is given"),
        ([1], {"max_sigma": 0.0}, "max_sigma must be a number above 0"),
        ([1], {"max_sigma": math.nan}, "max_sigma must be a finite number above 0"),
        ([1], {"max_sigma": 0.03, "epsilon": -1.0}, "epsilon must be"),
        ([1], {"max_sigma": 0.03, "unit": "days"}, "unit must be"),
    ],
)
def test_bad_questions_to_optimize(requests: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        optimize(MNIST, requests, **({"epsilon": 1.0} | more))
    assert says in str(caught.value)
