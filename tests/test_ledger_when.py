"""When to act: as late as is safe, merged as far as that goes, and by learning again where that is cheaper."""

import math
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_commands import PEOPLE, commanded
from ledgers import DAY, NAMES, Clock, N, begun, model_file
from typer.testing import CliRunner

from accountant import InputError
from accountant.commands.program import app
from accountant.ledger.when import (
    acts,
    cheapest_cycle,
    estimated_seconds,
    expected_points,
    latest_start,
    refit_cheaper,
    requests_before_refit,
    saving,
)
from accountant.trainer import PNSGDClassifier

TIMES = st.integers(0, 1 << 50)
SECONDS = st.floats(0, 1e6).map(lambda seconds: round(seconds, 6))
COUNTS = st.lists(st.integers(0, 10_000), max_size=40)


@given(due=TIMES, seconds=SECONDS, margin=st.floats(1, 100), floor=SECONDS)
def test_a_run_begins_its_margin_and_the_floor_before_the_deadline(
    due: int, seconds: float, margin: float, floor: float
) -> None:
    start = latest_start(due, seconds=seconds, margin=margin, floor=floor)
    assert start == pytest.approx(due - (margin * seconds + floor) * 1e6, abs=2)
    # Whatever it takes up to margin times the estimate, it is done by then.
    assert start + seconds * margin * 1e6 <= due + 1
    assert latest_start(due, seconds=None, margin=margin, floor=floor) >= start


@given(now=TIMES, due=TIMES, urgent=st.integers(0, 3), start=TIMES)
def test_it_acts_when_something_is_urgent_or_the_moment_has_come(now: int, due: int, urgent: int, start: int) -> None:
    assert acts(now, earliest_due=due, urgent=urgent, start=start) == (urgent > 0 or start <= now)
    assert not acts(now, earliest_due=None, urgent=urgent, start=start)


@given(
    steps=st.integers(0, 10_000),
    planned=st.none() | SECONDS,
    runs=st.lists(st.tuples(st.integers(0, 10_000), SECONDS), max_size=6),
)
def test_an_estimate_is_never_below_what_was_measured_or_planned(
    steps: int, planned: float | None, runs: list[tuple[int, float]]
) -> None:
    found = estimated_seconds(steps, planned=planned, measured=runs)
    if planned is None and not runs:
        assert found is None
        return
    assert found is not None
    assert all(found >= seconds for _, seconds in runs)
    assert all(found * max(ran, 1) >= seconds * steps * (1 - 1e-12) for ran, seconds in runs)
    assert planned is None or found >= planned
    more = estimated_seconds(2 * steps, planned=planned, measured=runs)
    assert more is not None
    assert found <= more


@given(beginning=st.floats(0, 100), each=st.floats(1e-3, 10), steps=st.integers(1, 5000), ran=st.integers(1, 5000))
def test_a_run_that_takes_a_beginning_and_so_much_a_step_is_not_underestimated(
    beginning: float, each: float, steps: int, ran: int
) -> None:
    found = estimated_seconds(steps, planned=None, measured=[(ran, beginning + each * ran)])
    assert found is not None
    assert found >= (beginning + each * steps) * (1 - 1e-12)


@given(received=st.integers(0, 10_000), over=st.floats(1, 1e7), ahead=st.floats(-1e7, 1e7))
def test_requests_are_expected_to_come_as_fast_as_they_came(received: int, over: float, ahead: float) -> None:
    found = expected_points(received, over=over, ahead=ahead)
    rate = received * max(ahead, 0.0) / over
    assert rate - 1e-6 * (1 + rate) <= found < rate + 1 + 1e-6 * (1 + rate)
    assert expected_points(received, over=0.0, ahead=ahead) == 0


@given(steps=COUNTS, refit=st.integers(0, 10_000), ends=st.booleans())
def test_so_many_requests_are_cheaper_than_learning_again_and_the_next_is_not(steps: list[int], refit: int, ends: bool) -> None:
    count = requests_before_refit(steps, refit=refit, ends=ends)
    if count is None:
        assert not ends
        assert not any(refit_cheaper(each, refit) for each in steps)
        return
    assert not any(refit_cheaper(each, refit) for each in steps[:count])
    assert refit_cheaper(steps[count] if count < len(steps) else None, refit)


@given(steps=st.lists(st.integers(0, 10_000), min_size=1, max_size=40).map(sorted), refit=st.integers(0, 100_000))
def test_the_cycle_costs_least_on_average_of_all_lengths(steps: list[int], refit: int) -> None:
    averages = [(refit + spent) / (count + 1) for count, spent in enumerate(accumulate(steps, initial=0))]
    found = cheapest_cycle(steps, refit=refit)
    if found is None:
        assert averages[-1] == min(averages)
    else:
        assert averages[found] == min(averages)
        # Beyond it the average only rises, however many follow.
        assert averages[found + 1] >= averages[found]


@given(apart=st.integers(0, 10_000), merged=st.integers(1, 10_000))
def test_the_saving_is_the_ratio(apart: int, merged: int) -> None:
    found = saving(apart, merged)
    assert found is not None
    assert math.isclose(found * merged, apart)
    assert saving(apart, 0) is None


def test_numbers_that_are_none_are_refused() -> None:
    for wrong in (-1.0, math.nan):
        with pytest.raises(InputError, match="seconds must be"):
            latest_start(0, seconds=wrong, margin=1.0, floor=0.0)
        with pytest.raises(InputError, match="planned must be"):
            estimated_seconds(3, planned=wrong, measured=[])
        with pytest.raises(InputError, match="over must be"):
            expected_points(3, over=wrong, ahead=1.0)
    with pytest.raises(InputError, match="refit must be"):
        cheapest_cycle([1], refit=-1)
    with pytest.raises(InputError, match="refit must be"):
        requests_before_refit([1], refit=-1, ends=False)


