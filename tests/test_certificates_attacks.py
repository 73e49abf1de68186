"""Attacks on the checker: certificates that cheat in one place and are consistent otherwise, and walks in fractions."""

import itertools
import json
import random
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from accountant import PNSGD, Problem, UnlearningAccountant

pytest.importorskip("flint")

from sealing import reason, sealed

from accountant.certificates import certify, check
from accountant.numerics import rounded_text

SMALL = Problem(n=60, smoothness=1.0, strong_convexity=0.1)
CASES: dict[str, tuple[UnlearningAccountant, dict[str, Any]]] = {
    "random": (UnlearningAccountant(PNSGD(SMALL, 20)), {"steps": 3}),
    "finite": (UnlearningAccountant(PNSGD(SMALL, 20, learn_epochs=5)), {"steps": 3}),
    "retrained": (UnlearningAccountant(PNSGD(SMALL, 20, radius=0.05, learn_epochs=7), reference=4), {"steps": 10}),
    "given": (UnlearningAccountant(PNSGD(SMALL, 20)), {"steps": 7, "start_distance": 0.01}),
    "group": (UnlearningAccountant(PNSGD(SMALL, 25), batches="worst", group_size=33), {"steps": 1}),
    "stream": (UnlearningAccountant(PNSGD(SMALL, 25)), {"requests": [(1, 7), (2, 3), (1, 9)]}),
    "dropped": (UnlearningAccountant(PNSGD(SMALL, 25, last_batch="drop")), {"steps": 3}),
}
made = cache(lambda name: json.dumps(certify(CASES[name][0], sigma=0.9, **CASES[name][1])))


def cases(cert: Any) -> list[Any]:
    return [case for entry in cert["witness"] for case in entry["cases"]]


def shifts(factor: Fraction) -> Callable[[Any], object]:
    return lambda cert: [p.__setitem__(2, f"{Fraction(p[2]) * factor}") for case in cases(cert) for p in case["pieces"]]


def window(steps: int, start: str, a: str, **values: Any) -> Callable[[Any], object]:
    new = {"steps": steps, "start": start, "pieces": [[0, steps, a]]}
    return lambda cert: [place.update(value) for place, value in [(cert["inputs"], values), *((c, new) for c in cases(cert))]]


def inputs(**values: Any) -> Callable[[Any], object]:
    return lambda cert: cert["inputs"].update(values)


CHEATS: list[tuple[str, Callable[[Any], object], str]] = [
    *[(name, shifts(1 - Fraction(1, 10**20)), "cover") for name in CASES],
    ("random", lambda cert: cert["witness"][0].update(weight="1/4"), "weight"),
    ("random", lambda cert: cert["witness"][2]["cases"][0].update(pieces=[[0, 3, "0.2"], [4, None, "0.2"]]), "pieces"),
    ("finite", inputs(learn_epochs=6), "steps"),
    ("random", inputs(reference="converged", learn_epochs=9), "steps"),
    ("retrained", inputs(radius="0.0500000001"), "cover"),
    ("retrained", window(4 * 3 + 10 % 3 + 1, "diameter", "0.2"), "steps"),
    ("given", inputs(start_distance="0.0100000001"), "cover"),
    ("given", inputs(reference=4), "steps"),
    ("group", lambda cert: cert["witness"][0]["cases"][0].update(placed=[[1, 8, 25], [2, 25, 25]]), "placed"),
    ("stream", lambda cert: cert["witness"][1].update(count=1), "count"),
    ("stream", lambda cert: cert["witness"][1]["cases"].pop(), "placed"),
    ("stream", window(19, "given", "0.001", start_distance="0"), "steps"),
    ("dropped", lambda cert: cert["witness"].pop(), "3 entries"),
    ("dropped", window(3, "given", "1", start_distance="0.01"), "start apart"),
]


def test_certificates_that_cheat_in_one_place_are_refused() -> None:
    for name, cheat, word in [*((name, shifts(Fraction(1)), "valid") for name in CASES), *CHEATS]:
        cert = json.loads(made(name))
        cheat(cert)
        assert word in (reason(sealed(cert)) or "valid"), (name, word)


