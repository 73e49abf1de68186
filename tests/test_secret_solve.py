"""``solve`` where records draw their batches by themselves: against trying every value, with costs that jump."""

from typing import Any

import numpy as np
import pytest

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, UnreachableError, solve

pytestmark = pytest.mark.filterwarnings("ignore::accountant.NotUniqueWarning")
SMALL: dict[str, Any] = {
    "n": 60, "smoothness": 1.0, "strong_convexity": 0.1, "assignment": "secret", "delta": 0.01, "epsilon": 1.0, "epochs": 1,
}  # fmt: skip


def meets(question: dict[str, Any], **value: Any) -> bool:
    asked = question | value
    problem = {k: asked[k] for k in ("n", "smoothness", "strong_convexity", "adjacency")}
    algorithm = {k: asked[k] for k in ("batch_size", "step_size", "assignment", "redraw", "learn_epochs") if k in asked}
    accountant = UnlearningAccountant(PNSGD(Problem(**problem), **algorithm), batches=asked.get("batches", "random"))
    try:
        reached = accountant.epsilon(**{k: asked[k] for k in ("sigma", "delta", "epochs", "steps") if k in asked})
    except UnreachableError:
        return False
    return bool(reached <= asked["epsilon"])


def answer(**question: Any) -> float | None:
    try:
        return solve(**question)
    except UnreachableError:
        return None


# A stand-in draws in secret, too, so that its key is never redrawn.
@pytest.mark.parametrize(
    ("adjacency", "redraw"), [("remove", None), ("remove", False), ("remove", True), ("replace", None), ("replace", False)]
)
def test_batch_size_among_all_sizes(adjacency: str, redraw: bool | None) -> None:
    rng = np.random.default_rng(3)
    jumps = 0
    for _ in range(3):
        question = SMALL | {"adjacency": adjacency, "redraw": redraw, "step_size": float(rng.uniform(0.5, 1.6))}
        question |= {"sigma": float(10 ** rng.uniform(-1.5, 0.3)), "delta": float(10 ** rng.uniform(-3, -1))}
        sizes = [b for b in range(1, 61) if meets(question, batch_size=b)]
        jumps += bool(sizes) and len(sizes) < sizes[-1] - sizes[0] + 1
        for extreme, expected in (("largest", sizes[-1:]), ("smallest", sizes[:1])):
            assert answer(**question, batch_size=None, extreme=extreme) == (expected[0] if expected else None)
    assert jumps or redraw is not None


def test_batch_size_where_only_too_large_batches_decide() -> None:
    """The smaller end of a range of equally many batches pays more than delta, the larger one does not."""
    inside = 0
    for eta in (0.9, 1.1, 1.3, 1.5):
        question = SMALL | {"adjacency": "remove", "redraw": False, "step_size": eta, "sigma": 50.0, "delta": 1e-3}
        sizes = [b for b in range(1, 61) if meets(question, batch_size=b)]
        assert answer(**question, batch_size=None, extreme="smallest") == sizes[0]
        inside += -(-60 // sizes[0]) == -(-60 // (sizes[0] - 1))
    assert inside


@pytest.mark.parametrize("redraw", [None, False])
def test_n_is_the_smallest_of_all_that_meet_the_target(redraw: bool | None) -> None:
    rng = np.random.default_rng(5)
    for _ in range(3):
        question = SMALL | {"adjacency": "remove", "redraw": redraw, "batch_size": int(rng.integers(5, 20)), "n": 0}
        question |= {"sigma": float(10 ** rng.uniform(-2, -0.5)), "delta": float(10 ** rng.uniform(-2.5, -1))}
        first = next((n for n in range(question["batch_size"], 150) if meets(question, n=n)), None)
        found = answer(**question | {"n": None})
        assert found == first or (first is None and found is not None and found >= 150)


def test_where_more_points_make_batches_too_large_there_is_no_n() -> None:
    question = SMALL | {"adjacency": "remove", "redraw": False, "batch_size": 8, "n": None, "delta": 1e-4, "sigma": 1e-3}
    with pytest.raises(UnreachableError, match="with more of them batches are too large too often"):
        solve(**question)


@pytest.mark.parametrize("assignment", ["secret", "partition"])
def test_step_size_is_the_largest_to_its_last_digits(assignment: str) -> None:
    adjacency = "remove" if assignment == "secret" else "replace"
    question = SMALL | {"assignment": assignment, "adjacency": adjacency, "batch_size": 15, "sigma": 0.12}
    found = solve(**question, step_size=None)
    assert 0 < found < 2
    assert meets(question, step_size=found)
    assert not any(meets(question, step_size=found * (1 + over)) for over in (2e-9, 1e-4, 0.01, 0.1, 0.5) if found * 1.5 <= 2)
    if assignment == "partition":
        with pytest.raises(UnreachableError, match="no step_size is the answer"):
            solve(**question | {"sigma": 1e-12, "epochs": 0}, step_size=None)
    # Beside another unknown it is the default, as ever.
    assert solve(**question | {"sigma": None}, step_size=None) == solve(**question | {"sigma": None})


def test_the_others_and_what_is_refused() -> None:
    question = SMALL | {"adjacency": "remove", "batch_size": 15, "sigma": 0.2}
    learned = solve(**question | {"sigma": 0.05}, learn_epochs=None)
    assert meets(question | {"sigma": 0.05}, learn_epochs=learned)
    assert not meets(question | {"sigma": 0.05}, learn_epochs=learned + 1)
    with pytest.raises(InputError, match="schedule must be left out"):
        solve(**question, step_size=None, schedule=[{"kind": "unlearn", "sigma": 1.0}])
    with pytest.raises(InputError, match="or else step_size"):
        solve(**question)
    apart = question | {"learn_epochs": None, "radius": 1.0, "reference": 3}
    with pytest.raises(
        InputError, match="learn_epochs must be given with assignment=poisson and a reference that starts apart"
    ):
        solve(**apart | {"assignment": "poisson"})


@pytest.mark.parametrize("assignment", ["fresh", "poisson"])
def test_draws_that_are_paid_for_step_by_step(assignment: str) -> None:
    question = SMALL | {"assignment": assignment, "adjacency": "remove", "learn_epochs": 5, "sigma": 0.2, "batch_size": 25}
    sizes = [b for b in range(1, 61) if meets(question, batch_size=b)]
    assert answer(**question | {"batch_size": None, "extreme": "smallest"}) == sizes[0]
    learned = solve(**question | {"learn_epochs": None})
    assert meets(question, learn_epochs=learned)
    assert not meets(question, learn_epochs=learned + 1)
    first = next(n for n in range(25, 200) if meets(question, n=n))
    assert answer(**question | {"n": None}) == first
