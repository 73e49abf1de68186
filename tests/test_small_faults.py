"""Small faults that misled, each with its right value."""

import copy
import json
import warnings
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from accountant import (
    PNSGD,
    Guarantee,
    InputError,
    Problem,
    UnlearningAccountant,
    UnlearningStream,
    UnreachableError,
    gdp_delta,
    preset,
)
from accountant.questions import enclose

MNIST = PNSGD(preset("mnist"), 128)


def exact_delta(epsilon: float, mu: float) -> Any:
    with mp.workdps(60):
        e, m = mpf(epsilon), mpf(mu)
        return mp.ncdf(-e / m + m / 2) - mp.exp(e) * mp.ncdf(-e / m - m / 2)


@pytest.mark.parametrize(
    ("n", "size", "m", "lipschitz", "alpha", "last_batch", "truth"),
    [(6, 5, 0.4, 0.7, 2.5, "drop", "0.041079371949"), (4, 2, 1.0, 1.0, 2.0, "keep", "0.28093")],
)
def test_components_that_never_move_keep_their_weight_in_renyi_enclosures(
    n: int, size: int, m: float, lipschitz: float, alpha: float, last_batch: str, truth: str
) -> None:
    pytest.importorskip("flint")
    problem = Problem(n=n, smoothness=1.0, strong_convexity=m, lipschitz=lipschitz)
    accountant = UnlearningAccountant(PNSGD(problem, size, learn_epochs=1, last_batch=last_batch))
    proved = enclose(accountant, "rdp", sigma=1.0, alpha=alpha, steps=0, digits=15)
    assert float(proved.upper) == pytest.approx(float(truth), rel=10.0 ** (2 - len(truth)))
    assert float(proved.lower) <= accountant.rdp(sigma=1.0, alpha=alpha, steps=0) <= float(proved.upper) * (1 + 1e-9)


def test_delta_is_rounded_up_near_one() -> None:
    rng = np.random.default_rng(0)
    assert gdp_delta(epsilon=0.5140573442649313, mu=8.004042075681854) >= exact_delta(0.5140573442649313, 8.004042075681854)
    for _ in range(400):
        mu = float(rng.uniform(3, 14))
        epsilon = float(rng.uniform(0, mu))
        found = gdp_delta(epsilon=epsilon, mu=mu)
        assert mpf(found) >= exact_delta(epsilon, mu)
        assert mpf(found) <= exact_delta(epsilon, mu) * (1 + mpf(10) ** -12)
    pytest.importorskip("flint")
    worst = UnlearningAccountant(MNIST, batches="worst")
    double = worst.delta(sigma=1.35661e-05, epsilon=0.03, epochs=1)
    assert double >= enclose(worst, "delta", sigma=1.35661e-05, epsilon=0.03, epochs=1, digits=20).lower


@pytest.mark.parametrize("batches", ["random", "worst"])
@pytest.mark.parametrize("epsilon", [1e3, 1e10, 1e16, 1e20, 1e30])
@pytest.mark.parametrize("delta", [1e-299, 1e-5, 0.1, 0.5, 1 - 1e-9])
def test_the_noise_for_an_epsilon_beyond_all_use_is_still_the_smallest(batches: str, epsilon: float, delta: float) -> None:
    accountant = UnlearningAccountant(MNIST, batches=batches)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sigma = accountant.sigma(epsilon=epsilon, delta=delta, epochs=1)
        assert 0.999 * epsilon <= accountant.epsilon(sigma=sigma, delta=delta, epochs=1) <= epsilon


def test_many_digits_of_a_noise_on_a_plateau_are_refused_soon() -> None:
    pytest.importorskip("flint")
    # Half of the batches tell everything, half nothing, whatever sigma is near here.
    with pytest.raises(UnreachableError, match="hardly depends on it"):
        enclose(UnlearningAccountant(MNIST), "sigma", epsilon=1e6, delta=0.5, epochs=1, digits=12)


