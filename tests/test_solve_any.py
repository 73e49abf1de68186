"""``solve``: every unknown against the accountant by brute force, the arguments it takes, what it says without an answer."""

import math
import re
import warnings
from collections.abc import Iterable
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import random_algorithm

import accountant
from accountant import (
    PNSGD,
    InputError,
    Learn,
    NotUniqueWarning,
    Problem,
    Schedule,
    Unlearn,
    UnlearningAccountant,
    UnreachableError,
    solve,
)
from accountant.questions import ALGORITHM, KEYS, SCHEDULE, STEP_KEYS, TARGET
from accountant.questions.solving import Question

BASE: dict[str, Any] = {"sigma": 0.03, "epsilon": 1.0, "delta": 1e-5, "epochs": 1, "preset": "mnist", "batch_size": 128}
SMALL: dict[str, Any] = {"n": 40, "smoothness": 1.0, "strong_convexity": 0.1, "batch_size": 6, "delta": 1e-3}


#: The warning has a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::accountant.NotUniqueWarning")


def build(question: dict[str, Any]) -> UnlearningAccountant:
    """The accountant of a question, without ``solve``'s own way of reading it."""
    problem = Problem(**{name: question[name] for name in KEYS["problem"] if name in question})
    algorithm = PNSGD(problem, **{name: question[name] for name in KEYS["algorithm"] if name in question})
    return UnlearningAccountant(algorithm, **{name: question[name] for name in KEYS["accountant"] if name in question})


def meets(question: dict[str, Any], **value: Any) -> bool:
    asked = question | value
    ask = {name: asked[name] for name in ("sigma", "delta", "epochs", "steps") if name in asked}
    try:
        return bool(build(asked).epsilon(**ask) <= asked["epsilon"])
    except UnreachableError:
        return False


def those_that_meet(question: dict[str, Any], unknown: str, values: Iterable[int]) -> list[int]:
    return [value for value in values if meets(question, **{unknown: value})]


def same(question: dict[str, Any], unknown: str, expected: int | None) -> None:
    """That ``solve`` finds the expected value, or says in one sentence that there is none."""
    asked = {**question, unknown: None}
    if expected is None:
        with pytest.raises(UnreachableError, match=f"^no {unknown} is the answer"):
            solve(**asked)
    else:
        found = solve(**asked)
        assert found == expected, asked
        assert type(found) is int


def random_question(rng: np.random.Generator, *, most: int = 40, **fixed: Any) -> dict[str, Any]:
    """Problem, algorithm, batches and noise such that some values of an unknown meet the target and some do not."""
    algorithm = random_algorithm(rng, learn_epochs=int(rng.integers(1, 6)) if rng.random() < 0.4 else None)
    n = min(algorithm.problem.n, most)
    question: dict[str, Any] = {**algorithm.problem.to_dict(), **algorithm.to_dict()} | {
        "n": n,
        "batch_size": int(rng.integers(1, n + 1)),
        "batches": str(rng.choice(["random", "worst"])),
        "delta": float(10 ** rng.uniform(-6, -1)),
        str(rng.choice(["epochs", "steps"])): int(rng.integers(1, 4)),
        "radius": float(10 ** rng.uniform(-2, 2)) if rng.random() < 0.3 else None,
    }
    question = {name: value for name, value in (question | fixed).items() if value is not None}
    if rng.random() < 0.25:
        question["bound"] = "paper-geometric" if "learn_epochs" in question else str(rng.choice(["paper", "paper-geometric"]))
    return question


def start_apart(question: dict[str, Any], rng: np.random.Generator) -> None:
    """Another reference, where there is a radius."""
    if "radius" in question and "bound" not in question:
        question["reference"] = str(rng.choice(["converged", "4"] if "epochs" in question else ["converged"]))


def noise_in_between(question: dict[str, Any], unknown: str, values: list[int], rng: np.random.Generator) -> dict[str, Any]:
    """The question with the noise that one of the values needs."""
    value = int(rng.choice(values))
    asked = question | {unknown: value}
    epsilon = float(10 ** rng.uniform(-1, 1))
    ask = {name: asked[name] for name in ("delta", "epochs", "steps") if name in asked}
    return question | {"epsilon": epsilon, "sigma": build(asked).sigma(epsilon=epsilon, **ask) * 1.0001}