def test_the_outlook_is_what_the_model_itself_says(tmp_path: Path) -> None:
    clock = Clock()
    with begun(tmp_path, clock=clock) as ledger:
        ledger.add(NAMES[:3])
        clock.now += 10 * DAY
        ledger.add(NAMES[3:5])
        clock.now += 10 * DAY
        found, model = ledger.outlook(), PNSGDClassifier.load(model_file(tmp_path / ".."))
        assert found.now == model.planned_steps(5)
        assert found.start is not None
        assert found.seconds is not None
        # Five in a ledger that counts as a deadline old, and as fast until the last moment.
        assert found.expected == math.ceil(5 * (found.start - clock.now) / (30 * DAY))
        assert found.merged == model.planned_steps(5 + found.expected)
        assert found.refit == model.planned_refit(0).steps
        assert found.refit_cheaper == (found.now > found.refit)
        one_by_one = []
        for name in NAMES[:5]:
            one_by_one.append(model.planned_steps(1))
            model.unlearn(ids=[name])
        assert (found.singly, found.singly_of) == (sum(one_by_one), 5)
        assert found.saving_by_merging == sum(one_by_one) / found.now
        apart = PNSGDClassifier.load(ledger.settings.model)
        apart.unlearn(ids=NAMES[:5])
        assert found.apart == found.now + apart.planned_steps(found.expected)
        # Only looked at.
        assert ledger.outlook() == found
        assert ledger.status().waiting == 5


def test_what_runs_measured_counts_for_when_the_next_one_begins(tmp_path: Path) -> None:
    clock = Clock()
    slow = {"arguments": {"problem": {"algorithm": "fine-tuning", "step_size": 0.1, "gradient_clip": 1.0, "start_clip": 1.0,
                                      "epsilon": 1.0, "delta": 1e-4}, "steps": 20}}  # fmt: skip
    with commanded(tmp_path, clock=clock, floor=0.0, margin=1000.0, **slow) as ledger:
        (request,) = ledger.add([PEOPLE[0]])
        # Nobody knows yet how long it takes: at the last moment.
        assert ledger.process().start == request.due
        ledger.process(everything=True)
        # The certificate's time, too.
        took = sum(entry.content["seconds"] for entry in ledger.entries() if entry.kind in ("run", "released"))
        assert took > max(entry.content.get("seconds", 0.0) for entry in ledger.entries()) > 0
        (request,) = ledger.add([PEOPLE[1]])
        assert ledger.process().start == request.due - int(took * 1000 * 1e6)
        outlook = ledger.outlook()
        # Fine-tuning takes the same steps for any number of records, so merging saves all but one run.
        assert (outlook.now, outlook.merged, outlook.seconds, outlook.refit) == (20, 20, took, None)
        ledger.add(PEOPLE[2:6])
        assert ledger.outlook().saving_by_merging == 5


@pytest.mark.parametrize("asked", [False, True])
def test_learning_again_instead_where_that_is_cheaper_and_asked_for(tmp_path: Path, asked: bool) -> None:
    arguments = {"refit": f"{__import__('sys').executable} finetune.py --again --without {{file}}", "refit_steps": 19}
    with commanded(tmp_path, arguments=arguments) as ledger:
        ledger.add([PEOPLE[0]])
        assert ledger.outlook().refit_cheaper
        assert ledger.outlook().requests_left == 0
        run = ledger.process(everything=True, refit_when_cheaper=asked).run
        assert run is not None
        assert run.what == ("refit" if asked else "unlearn")
        assert ledger.verify().findings == ()


def test_a_refit_that_costs_as_much_is_none_that_is_cheaper(tmp_path: Path) -> None:
    arguments = {"refit": f"{__import__('sys').executable} finetune.py --again --without {{file}}", "refit_steps": 20}
    with commanded(tmp_path, arguments=arguments) as ledger:
        ledger.add([PEOPLE[0]])
        run = ledger.process(everything=True, refit_when_cheaper=True).run
        assert run is not None
        assert run.what == "unlearn"
        outlook = ledger.outlook()
        assert (outlook.refit, outlook.refit_cheaper, outlook.requests_left, outlook.cycle) == (20, False, None, None)


def test_only_learning_again_answers_what_no_number_of_steps_does(tmp_path: Path) -> None:
    with begun(tmp_path) as ledger:
        ledger.add(NAMES[: N - 45])
        assert ledger.outlook().now is None
        assert ledger.outlook().refit_cheaper
        run = ledger.process(everything=True, refit_when_cheaper=True).run
        assert run is not None
        assert (run.what, len(run.requests)) == ("refit", N - 45)
        assert ledger.verify().findings == ()


def test_the_status_says_so_where_the_model_cannot_be_read_and_what_can_wait_where_no_steps_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with begun(tmp_path) as ledger:
        ledger.add(NAMES[: N - 45])
    waits = CliRunner().invoke(app, ["ledger", "process", "--refit-when-cheaper"])
    assert waits.exit_code == 0, waits.output
    assert "75 requests can wait until" in " ".join(waits.stdout.split())
    assert "no number of steps is enough: the model will be learned again then" in " ".join(waits.stdout.split())
    assert "no number of steps is enough" in " ".join(CliRunner().invoke(app, ["ledger", "status"]).stdout.split())
    (tmp_path / "model.npz").unlink()
    status = CliRunner().invoke(app, ["ledger", "status"])
    assert status.exit_code == 0, status.output
    assert "costs not known: " in " ".join(status.stdout.split())
    assert CliRunner().invoke(app, ["ledger", "status", "--no-costs"]).exit_code == 0
