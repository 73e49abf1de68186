"""A guarantee answers like the accountant that made it, cannot be changed, and survives JSON bit for bit."""

import copy
import dataclasses
import json
import math
import pickle

import numpy as np
import pytest

from accountant import PNSGD, Guarantee, InputError, Problem, UnlearningAccountant, gdp_tradeoff, preset

ACCOUNTANTS = {
    "optimal": UnlearningAccountant(PNSGD(preset("mnist"), 512)),
    "dropped": UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1), 30, last_batch="drop")),
    "paper": UnlearningAccountant(PNSGD(preset("mnist"), 512), bound="paper"),
    "paper random": UnlearningAccountant(PNSGD(preset("mnist"), 512), bound="paper", batches="random"),
    "not converged": UnlearningAccountant(PNSGD(preset("mnist"), 512, learn_epochs=50, radius=5.0), bound="paper"),
}
named = pytest.mark.parametrize("name", ACCOUNTANTS)


@named
def test_answers_as_the_accountant_does(name: str) -> None:
    accountant = ACCOUNTANTS[name]
    guarantee = accountant.guarantee(sigma=0.02, epochs=2)
    deltas, epsilons, orders = np.geomspace(1e-12, 0.1, 7), np.geomspace(0.01, 30, 7), np.array([1.5, 4.0, 100.0])
    assert np.array_equal(guarantee.epsilon(deltas), accountant.epsilon(sigma=0.02, delta=deltas, epochs=2))
    assert np.array_equal(guarantee.delta(epsilons), accountant.delta(sigma=0.02, epsilon=epsilons, epochs=2))
    assert np.array_equal(guarantee.rdp(orders), accountant.rdp(alpha=orders, sigma=0.02, epochs=2))
    assert isinstance(guarantee.epsilon(1e-5), float)


@named
def test_json_round_trips_exactly(name: str) -> None:
    guarantee = ACCOUNTANTS[name].guarantee(sigma=0.02, steps=7)
    text = guarantee.to_json()
    again = Guarantee.from_json(text)
    assert again == guarantee
    assert hash(again) == hash(guarantee)
    assert again.to_json() == text
    assert again.epsilon(1e-7) == guarantee.epsilon(1e-7)
    assert again != ACCOUNTANTS[name].guarantee(sigma=0.02, steps=8)


@named
def test_tradeoff_is_a_valid_convex_lower_bound(name: str) -> None:
    guarantee = ACCOUNTANTS[name].guarantee(sigma=0.02, epochs=1)
    x = np.linspace(0, 1, 201)
    f = guarantee.tradeoff(x)
    assert np.all(f <= 1 - x + 1e-15)
    assert np.all(np.diff(f) <= 1e-15)
    assert np.all(f[1:-1] <= (f[:-2] + f[2:]) / 2 + 1e-9)
    # (epsilon, delta) gives two supporting lines, of slopes -e^epsilon and -e^-epsilon: f must not be under them by more than
    # the grid of epsilons costs.
    for epsilon in (0.01, 0.3, 2.0):
        delta = guarantee.delta(epsilon)
        assert np.all(1 - delta - math.exp(epsilon) * x <= f + 1e-4)
        assert np.all(math.exp(-epsilon) * (1 - delta - x) <= f + 1e-4)


def test_tradeoff_of_one_component_is_the_gaussian_one() -> None:
    single = UnlearningAccountant(PNSGD(preset("mnist"), 512), batches="worst").guarantee(sigma=0.002, epochs=1)
    assert single.mu_worst is not None
    x = np.array([0.0, 1e-6, 0.1, 0.5, 0.9, 1.0])
    assert single.tradeoff(x) == pytest.approx(gdp_tradeoff(type_i=x, mu=single.mu_worst), abs=1e-9)


def test_it_carries_its_reasons() -> None:
    guarantee = ACCOUNTANTS["optimal"].guarantee(sigma=0.02, epochs=2)
    assert guarantee.context["bound"] == "optimal"
    assert guarantee.context["problem"]["n"] == 11_264
    assert guarantee.context["steps"] == 44
    assert any("strongly convex" in line for line in guarantee.assumptions)
    assert any("averaged over the random batch order" in line for line in guarantee.assumptions)
    assert "44 unlearning steps" in guarantee.statement


def test_it_cannot_be_changed() -> None:
    guarantee = ACCOUNTANTS["optimal"].guarantee(sigma=0.02, epochs=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        guarantee.kind = "linear"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        guarantee.values[0] = 0.0
    with pytest.raises(TypeError):
        guarantee.context["sigma"] = 1.0  # type: ignore[index]
    with pytest.raises(TypeError):
        guarantee.context["problem"]["n"] = 5
    assert pickle.loads(pickle.dumps(guarantee)) == copy.deepcopy(guarantee) == guarantee


def test_arrays_given_to_it_stay_the_callers() -> None:
    mu = np.array([1.0, 2.0])
    guarantee = Guarantee(kind="gdp", weights=np.array([0.5, 0.5]), values=mu)
    mu[0] = 9.0
    assert guarantee.values[0] == 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "laplace"}, "kind must be one of"),
        ({"weights": [0.7, 0.7]}, "weights must sum to 1"),
        ({"weights": [1.0]}, "weights must have shape"),
        ({"values": [-1.0, 1.0]}, "values must be"),
        ({"values": [math.nan, 1.0]}, "values must be"),
        ({"conversion": "basic"}, "conversion must be one of exact"),
        ({"context": {"sigma": math.nan}}, "context must be"),
        ({"context": [1]}, "context must be"),
        ({"assumptions": 5}, "statement must be text"),
        ({"statement": 3}, "statement must be text"),
    ],
)
def test_bad_contents_are_refused(change: dict[str, object], words: str) -> None:
    good: dict[str, object] = {"kind": "gdp", "weights": [0.5, 0.5], "values": [1.0, 2.0]}
    with pytest.raises(InputError, match=words):
        Guarantee(**(good | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "must be JSON"),
        (None, "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        ("[]", "exactly the keys"),
        ("{}", "exactly the keys"),
        ("NaN", "exactly the keys"),
    ],
)
def test_bad_json_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Guarantee.from_json(text)


def test_another_format_is_refused() -> None:
    data = json.loads(ACCOUNTANTS["paper"].guarantee(sigma=0.02, epochs=2).to_json())
    for version in (2, True, "1"):
        with pytest.raises(InputError, match="format must be 1"):
            Guarantee.from_json(json.dumps(data | {"format": version}))
