"""The root-finder ends on the safe side, for one problem or many, smooth or not."""

import numpy as np
import pytest

from accountant.numerics import decreasing_root, smallest_count, smallest_whole


def test_roots_are_met_and_minimal() -> None:
    targets = np.geomspace(1e-9, 1e9, 50)

    def excess(x: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return targets[active] - x**3, -3 * x**2

    x = decreasing_root(excess, start=np.ones(50), low=np.zeros(50), high=np.full(50, 1e4))
    assert np.all(x**3 >= targets)
    assert x == pytest.approx(np.cbrt(targets), rel=1e-14)


def test_without_slopes_it_bisects() -> None:
    def excess(x: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.where(x < np.pi, 1.0, -1.0), np.zeros_like(x)

    x = decreasing_root(excess, start=np.array([1.0]), low=np.array([0.0]), high=np.array([100.0]))
    assert x[0] >= np.pi
    assert x[0] == pytest.approx(np.pi, rel=1e-14)


def test_misleading_slopes_cost_time_only() -> None:
    def excess(x: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 2.0 - x, np.full_like(x, -1e-12)

    x = decreasing_root(excess, start=np.array([1.0]), low=np.array([0.0]), high=np.array([1e9]))
    assert x[0] == pytest.approx(2.0, rel=1e-14)


def test_smallest_count_finds_the_switch_with_few_questions() -> None:
    switches = np.array([0.0, 1.0, 5.0, 1e6, 2.0**52, np.inf])
    asked = 0

    def holds(count: np.ndarray, active: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += 1
        return count >= switches[active]

    assert smallest_count(holds, low=np.zeros(6)).tolist() == switches.tolist()
    assert asked < 120
    assert smallest_count(lambda c, a: c >= 3, low=np.array([7.0])).tolist() == [7.0]
    assert smallest_count(lambda c, a: c >= 3, low=np.array([0.0]), high=2.0).tolist() == [np.inf]


def test_the_smallest_whole_number_is_found_near_the_start_with_few_questions() -> None:
    rng = np.random.default_rng(3)
    for _ in range(2000):
        low = int(rng.integers(0, 5))
        high = low + int(rng.choice([0, 1, 2, 5, 50, 2**53])) - int(rng.integers(0, 2))
        answer = min(low + int(rng.integers(0, 60)), max(high, low - 1) + 1)
        start = None if rng.random() < 0.3 else min(max(answer + int(rng.integers(-70, 70)), low), max(low, high))
        asked: list[int] = []

        def holds(number: int, answer: int = answer, asked: list[int] = asked) -> bool:
            asked.append(number)
            return number >= answer

        assert smallest_whole(holds, low, high, start=start) == answer
        assert all(low <= number <= high for number in asked)
        assert len(set(asked)) == len(asked) <= (54 if start is None else 15)