def test_batch_size_is_the_extreme_of_all_sizes_that_meet_the_target() -> None:
    rng = np.random.default_rng(1)
    gaps = 0
    for case in range(16):
        question = random_question(rng)
        values = list(range(1, question["n"] + 1))
        if case % 4 == 0:
            question["batches"] = j = int(rng.integers(0, 4)) % question["n"]
            keep = question["last_batch"] == "keep"
            values = [b for b in values if j < (-(-question["n"] // b) if keep else question["n"] // b)]
        elif case % 4 == 1:
            question |= {"group_size": min(int(rng.integers(1, 6)), question["n"]), "batches": "worst"}
        else:
            start_apart(question, rng)
        question = noise_in_between(question, "batch_size", values, rng)
        among = those_that_meet(question, "batch_size", values)
        assert among
        gaps += among != list(range(among[0], among[-1] + 1))
        same(question | {"extreme": "largest"}, "batch_size", among[-1])
        same(question | {"extreme": "smallest"}, "batch_size", among[0])
        same(question, "batch_size", among[-1] if "epochs" in question else among[0])
    assert gaps > 2  # sizes that meet the target need not be neighbours, and such cases were among these


def test_n_is_the_smallest_of_all_that_meet_the_target() -> None:
    rng = np.random.default_rng(2)
    gaps = 0
    for case in range(17):
        question = random_question(rng, most=12)
        size, keep = question["batch_size"], question["last_batch"] == "keep"
        if case % 5 == 0:
            question["batch_size"], size = "full", 1
        elif case % 5 == 1:
            question["batches"] = j = int(rng.integers(0, 4))
            size = max(size, j * size + 1 if keep else (j + 1) * size)
        elif case % 5 == 2:
            question |= {"group_size": int(rng.integers(1, 4)), "batches": "worst"}
            size = max(size, question["group_size"])
        else:
            start_apart(question, rng)
        if not keep and question["batches"] == "random":
            question["last_batch"] = "keep"
        values = list(range(size, size + 50))
        question = noise_in_between(question, "n", values, rng)
        among = those_that_meet(question, "n", values)
        gaps += among != list(range(among[0], values[-1] + 1))
        question.pop("n")
        same(question, "n", among[0])
    assert gaps > 2


def test_learn_epochs_is_the_largest_or_where_learning_helps_the_smallest() -> None:
    rng = np.random.default_rng(3)
    kinds = set()
    for _ in range(40):
        question = random_question(rng)
        question.pop("learn_epochs", None)
        if question.get("bound") == "paper":
            question["strong_convexity"] = 0.0  # converges to no finite distance, and is refused otherwise
            question["step_size"] = 1 / question["smoothness"]
        if "bound" not in question and "radius" in question:
            question["reference"] = rng.choice(["matched", "converged", "7"])
        helps = question.get("reference", "matched") != "matched"
        values = list(range(1, 13))
        question = noise_in_between(question, "learn_epochs", values, rng)
        among = those_that_meet(question, "learn_epochs", values)
        # One way: all up to one, or all from one on.
        if helps:
            assert among == list(range(among[0], 13))
            same(question, "learn_epochs", among[0])
        else:
            assert among == list(range(1, among[-1] + 1))
            if among[-1] == 12:
                # Beyond those tried: all, or a largest that its neighbour does not equal.
                if meets(question, learn_epochs=2**53):
                    with pytest.raises(UnreachableError, match="there is no largest"):
                        solve(**question, learn_epochs=None)
                    continue
                last = solve(**question, learn_epochs=None)
                assert meets(question, learn_epochs=last)
                assert not meets(question, learn_epochs=last + 1)
            else:
                same(question, "learn_epochs", among[-1])
        kinds.add((helps, among[-1] == 12))
    assert len(kinds) == 3


def test_group_size_is_the_largest() -> None:
    rng = np.random.default_rng(4)
    for case in range(16):
        question = random_question(rng, most=9 if case % 2 else 14)
        if case % 4 == 0:
            question["batches"] = "worst"
        high = question["n"]
        if case % 4 == 1:
            question["batches"] = 0
            high = min(question["batch_size"], question["n"])
        elif case % 8 == 3 and "bound" not in question:
            question["batches"] = "reshuffle"
        values = list(range(1, high + 1))
        question = noise_in_between(question, "group_size", values, rng)
        among = those_that_meet(question, "group_size", values)
        assert among == list(range(1, among[-1] + 1))
        same(question, "group_size", among[-1])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    unknown=st.sampled_from(["sigma", "epsilon", "delta", "epochs", "steps"]),
    log_sigma=st.floats(-3, 3),
    log_epsilon=st.floats(-2, 1.5),
)
def test_the_accountants_own_answers_are_passed_on_and_meet_the_target(
    seed: int, unknown: str, log_sigma: float, log_epsilon: float
) -> None:
    question = random_question(np.random.default_rng(seed))
    question |= {"sigma": 10**log_sigma, "epsilon": 10**log_epsilon}
    if unknown in ("epochs", "steps"):
        question = {name: value for name, value in question.items() if name not in ("epochs", "steps")}
    question.pop(unknown, None)
    ask = {name: question[name] for name in ("sigma", "epsilon", "delta", "epochs", "steps") if name in question}
    try:
        expected = getattr(build(question), unknown)(**ask)
    except InputError as error:
        with pytest.raises(type(error), match=re.escape(str(error))):
            solve(**question, **{unknown: None})
        return
    if unknown == "delta" and expected >= 1:
        with pytest.raises(UnreachableError, match="only delta = 1"):
            solve(**question, delta=None)
        return
    found = solve(**question, **{unknown: None})
    assert type(found) is type(expected)
    assert found == pytest.approx(max(expected, 1e-300) if unknown == "delta" else expected, rel=1e-9)
    assert meets(question | {unknown: found})


def test_there_and_back_at_the_edge() -> None:
    # The noise of a number of steps, give or take roundings: exactly where steps and delta are decided.
    rng = np.random.default_rng(5)
    for _ in range(12):
        question = random_question(rng, epochs=None, steps=int(rng.integers(1, 9)))
        question["epsilon"] = float(10 ** rng.uniform(-3, 1))
        noise = solve(**question, sigma=None)
        for factor in (1 - 1e-14, 1 - 1e-15, 1.0, 1 + 1e-15):
            question["sigma"] = noise * factor
            assert meets(question, delta=solve(**question | {"delta": None}))
            try:
                steps = solve(**question | {"steps": None})
            except UnreachableError:
                continue
            assert meets(question, steps=steps)


def test_the_preset_example() -> None:
    known = {name: value for name, value in BASE.items() if name != "sigma"}
    expected = UnlearningAccountant(PNSGD(accountant.preset("mnist"), 128)).sigma(epsilon=1.0, delta=1e-5, epochs=1)
    assert solve(**known, sigma=None) == expected
    # In the preset's place, its n; the other constants stay.
    mnist = accountant.preset("mnist").to_dict() | BASE | {"sigma": 0.003}
    found = solve(**BASE | {"sigma": 0.003, "n": None})
    assert meets(mnist, n=found)
    assert not meets(mnist, n=found - 1)
    found = solve(**BASE | {"sigma": 0.003, "batch_size": None})
    assert meets(mnist, batch_size=found)
    assert not any(meets(mnist, batch_size=b) for b in (*range(found + 1, found + 40), 1000, 3755, 5632, 11264))


def test_a_warning_names_a_value_beyond_the_answer_that_does_not_meet_the_target() -> None:
    question = BASE | {"sigma": 0.003}
    with pytest.warns(NotUniqueWarning, match="n=5877 is the smallest .* not all larger ones do: n=5889 does not") as caught:
        assert solve(**question | {"n": None}) == 5877
    assert caught[0].filename == __file__
    assert not meets(accountant.preset("mnist").to_dict() | question, n=5889)
    # Full batches have no short one: every larger n does.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve(**question | {"n": None, "batch_size": "full"})
    small = SMALL | {"epsilon": 1.0, "epochs": 1, "batch_size": None}
    named = 0
    for sigma in np.geomspace(0.05, 0.5, 12):
        for extreme in ("smallest", "largest"):
            with warnings.catch_warnings(record=True) as caught_here:
                warnings.simplefilter("always")
                try:
                    found = solve(**small | {"sigma": float(sigma), "extreme": extreme})
                except UnreachableError:
                    continue
            for warning in caught_here:
                named += 1
                value = int(str(warning.message).split("batch_size=")[-1].split()[0])
                assert not meets(SMALL | small | {"sigma": float(sigma)}, batch_size=value)
                assert (value > found) == (extreme == "smallest")
    assert named


def test_every_name_of_files_and_options_is_an_argument() -> None:
    names = set(get_type_hints(Question))
    keys = {key for part in KEYS.values() for key in part} | {ALGORITHM, *STEP_KEYS}
    assert names == keys | set(TARGET) | {SCHEDULE, "epochs", "steps", "preset", "problem", "extreme"}
    full: dict[str, Any] = {
        "n": 40, "smoothness": 1.0, "strong_convexity": 0.1, "lipschitz": 2.0, "adjacency": "zero-out", "batch_size": 6,
        "step_size": 0.5, "radius": 3.0, "learn_epochs": 4, "last_batch": "drop", "bound": "optimal", "batches": "worst",
        "reference": "matched", "group_size": 2,
    }  # fmt: skip
    expected = build(full).sigma(epsilon=1.0, delta=1e-3, steps=5)
    assert solve(sigma=None, epsilon=1.0, delta=1e-3, steps=5, **full) == expected
    # None and "default" are what they are elsewhere, for what cannot be solved for.
    plain = {"n": 40, "smoothness": 1.0, "strong_convexity": 0.1}
    bare = solve(sigma=None, epsilon=1.0, epochs=1, **plain)
    same_again = solve(
        sigma=None, epsilon=1.0, epochs=1, **plain, step_size=None, radius=None, batches=None, schedule=None, preset=None,
        learn_epochs="default", batch_size="default",
    )  # fmt: skip
    assert bare == same_again == build(plain).sigma(epsilon=1.0, epochs=1)


def test_problem_files_and_schedules(tmp_path: Any) -> None:
    file = tmp_path / "problem.toml"
    file.write_text("n = 40\nsmoothness = 1.0\nstrong_convexity = 0.1\nbatch_size = 6\nsigma = 0.4\nepsilon = 2.0\n")
    question = {"n": 40, "smoothness": 1.0, "strong_convexity": 0.1, "batch_size": 6}
    assert solve(problem=file, steps=None) == build(question).steps(sigma=0.4, epsilon=2.0)
    assert solve(problem=str(file), sigma=None, epochs=1) == build(question).sigma(epsilon=2.0, epochs=1)
    both = Schedule([Learn(epochs=3), Unlearn(sigma=2.0)])
    algorithm = PNSGD(Problem(n=40, smoothness=1.0, strong_convexity=0.1), 6)
    expected = UnlearningAccountant(algorithm, schedule=both).sigma(epsilon=2.0, epochs=1)
    for phases in (both, both.to_list()):
        assert solve(problem=file, sigma=None, epochs=1, schedule=phases) == expected
    largest = solve(problem=file, epochs=1, group_size=None, batches="worst", delta=1e-3, schedule=both)
    scheduled = UnlearningAccountant(algorithm, schedule=both, batches="worst")
    reached = [scheduled.with_(group_size=s).epsilon(sigma=0.4, delta=1e-3, epochs=1) for s in (largest, largest + 1)]
    assert reached[0] <= 2.0 < reached[1]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({}, "exactly one of sigma, .* must be None, the unknown, got none"),
        ({"sigma": None, "n": None}, "got sigma and n"),
        ({"sigma": None, "steps": None}, "got sigma and steps"),
        ({"sigma": None, "batchsize": 3}, "argument 'batchsize' is unknown: it must be one of sigma, epsilon"),
        ({"steps": None}, "epochs must be left out where steps is the unknown, got 1"),
        ({"sigma": None, "epsilon": -1.0}, "epsilon must be a number from 0"),
        ({"sigma": None, "epsilon": math.nan}, "epsilon must be .* got nan"),
        ({"n": None, "sigma": math.inf}, "sigma must be .* got inf"),
        ({"n": None, "epsilon": math.nan}, "epsilon must be .* got nan"),
        ({"n": None, "delta": 1.0}, "delta must be"),
        ({"n": None, "epsilon": [1.0, 2.0]}, r"epsilon must be a number .* got \[1.0, 2.0\]"),
        ({"n": None, "delta": "default"}, "delta must be given where n is the unknown"),
        ({"n": None, "epsilon": "default"}, "epsilon must be given"),
        ({"n": None, "epochs": 1.5}, "epochs must be a whole number"),
        ({"n": None, "last_batch": "drop"}, "last_batch must be keep where n is the unknown of batches=random"),
        ({"n": None, "group_size": 2}, "batches must be worst where n is the unknown of a group, got random"),
        ({"batch_size": None, "batches": "reshuffle"}, "batches must be worst where batch_size is the unknown, got reshuffle"),
        ({"batch_size": None, "batches": [1, 0]}, "batches must be a word or a position where batch_size is the unknown"),
        ({"batch_size": None, "extreme": "best"}, "extreme must be one of smallest, largest"),
        ({"n": None, "extreme": "largest"}, "extreme must be left out unless batch_size is the unknown"),
        ({"batch_size": None, "n": 10**8, "batches": "worst"}, "n must be at most 10000000 where batch_size is the unknown"),
        ({"learn_epochs": None, "bound": "paper", "radius": 1.0}, "learn_epochs must be given for bound=paper with strong"),
        ({"learn_epochs": None, "schedule": []}, "schedule must be left out where learn_epochs is the unknown"),
        ({"learn_epochs": None, "reference": "converged"}, "needs a radius"),
        ({"group_size": None, "reference": 5, "radius": 1.0, "learn_epochs": 3}, "group_size must be 1, got 2"),
        ({"n": None, "reference": 5, "radius": 1.0, "steps": 1, "epochs": "default"}, "epochs must be given instead of steps"),
        ({"n": None, "steps": 3}, "give either epochs or steps"),
    ],
)
def test_one_sentence_for_what_is_not_a_question(question: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        solve(**BASE | question)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"learn_epochs": None, "sigma": 0.03}, "there is no largest, because every number of epochs"),
        ({"learn_epochs": None, "sigma": 1e-5}, "learning longer never proves more, and learn_epochs=1 proves epsilon="),
        ({"learn_epochs": None, "sigma": 1e-300}, "learn_epochs=1 proves nothing"),
        ({"group_size": None, "sigma": 1e-5, "batches": "worst"}, "a larger group never proves more, and group_size=1 proves"),
        ({"batch_size": None, "sigma": 1e-300}, "none from 1 to 11264 meets it"),
        ({"n": None, "sigma": 1e-300, "batch_size": "full"}, "more points help, but n=2.53 proves nothing"),
        ({"n": None, "sigma": 1e-9, "epochs": "default", "steps": 1, "batches": "worst"}, "none up to .* meets it"),
        ({"delta": None, "sigma": 1e-10, "epsilon": 1e-3}, "only delta = 1 is proved"),
    ],
)
def test_one_sentence_where_there_is_no_answer(question: dict[str, Any], said: str) -> None:
    with pytest.raises(UnreachableError, match=said):
        solve(**BASE | question)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("name", ["sigma", "epsilon", "delta", "smoothness", "lipschitz", "step_size", "radius"])
@pytest.mark.parametrize("unknown", ["learn_epochs", "batch_size", "n", "group_size"])
def test_sizes_at_the_ends_of_the_range(unknown: str, name: str, size: float) -> None:
    question = SMALL | {"sigma": 0.5, "epsilon": 1.0, "epochs": 1, "batches": "worst", name: size, unknown: None}
    found, said = None, ""
    try:
        found = solve(**question)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert said or meets(question | {unknown: found})
