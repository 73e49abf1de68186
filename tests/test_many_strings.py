"""All strings of a group at once are the strings one by one, rounded up; numbers of steps stay what they were."""

import math
from typing import Any

import numpy as np
import pytest

from accountant import PNSGD, Problem, UnlearningAccountant
from accountant.averaging import own_groups
from accountant.bounds import Optimal
from accountant.shifts import taut_string
from accountant.shifts.many import each_cyclic, each_joined, taut_strings
from accountant.shifts.runs import cyclic, joined, quiet

NEARLY = 1e-12


def cases() -> list[tuple[dict[str, Any], np.ndarray, float]]:
    """Constant steps over few batches: contractions from none to nearly all, one step to for ever, counts of all sizes."""
    rng, made = np.random.default_rng(18), []
    for _ in range(300):
        period = int(rng.integers(1, 9))
        patterns = rng.poisson(rng.choice([0.3, 1, 5]), (int(rng.integers(1, 6)), period)) * math.exp(rng.normal(0, 10))
        patterns[patterns.sum(axis=1) == 0, 0] = 1.0
        log_c = -math.exp(rng.uniform(math.log(1e-9), 3)) if rng.random() < 0.9 else 0.0
        steps = float(rng.choice([1, period, 2 * period + 1, 3 * period + 1, 1000 * period, math.inf if log_c else 5 * period]))
        words = {"log_c": log_c, "steps": steps, "noise": math.exp(rng.normal())}
        made.append((words, patterns, float(rng.choice([0, 1, 5, 100, 10**6]))))
    return made


def test_strings_at_once_are_those_one_by_one_and_never_shorter() -> None:
    for words, patterns, after in cases():
        tail = quiet(log_c=words["log_c"], steps=after, noise=words["noise"])
        silent = tail._replace(sensitivity=np.zeros((patterns.shape[0], tail.log_c.size)))
        found = taut_strings(*each_joined([each_cyclic(patterns=patterns, **words), silent]))
        alone = [
            taut_string(*joined([cyclic(pattern=pattern, first=0, **words), tail]), 0.0, math.inf).mu for pattern in patterns
        ]
        assert np.all(found >= np.array(alone) * (1 - 1e-15))
        assert np.all(found <= np.array(alone) * (1 + NEARLY))


def test_strings_of_random_steps_have_the_length_of_the_lower_convex_hull() -> None:
    rng = np.random.default_rng(19)
    for _ in range(200):
        size = int(rng.integers(1, 20))
        log_c, nu = -rng.exponential(size=size), rng.uniform(0.5, 2, size)
        h = rng.exponential(size=(3, size)) * (rng.random((3, size)) < 0.6)
        weights = np.exp([log_c[k + 1 :].sum() for k in range(size)])
        times = np.concatenate([[0.0], np.cumsum((weights * nu) ** 2)])
        for row, found in zip(h, taut_strings(log_c, h, nu), strict=True):
            heights, at, square = np.concatenate([[0.0], np.cumsum(weights * row)]), 0, 0.0
            while at < size:
                slopes = (heights[at + 1 :] - heights[at]) / (times[at + 1 :] - times[at])
                to = at + 1 + int(slopes.argmin())
                square += (heights[to] - heights[at]) ** 2 / (times[to] - times[at])
                at = to
            assert found == pytest.approx(math.sqrt(square), rel=1e-9)


@pytest.mark.parametrize("adjacency", ["remove", "replace"])
@pytest.mark.parametrize("learned", [None, 1, 2, 7])
def test_groups_cost_what_their_strings_one_by_one_say(
    adjacency: str, learned: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem(n=40, smoothness=1.0, strong_convexity=0.02, adjacency=adjacency)
    algorithm = PNSGD(problem, 10, learn_epochs=learned, assignment="secret", largest_n=80, redraw=False)
    answers = []
    for at_once in (True, False):
        if not at_once:
            monkeypatch.setattr(
                Optimal,
                "log_placed_each",
                lambda self, setting, counts, steps: np.concatenate(
                    [self.log_placed(setting, each, steps) for each in counts], axis=1
                ),
            )
        accountant = UnlearningAccountant(algorithm, group_size=3)
        answers.append([accountant.delta(sigma=0.5, epsilon=1.0, steps=steps) for steps in (0, 1, 7, 300)])
    together, apart = map(np.array, answers)
    assert np.all(together >= apart * (1 - 1e-14))
    assert together == pytest.approx(apart, rel=1e-9)


def test_no_string_is_found_by_itself_where_all_are_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(*_: object) -> None:
        raise AssertionError("one by one")

    monkeypatch.setattr(Optimal, "log_placed", alone)
    problem = Problem(n=200, smoothness=1.0, strong_convexity=0.001, adjacency="remove")
    algorithm = PNSGD(problem, 40, learn_epochs=50, assignment="secret", largest_n=220, redraw=False)
    accountant = UnlearningAccountant(algorithm, group_size=10)
    assert own_groups.own_group(5, 10, stand_in=False).width == 1001
    assert 0 < accountant.delta(sigma=1.0, epsilon=1.0, steps=1000) < 1