def left(place: list[int], v: Any, sizes: list[int], c: Fraction, pieces: list[Any]) -> Fraction:
    """The distance after a walk through all steps, the oldest first; v: the inputs; place: the batches of the points."""
    z, learned, steps = Fraction(0), v["learn_epochs"] * len(sizes), v["requests"][0]["steps"]
    for k in range(learned + steps):
        r, j = learned + steps - 1 - k, k % len(sizes)
        h = Fraction(place.count(j) if k < learned else 0, sizes[j])
        z = max(Fraction(0), c * z + h - sum(Fraction(a) * c ** (r - low) for low, high, a in pieces if low <= r < high))
    return z


def test_what_is_accepted_ends_every_distance_in_a_walk_of_fractions() -> None:
    rng, found = random.Random(5), [0, 0]
    for _ in range(1500):
        size, c, learned, steps, points = (rng.randint(*ends) for ends in ((1, 3), (0, 4), (1, 3), (0, 4), (1, 2)))
        sizes = [size] * rng.randint(points, 3) + [1] * (size > 1 and rng.random() < 0.5)
        places = [[i, j][:points] for i in range(len(sizes)) for j in range(i + 1) if i != j or sizes[i] >= points]
        end = learned * len(sizes) + steps
        edges = sorted({0, *(rng.randint(1, end) for _ in range(3)), end})
        pieces = [[low, high, f"{rng.randint(0, 1)}.{rng.randint(0, 99):02}037"] for low, high in itertools.pairwise(edges)]
        v = json.loads(made("group"))["inputs"] | {
            "n": sum(sizes), "batch_size": size, "strong_convexity": str(Fraction(4 - c, 4)), "lipschitz": "0.5",
            "learn_epochs": learned, "requests": [{"points": points, "steps": steps}]}  # fmt: skip
        terms = check.Terms(v)
        [(_, _, [placed])] = check.expected(terms, [])
        covered = check.covers({"placed": placed, "steps": end, "start": "common", "pieces": pieces}, terms, steps)
        assert covered == all(left(place, v, sizes, Fraction(c, 4), pieces) == 0 for place in places), (v, pieces)
        found[covered] += 1
    assert min(found) > 200


def test_a_key_that_comes_twice_is_refused_where_any_text_is_allowed() -> None:
    text = made("random")
    for old in ('"signature": null', '"software": "' + json.loads(text)["software"] + '"'):
        twice = text.replace(old, old.split(":")[0] + ': {"a": 1, "a": 2}').encode()
        assert old.split('"')[1] in (reason(twice) or "")


def test_printed_facts_are_true_and_small_files_need_little() -> None:
    cert = json.loads(made("stream"))
    facts = dict(fact.split(" is at most ") for fact in check.check(json.dumps(cert).encode()) if fact.startswith("result."))
    for name in ("mu", "delta"):
        assert Fraction(facts[f"result.{name}"]) >= Fraction(cert["result"][name][1])
    cert["result"]["curve"] *= 100
    assert "curve" in (reason(sealed(cert)) or "")
    cert = json.loads(made("random"))
    cert["inputs"] |= {"n": 2**19, "batch_size": 1}
    assert "witness is 524288" in (reason(sealed(cert)) or "")


@pytest.mark.parametrize(("field", "k"), [("mu", None), ("delta", None), ("epsilon", None), ("epsilon", 0), ("epsilon", 9)])
def test_an_end_of_a_result_that_is_wrong_by_little_is_named(field: str, k: int | None) -> None:
    for end, factor in (("low", 1 + Fraction(1, 10**37)), ("high", 1 - Fraction(1, 10**37))):
        cert = json.loads(made("stream"))
        pair = (cert["result"] if k is None else cert["result"]["curve"][k])[field]
        pair[end == "high"] = rounded_text(Fraction(pair[end == "high"]) * factor, 60, up=False)
        found = reason(sealed(cert)) or ""
        assert found.startswith("result." + (field if k is None else f"curve[{k}].{field}"))
        assert f"{end} end" in found