def test_guarantees_about_other_neighbours_do_not_compose() -> None:
    zeros = PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1, adjacency="zero-out"), 10)
    ones = PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1), 10)
    one, other, group = (
        UnlearningAccountant(algorithm, group_size=size).guarantee(sigma=1.0, epochs=1)
        for algorithm, size in ((ones, 1), (zeros, 1), (ones, 3))
    )
    with pytest.raises(InputError, match="the same adjacency"):
        one.compose(other)
    with pytest.raises(InputError, match="the same number of deleted points"):
        one.compose(group)
    with pytest.raises(InputError, match="the same adjacency"):
        one.self_compose(3).compose(one.compose(one)).compose(other)
    stream = UnlearningStream(UnlearningAccountant(ones), sigma=1.0, epsilon=5.0, delta=1e-3)
    stream.request(2)
    with pytest.raises(InputError, match="the same number of deleted points"):
        one.compose(stream.planned().guarantee)
    # What says nothing of its neighbours is the caller's affair.
    assert one.compose(Guarantee("gdp", np.ones(1), np.ones(1))).values[0] > 1


def test_equal_keys_in_saved_texts_are_refused() -> None:
    guarantee = UnlearningAccountant(MNIST).guarantee(sigma=0.001, epochs=1)
    text = guarantee.to_json()
    twice = text[:-1] + ', "values": [0.0], "weights": [1.0]}'
    assert json.loads(twice)["values"] == [0.0]
    with pytest.raises(InputError, match="'weights' stands twice"):
        Guarantee.from_json(twice)
    stream = UnlearningStream(UnlearningAccountant(MNIST), sigma=0.03, epsilon=1.0)
    stream.request()
    saved = stream.to_json()
    inner = saved.replace('"requests": 1', '"requests": 1, "requests": 0')
    with pytest.raises(InputError, match="'requests' stands twice"):
        UnlearningStream.from_json(inner, stream.accountant)


@pytest.mark.parametrize("mask", [[True, False], [False, True]])
def test_masked_entries_are_refused(mask: list[bool]) -> None:
    sigma = np.ma.masked_array([0.01, 0.02], mask=mask)
    accountant = UnlearningAccountant(MNIST)
    with pytest.raises(InputError, match="no masked entries"):
        accountant.epsilon(sigma=sigma, epochs=1)
    with pytest.raises(InputError, match="no masked entries"):
        gdp_delta(epsilon=sigma, mu=1.0)
    unmasked = np.ma.masked_array([0.01, 0.02], mask=[False, False])
    assert np.array_equal(accountant.epsilon(sigma=unmasked, epochs=1), accountant.epsilon(sigma=[0.01, 0.02], epochs=1))


@pytest.mark.parametrize("unit", ["steps", "epochs"])
def test_a_stream_follows_what_it_answers(unit: str) -> None:
    first = UnlearningStream(UnlearningAccountant(MNIST), sigma=0.001, epsilon=1.0, unit=unit)
    answers = [first.request() for _ in range(4)]
    again = first.fresh().follow(answers)
    assert again.needed.tolist() == answers
    assert np.all(again.epsilon <= 1)
    one = UnlearningStream(UnlearningAccountant(MNIST), sigma=0.001, epsilon=1.0, unit="epochs").follow([88])
    assert one.epsilon[0] == pytest.approx(UnlearningAccountant(MNIST).epsilon(sigma=0.001, epochs=1), rel=1e-9)
    with pytest.raises(InputError, match="whole epochs of 88 steps"):
        first.fresh().follow([1, 88]) if unit == "epochs" else UnlearningStream(
            UnlearningAccountant(MNIST), sigma=0.001, epsilon=1.0, unit="epochs"
        ).follow([1])


@pytest.mark.parametrize(
    "spelling",
    [
        "0.00001" + "0" * 900 + "e4",
        "00.1",
        "0.10",
        "1.0",
        "00000001/00000010",
        "2/20",
        "10e-2",
        "0.1e0",
        "+0.1",
        "1E-1",
    ],
)
def test_the_checker_takes_one_spelling_of_a_number(spelling: str) -> None:
    pytest.importorskip("flint")
    from accountant.certificates import certify, check
    from accountant.certificates.certificate import digest

    accountant = UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1), 10))
    certificate = certify(accountant, sigma=1.0, delta=0.1, epochs=1)
    assert certificate["inputs"]["delta"] == "0.1"
    changed = copy.deepcopy(certificate)
    changed["inputs"]["delta"] = spelling
    changed["statement"] = certificate["statement"].replace("0.1)", f"{spelling})")
    changed["digests"] |= {"inputs": digest(changed["inputs"]), "content": ""}
    changed["digests"]["content"] = digest(changed)
    text = json.dumps(changed).encode()
    with pytest.raises(check.Refused, match=r"delta|fraction"):
        list(check.check(text))
