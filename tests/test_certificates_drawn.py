"""Certificates of secret draws: accepted, as small as the accountant says, true by quadrature, and no cheat is accepted."""

import copy
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import comb
from pathlib import Path
from typing import Any

import mpmath
import pytest

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, preset

pytest.importorskip("flint")

from sealing import digested, reason

from accountant.certificates import ClaimError, canonical, certify, check, digest, drawn_texts, json_schema, texts
from accountant.numerics import exact_text, rounded_text

EXAMPLES = Path(__file__).parent / "certificates"
SMALL = Problem(n=60, smoothness=1.0, strong_convexity=0.1, adjacency="remove")
SWAP = replace(SMALL, adjacency="replace")
CONVEX = replace(SMALL, strong_convexity=0.0)


def accountant(problem: Problem, batch_size: int = 20, **settings: Any) -> UnlearningAccountant:
    words = {name: settings.pop(name) for name in ("batches", "reference", "group_size") if name in settings}
    settings.setdefault("step_size", 0.8)
    return UnlearningAccountant(PNSGD(problem, batch_size, assignment="secret", **settings), **words)


CASES: dict[str, tuple[UnlearningAccountant, dict[str, Any]]] = {
    "random": (accountant(SMALL), {"steps": 3}),
    "never redrawn": (accountant(SMALL, redraw=False, largest_n=70), {"steps": 3}),
    "redrawn": (accountant(SMALL, redraw=True), {"steps": 3}),
    "replace": (accountant(SWAP), {"steps": 3}),
    "replace, J does not divide n": (accountant(SWAP, 25, learn_epochs=2, step_size=0.5), {"steps": 2}),
    "worst": (accountant(SMALL, batches="worst"), {"steps": 0}),
    "replace, worst": (accountant(SWAP, batches="worst"), {"steps": 1}),
    "position": (accountant(SMALL, batches=1), {"steps": 4}),
    "replace, position": (accountant(SWAP, batches=1), {"steps": 4}),
    "finite": (accountant(SMALL, learn_epochs=5, redraw=False), {"steps": 3}),
    "convex": (accountant(CONVEX, 15, learn_epochs=4), {"steps": 2}),
    "radius": (accountant(SMALL, radius=0.05), {"steps": 2}),
    "retrained": (accountant(SMALL, radius=0.05, learn_epochs=7, reference=4), {"steps": 10}),
    "given": (accountant(SMALL), {"steps": 7, "start_distance": 0.01}),
    "group": (accountant(SMALL, batches="worst", group_size=3), {"steps": 2}),
    "any batch": (accountant(replace(SMALL, smoothness=1.0, strong_convexity=1.0), 15), {"steps": 3}),
    "contracts to a point": (accountant(replace(SMALL, strong_convexity=1.0), 15, step_size=1.0), {"steps": 0}),
    "one batch": (accountant(SMALL, 60), {"steps": 3}),
    "replace, one batch": (accountant(SWAP, 60), {"steps": 3}),
    "redrawn for nothing": (accountant(SMALL, 58, redraw=True), {"steps": 3}),
    "redrawn where any batch will do": (accountant(replace(SMALL, strong_convexity=1.0), 15, redraw=True), {"steps": 3}),
    "nobody joins": (accountant(replace(SMALL, n=32), 28, largest_n=80), {"steps": 1}),
    "stream": (accountant(SMALL), {"requests": [(1, 7), (2, 3), (1, 9)]}),
    "replace, stream": (accountant(SWAP), {"requests": [(1, 7), (1, 9)]}),
}


@cache
def written(name: str) -> str:
    who, question = CASES[name]
    return json.dumps(certify(who, sigma=0.9, delta=1e-3, **question))


def sealed(cert: Any) -> Any:
    """With the statement and the digests that belong to what was changed, as far as there are any."""
    with suppress(KeyError, TypeError, ValueError, ArithmeticError):
        cert["statement"] = texts.statement(cert["inputs"], -(-cert["inputs"]["n"] // cert["inputs"]["batch_size"]))
    return digested(cert)


@pytest.mark.parametrize("name", CASES)
def test_certificates_are_accepted_and_prove_what_the_accountant_says(name: str) -> None:
    cert = json.loads(written(name))
    assert reason(cert) is None
    assert cert["version"] == 3
    who, question = CASES[name]
    if "requests" in question:
        return
    in_doubles = who.epsilon(sigma=0.9, delta=1e-3, **question)
    low, high = (float(end) for end in cert["result"]["epsilon"])
    assert low <= in_doubles
    assert high == pytest.approx(in_doubles, rel=1e-9, abs=1e-300)


def test_a_key_redrawn_where_any_batch_will_do_is_refused_and_no_fault() -> None:
    cert = json.loads(written("redrawn where any batch will do"))
    assert cert["inputs"]["redraw"] is False
    cert["inputs"] |= {"redraw": True, "largest_n": cert["inputs"]["n"]}
    said = texts.statement(cert["inputs"], 4)
    assert said.endswith("where the key was redrawn whatever came out and no record joined later.")
    assert "inputs.redraw" in str(reason(sealed(cert)))


def binomial_tail(n: int, batches: int, least: int) -> mpmath.mpf:
    total = sum(comb(n, k) * (batches - 1) ** (n - k) for k in range(least, n + 1))
    return mpmath.mpf(total) / mpmath.mpf(batches) ** n


def truth(cert: Any, epsilon: mpmath.mpf) -> mpmath.mpf:
    """delta at an epsilon from the components' mu alone: quadrature of the positive part, and sums of binomials in full."""
    v = cert["inputs"]
    mus = [
        entry["count"] * max([mpmath.mpf(case["mu"][1]) for case in entry["cases"]] or [mpmath.mpf(0)])
        for entry in cert["witness"]
    ]
    old = len(v["requests"]) - 1
    older, newest = sum(mus[:old]), mus[old:]
    spread = v["placement"] == "random"
    inner = [older + mu for mu in (newest if spread else newest[:1])]
    outer = [mpmath.mpf(0)]
    if v["adjacency"] == "replace":
        outer = [older + mu for mu in (newest if spread else newest[1:])]
    b, batches = v["batch_size"], -(-v["n"] // v["batch_size"])
    smooth, m, eta = (Fraction(v[name]) for name in ("smoothness", "strong_convexity", "step_size"))
    p = mpmath.mpf(0)
    if smooth > m:
        limit = int(b * (2 / eta - 2 * m) / (smooth - m))
        others = v["largest_n"] - (v["adjacency"] == "remove")
        p = batches * binomial_tail(others, batches, limit + 1)
        if v["redraw"]:
            once = mpmath.mpf(comb(others, limit) * (batches - 1) ** (others - limit)) / mpmath.mpf(batches) ** others
            p = sum(request["points"] for request in v["requests"]) * once / (1 - p)
    inside = epsilon + mpmath.log(1 - p) if v["redraw"] else epsilon
    if inside < 0:
        return mpmath.mpf(1)
    g = mpmath.exp(inside)

    def density(x: mpmath.mpf, at: mpmath.mpf) -> mpmath.mpf:
        return mpmath.npdf(x, at, 1)

    ways = []
    for way in (1, -1):
        total = mpmath.mpf(0)
        for s in outer:

            def positive(x: mpmath.mpf, s: mpmath.mpf = s, way: int = way) -> mpmath.mpf:
                mixed, single = sum(density(x, mu) for mu in inner) / len(inner), density(x, -s)
                return mixed - g * single if way == 1 else single - g * mixed

            edges = [k * mpmath.mpf(1) / 2 for k in range(-40, 41)]
            signs = [positive(x) > 0 for x in edges]
            for left, right, one, two in zip(edges, edges[1:], signs, signs[1:], strict=False):
                ends = [left, right]
                if one != two:
                    root = mpmath.findroot(positive, (left, right), solver="anderson", tol=1e-60)
                    ends = [left, root] if one else [root, right]
                if one or two:
                    total += mpmath.quad(positive, ends)
        ways.append(total / len(outer))
    return (max(ways) + mpmath.exp(inside) * p) / (1 - p) if v["redraw"] else max(ways) + p


@pytest.mark.parametrize("name", ["random", "never redrawn", "redrawn", "replace", "group"])
def test_epsilon_is_true_by_quadrature(name: str) -> None:
    cert = json.loads(written(name))
    with mpmath.workdps(40):
        for pair, delta in [(cert["result"]["epsilon"], "1e-3"), (cert["result"]["curve"][-1]["epsilon"], "0.1")]:
            if pair[1] == "0":
                continue
            low, high = (mpmath.mpf(end) for end in pair)
            target = mpmath.mpf(delta)
            assert truth(cert, high * (1 + mpmath.mpf("1e-15"))) < target < truth(cert, low * (1 - mpmath.mpf("1e-15")))
        low, high = (mpmath.mpf(end) for end in cert["result"]["delta"])
        at = truth(
            cert, mpmath.mpf(Fraction(cert["inputs"]["epsilon"]).numerator) / Fraction(cert["inputs"]["epsilon"]).denominator
        )
        assert low * (1 - mpmath.mpf("1e-15")) < at < high * (1 + mpmath.mpf("1e-15"))


# --- Cheats: what is changed, and the certificate is consistent otherwise.
Cheat = Callable[[Any], object]


def less(text: str, relative: Fraction) -> str:
    return rounded_text(Fraction(text) * (1 - relative), 50, up=False)


def claim(relative: Fraction) -> Cheat:
    def cheat(cert: Any) -> None:
        smallest = less(cert["result"]["epsilon"][1], relative)
        cert["inputs"]["epsilon"] = smallest
        cert["result"]["epsilon"] = [less(end, relative) for end in cert["result"]["epsilon"]]

    return cheat


def delta_claim(relative: Fraction) -> Cheat:
    return lambda cert: cert["inputs"].update(
        delta=less(exact_text(Fraction("0.001")), relative), epsilon=cert["result"]["epsilon"][1]
    )


def every_case(change: Cheat) -> Cheat:
    return lambda cert: [change(case) for entry in cert["witness"] for case in entry["cases"]]


def shorter(relative: Fraction) -> Cheat:
    return every_case(lambda case: [piece.__setitem__(2, less(piece[2], relative)) for piece in case["pieces"]])


def smaller_mu(case: Any) -> None:
    case["mu"] = [less(end, Fraction(1, 10**20)) for end in case["mu"]]


def inputs(**values: Any) -> Cheat:
    return lambda cert: cert["inputs"].update(values)


def result(name: str, change: Callable[[list[str]], list[str]]) -> Cheat:
    return lambda cert: cert["result"].update({name: change(cert["result"][name])})


def signs(change: Callable[[list[Any]], object]) -> Cheat:
    return lambda cert: [change(row) for name in ("delta_signs", "epsilon_signs") for row in cert["result"][name]]


def rows(change: Callable[[list[Any]], object]) -> Cheat:
    return lambda cert: change(cert["result"]["epsilon_signs"])


def swapped(i: int, j: int) -> Cheat:
    def change(row: list[Any]) -> None:
        row[i], row[j] = row[j], row[i]

    return signs(change)


def moved(i: int, by: str) -> Cheat:
    """One place to the wrong side of the root, by a little more than its distance from it."""
    return signs(
        lambda row: row.__setitem__(i, rounded_text(Fraction(row[i]) + abs(Fraction(row[i])) * Fraction(by), 60, up=False))
    )


def shuffle_cases(cert: Any) -> None:
    """The shifts of the batch that moves least, in every batch."""
    least = min((entry for entry in cert["witness"]), key=lambda entry: Fraction(entry["cases"][0]["mu"][1]))
    for entry in cert["witness"]:
        placed = entry["cases"][0]["placed"]
        entry["cases"] = copy.deepcopy(least["cases"])
        entry["cases"][0]["placed"] = placed


def window(start: str, steps: int, **values: Any) -> Cheat:
    def cheat(cert: Any) -> None:
        cert["inputs"] |= values
        for entry in cert["witness"]:
            for case in entry["cases"]:
                case |= {"start": start, "steps": steps, "pieces": [[0, steps, "0.2"]]}

    return cheat


#: name, cheat, and the certificates that it makes false (None: all).
CHEATS: list[tuple[str, Cheat, tuple[str, ...] | None]] = [
    ("epsilon less by 1e-12", claim(Fraction(1, 10**12)), None),
    ("epsilon less by 1e-25", claim(Fraction(1, 10**25)), None),
    ("epsilon half", claim(Fraction(1, 2)), None),
    ("delta less by 1e-12", delta_claim(Fraction(1, 10**12)), None),
    (
        "claim below what is proved",
        lambda cert: cert["inputs"].update(epsilon=less(cert["inputs"]["epsilon"], Fraction(1, 10**9))),
        None,
    ),
    ("shifts less by 1e-15", shorter(Fraction(1, 10**15)), None),
    ("shifts half", shorter(Fraction(1, 2)), None),
    ("mu of cases less", every_case(smaller_mu), None),
    ("mu of cases nothing", every_case(lambda case: case.update(mu=["0", "0"])), None),
    ("mu of the result less", result("mu", lambda pair: [less(end, Fraction(1, 10**20)) for end in pair]), None),
    ("paid nothing", result("paid", lambda pair: ["0", "0"]), None),
    ("paid less", result("paid", lambda pair: [less(end, Fraction(1, 10**20)) for end in pair]), None),
    ("paid more", result("paid", lambda pair: [less(end, Fraction(-1, 10**20)) for end in pair]), None),
    ("delta at the claim less", result("delta", lambda pair: [less(end, Fraction(1, 10**15)) for end in pair]), None),
    ("lipschitz more", inputs(lipschitz="1.0000001"), None),
    ("sigma more", inputs(sigma="0.9000001"), None),
    ("no noise", inputs(sigma="0"), None),
    ("contracts more", inputs(strong_convexity="0.2"), None),
    ("smoothness less, larger batches allowed", inputs(smoothness="0.9"), None),
    ("smoothness more", inputs(smoothness="1.4"), None),
    ("step size less", inputs(step_size="0.79"), None),
    ("step size too large", inputs(step_size="2.1"), None),
    (
        "fewer steps",
        lambda cert: cert["inputs"]["requests"][-1].update(steps=max(cert["inputs"]["requests"][-1]["steps"] - 1, 0)),
        None,
    ),
    ("smaller batches", lambda cert: cert["inputs"].update(batch_size=cert["inputs"]["batch_size"] - 1), None),
    ("larger batches", lambda cert: cert["inputs"].update(batch_size=cert["inputs"]["batch_size"] + 1), None),
    ("n less than one epoch", inputs(n=19), None),
    (
        "another n, a batch more",
        lambda cert: cert["inputs"].update(n=cert["inputs"]["n"] + cert["inputs"]["batch_size"], largest_n=999),
        None,
    ),
    ("largest_n below n", lambda cert: cert["inputs"].update(largest_n=cert["inputs"]["n"] - 1), None),
    ("largest_n one more", lambda cert: cert["inputs"].update(largest_n=cert["inputs"]["largest_n"] + 1), None),
    ("largest_n huge", inputs(largest_n=10**14), None),
    ("the other way", lambda cert: cert["inputs"].update(redraw=not cert["inputs"]["redraw"]), None),
    (
        "the other way, of all",
        lambda cert: cert["inputs"].update(redraw=not cert["inputs"]["redraw"], largest_n=cert["inputs"]["n"]),
        None,
    ),
    (
        "the other adjacency",
        lambda cert: cert["inputs"].update(adjacency="remove" if cert["inputs"]["adjacency"] == "replace" else "replace"),
        None,
    ),
    ("zero-out", inputs(adjacency="zero-out"), None),
    ("fresh draws", inputs(assignment="fresh"), None),
    ("Poisson sampling", inputs(assignment="poisson"), None),
    ("partition", inputs(assignment="partition"), None),
    ("no assignment", lambda cert: cert["inputs"].pop("assignment"), None),
    ("version 2", lambda cert: cert.update(version=2), None),
    ("version 1", lambda cert: cert.update(version=1), None),
    ("version 3.0", lambda cert: cert.update(version=3.0), None),
    ("version true", lambda cert: cert.update(version=True), None),
    ("version of text", lambda cert: cert.update(version="3"), None),
    (
        "texts of version 2",
        lambda cert: cert.update(theorems=texts.THEOREMS, assumptions=texts.ASSUMPTIONS, limits=texts.LIMITS),
        None,
    ),
    ("an assumption less", lambda cert: cert["assumptions"].pop(), None),
    ("weight less", lambda cert: cert["witness"][-1].update(weight="1/7"), None),
    ("count twice", lambda cert: cert["witness"][0].update(count=cert["witness"][0]["count"] + 1), None),
    ("an entry less", lambda cert: cert["witness"].pop(), None),
    ("an entry twice", lambda cert: cert["witness"].append(cert["witness"][-1]), None),
    ("an entry without cases", lambda cert: cert["witness"][-1].update(cases=[]), None),
    (
        "entries in the other order",
        lambda cert: cert["witness"].reverse(),
        ("random", "redrawn", "replace", "stream", "radius"),
    ),
    ("the easiest shifts for all", shuffle_cases, ("random", "redrawn", "replace", "never redrawn", "finite", "stream")),
    ("placed in a smaller visit", every_case(lambda case: case["placed"][0].__setitem__(2, case["placed"][0][2] + 1)), None),
    ("placed earlier", every_case(lambda case: case["placed"][0].__setitem__(0, case["placed"][0][0] + 1)), None),
    (
        "placement the easiest batch",
        inputs(placement=[[0, 1]]),
        ("random", "redrawn", "replace", "worst", "radius", "position", "stream"),
    ),
    ("placement beyond", inputs(placement=[[99, 1]]), None),
    ("placement of two", inputs(placement=[[1, 2]]), None),
    ("placement in two batches", inputs(placement=[[0, 1], [1, 1]]), None),
    ("placement random", inputs(placement="random"), ("worst", "replace, worst", "position", "replace, position", "group")),
    ("another request", lambda cert: cert["inputs"]["requests"].append({"points": 1, "steps": 3}), None),
    ("an earlier request", lambda cert: cert["inputs"]["requests"].insert(0, {"points": 1, "steps": 50}), None),
    (
        "two records",
        lambda cert: cert["inputs"]["requests"][-1].update(points=cert["inputs"]["requests"][-1]["points"] + 1),
        None,
    ),
    (
        "another reference",
        inputs(reference="converged", learn_epochs=9),
        ("random", "replace", "redrawn", "finite", "stream", "group"),
    ),
    ("retraining for 1 epoch", inputs(reference=1), None),
    ("a start at nothing", window("given", 3, start_distance="0"), None),
    ("a start in a ball of nothing", window("diameter", 3, radius="1e-30"), None),
    ("a window of no steps", window("common", 0), None),
    ("x1 and x2 swapped", swapped(1, 2), None),
    ("y1 and y2 swapped", swapped(3, 4), None),
    ("x and y swapped", lambda cert: [swapped(1, 3)(cert), swapped(2, 4)(cert)], None),
    ("x1 too large", moved(1, "1e-30"), None),
    ("x2 too small", moved(2, "-1e-30"), None),
    ("x2 much too small", moved(2, "-0.5"), None),
    ("y1 too large", moved(3, "1e-30"), None),
    ("y2 too small", moved(4, "-1e-30"), None),
    ("x1 far to the right", signs(lambda row: row.__setitem__(1, "100000")), None),
    ("y2 far to the left", signs(lambda row: row.__setitem__(4, "-100000")), None),
    ("x2 nowhere", signs(lambda row: row.__setitem__(2, None)), None),
    ("x1 nowhere", signs(lambda row: row.__setitem__(1, None)), None),
    ("no signs", rows(lambda some: some.clear()), None),
    ("no last class", rows(lambda some: some[-1].__setitem__(0, some[-1][0] + 1)), None),
    ("a class twice", rows(lambda some: some.append(some[-1])), None),
    ("a class of nothing first", rows(lambda some: some.insert(0, [0, *some[0][1:]])), None),
    ("classes in the other order", rows(lambda some: some.reverse()), ("replace", "replace, stream")),
    ("the last class for all", rows(lambda some: some.__delitem__(slice(0, -1))), ("replace", "replace, stream")),
    (
        "curve less",
        lambda cert: cert["result"]["curve"][0].update(
            epsilon=[less(end, Fraction(1, 10**15)) for end in cert["result"]["curve"][0]["epsilon"]]
        ),
        None,
    ),
    ("too many curves", lambda cert: cert["result"].update(curve=cert["result"]["curve"][:1] * 101), None),
]
BASES = (
    "random",
    "never redrawn",
    "redrawn",
    "replace",
    "worst",
    "replace, position",
    "finite",
    "radius",
    "stream",
    "replace, stream",
    "group",
)


def cheats() -> list[tuple[str, str, Cheat]]:
    return [
        (name, word, cheat) for word, cheat, names in CHEATS for name in (BASES if names is None else names)
    ]  # fmt: skip


def harmless(name: str, word: str, cert: Any) -> bool:
    """What changes nothing there, or nothing that is false."""
    original = json.loads(written(name))
    return original["inputs"] == cert["inputs"] and all(
        cert[key] == original[key] for key in ("witness", "result", "version", "theorems", "assumptions")
    )


def test_no_cheat_is_accepted() -> None:
    count = 0
    for name, word, cheat in cheats():
        cert = json.loads(written(name))
        cheat(cert)
        if harmless(name, word, cert):
            continue
        assert reason(sealed(cert)) is not None, (name, word)
        count += 1
    assert count > 700


REFUSED_INPUTS: list[tuple[str, dict[str, Any], str]] = [
    ("random", {"smoothness": "1", "strong_convexity": "1", "step_size": "1.5"}, "1/strong_convexity"),
    ("replace", {"redraw": True, "largest_n": 60}, "stand-in"),
    ("redrawn", {"smoothness": "1", "strong_convexity": "1"}, "any will do"),
    ("redrawn", {"largest_n": 61}, "no record joins"),
    ("random", {"largest_n": 59, "redraw": False}, "at least 60"),
    ("replace, stream", {"largest_n": 60}, "at least 61"),
    ("group", {"requests": [{"points": 61, "steps": 1}]}, "of at most n = 60"),
]


@pytest.mark.parametrize(("name", "values", "word"), REFUSED_INPUTS)
def test_inputs_that_no_proof_is_about_are_refused(name: str, values: dict[str, Any], word: str) -> None:
    with pytest.raises(check.Refused, match=word):
        check.Terms(json.loads(written(name))["inputs"] | values)


@pytest.mark.parametrize("name", ["replace", "replace, worst", "group", "stream", "replace, stream"])
def test_several_records_and_stand_ins_have_no_restarts_and_no_given_distances(name: str) -> None:
    v = json.loads(written(name))["inputs"] | {"radius": "1", "learn_epochs": 5}
    terms = check.Terms(v)
    all_steps = 5 * 3 + terms.age[0]
    assert terms.fits(None, "common")
    assert terms.fits(all_steps, "common") == (len(v["requests"]) == 1)
    assert not terms.fits(all_steps - 1, "common")
    assert not any(terms.fits(steps, "diameter") for steps in range(1, all_steps + 1))
    assert not check.Terms(v | {"reference": "converged"}).fits(None, "common")
    assert not check.Terms(v | {"reference": 2}).fits(None, "common")
    given = check.Terms(v | {"start_distance": "0"})
    assert not any(
        given.fits(steps, start) for steps in (*range(all_steps + 1), None) for start in ("given", "common", "diameter")
    )
    convex = check.Terms(v | {"strong_convexity": "0"})
    assert not convex.fits(None, "common")


@pytest.mark.parametrize(("placement", "points"), [([[4, 1]], 1), ([[1, 1]], 2), ([[1, 2]], 2), ([[1, 1], [2, 1]], 2)])
def test_a_placement_that_is_none_is_refused(placement: Any, points: int) -> None:
    cert = json.loads(written("position"))
    cert["inputs"].update(placement=placement, requests=[{"points": points, "steps": 4}])
    assert "inputs.placement" in (reason(sealed(cert)) or "")


def test_classes_of_stand_ins_must_be_all_of_them_in_order_and_count_as_the_largest() -> None:
    from flint import ctx

    cert = json.loads(written("replace"))
    _, delta = check.law_of_draws(cert["witness"], check.Terms(cert["inputs"]))
    rows = cert["result"]["epsilon_signs"]
    with ctx.workprec(256):
        epsilon = check.ball(cert["result"]["epsilon"][1])
        exact = delta(epsilon, rows, True)
        for wrong in (
            [],
            rows[:-1],
            [*rows, rows[-1]],
            [rows[1], rows[0], rows[2]],
            [*rows, [4, *rows[-1][1:]]],
        ):
            with pytest.raises(check.Refused, match="ends of classes"):
                delta(epsilon, wrong, True)
        # The stand-in's batches are sorted by mu here, the largest last; its signs are those of the class.
        pooled = delta(epsilon, [rows[0], [3, *rows[2][1:]]], True)
        assert exact < pooled
        with pytest.raises(check.Refused, match="around the places"):
            delta(epsilon, [rows[0], [3, *rows[1][1:]]], True)


def test_redrawing_is_refused_where_too_large_batches_are_the_rule() -> None:
    v = json.loads(written("redrawn"))["inputs"] | {"batch_size": 2, "step_size": "1.2"}
    terms = check.Terms(v)
    assert terms.limit == 3
    with pytest.raises(check.Refused, match="the rule"):
        check.paid(terms)


def test_signs_of_too_many_components_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MOST_TERMS", 30)
    assert "pairs of components" in (reason(json.loads(written("random"))) or "")


def test_the_file_that_is_not_changed_is_accepted_when_sealed_again() -> None:
    for name in BASES:
        assert reason(sealed(json.loads(written(name)))) is None, name


def test_a_claim_a_little_too_small_is_not_made() -> None:
    for name in ("redrawn", "replace"):
        who, question = CASES[name]
        smallest = float(json.loads(written(name))["result"]["epsilon"][0])
        with pytest.raises(ClaimError, match="is not proved"):
            certify(who, sigma=0.9, delta=1e-3, epsilon=smallest * (1 - 1e-12), **question)


def test_a_larger_claim_than_the_smallest_is_made_whatever_redrawing_costs_there() -> None:
    for epsilon in (1.0, 50.0, 1000.0):
        cert = certify(CASES["redrawn"][0], sigma=0.9, delta=1e-3, epsilon=epsilon, steps=3)
        assert reason(cert) is None
        assert cert["inputs"]["epsilon"] == f"{epsilon:g}"


def test_the_certificate_says_whether_the_key_was_redrawn() -> None:
    for name, redraw, most in (("redrawn", True, 60), ("never redrawn", False, 70), ("replace", False, 66)):
        cert = json.loads(written(name))
        assert (cert["inputs"]["redraw"], cert["inputs"]["largest_n"]) == (redraw, most)
        assert ("redrawn until no batch had more than" in cert["statement"]) == redraw
    assert json.loads(written("random"))["inputs"]["redraw"]  # what costs less, where nothing is said


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", ["redrawn", "never redrawn", "replace", "contracts to a point", "stream"])
def test_mu_over_many_orders_of_magnitude(name: str, scale: float) -> None:
    who, question = CASES[name]
    reasons: list[str] = []
    for delta in (0.3, 2e-4):
        try:
            cert = certify(who, sigma=0.9 / scale, delta=delta, **question)
        except InputError as error:
            reasons.append(str(error))
            continue
        assert reason(cert) is None
    assert all("more noise" in text or "too large" in text for text in reasons)


@pytest.mark.parametrize(
    ("who", "question", "message"),
    [
        (
            UnlearningAccountant(PNSGD(SMALL, 20, assignment="fresh", learn_epochs=2, largest_n=60)),
            {"steps": 1},
            "too many outcomes",
        ),
        (
            UnlearningAccountant(PNSGD(SMALL, 20, assignment="poisson", learn_epochs=2, largest_n=60)),
            {"steps": 1},
            "too many outcomes",
        ),
        (accountant(SMALL, group_size=2), {"steps": 1}, "on a grid"),
        (accountant(SMALL), {"requests": [(1, 3), (2, 3)]}, "on a grid"),
        (accountant(SMALL), {"requests": [(1, 3)], "start_distance": 0.1}, "start_distance"),
        (accountant(SWAP), {"steps": 3, "start_distance": 0.1}, "start_distance"),
        (accountant(SWAP, largest_n=60), {"requests": [(1, 3), (1, 3)]}, "largest_n must be at least 61"),
        (accountant(CONVEX, 15, learn_epochs=3), {"requests": [(1, 3), (1, 3)]}, "strong_convexity"),
        (accountant(SMALL, step_size=1.6), {"steps": 3}, "too large"),
    ],
)
def test_what_has_no_certificate_is_refused_with_the_reason(who: Any, question: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        certify(who, sigma=0.9, delta=1e-3, **question)


def fuzz(seed: int, count: int, name: str) -> None:
    """Changed files end in Refused, or say the same as before."""
    original, rng = written(name).encode(), random.Random(seed)
    before = json.loads(original)
    for _ in range(count):
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            at, kind = rng.randrange(len(data)), rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at : at + rng.randint(1, 60)]
            elif kind == 2:
                data[at:at] = original[at : at + rng.randint(1, 60)]
            else:
                data[at:at] = rng.choice([b"null", b"[]", b"1e999999999", b"-1", b"{", b"9" * 40, b"NaN"])
        if reason(bytes(data)) is None:
            assert json.loads(data) == before


def fuzz_numbers(seed: int, count: int, name: str) -> None:
    """The same of single leaves of a file that is sealed again: what is accepted claims no less than what is proved."""
    rng, text = random.Random(seed), written(name)
    proved = Fraction(json.loads(text)["result"]["epsilon"][0])
    for _ in range(count):
        cert = json.loads(text)
        for _ in range(rng.randint(1, 2)):
            place: Any = cert[rng.choice(["inputs", "witness", "result"])]
            while True:
                key = rng.choice(list(place) if isinstance(place, dict) else range(len(place))) if place else None
                if key is None or not isinstance(place[key], (dict, list)):
                    break
                place = place[key]
            if key is None:
                continue
            old = place[key]
            if isinstance(old, str) and old[:1].isdigit():
                digit = rng.choice([at for at, letter in enumerate(old) if letter.isdigit()])
                place[key] = old[:digit] + str(rng.randrange(10)) + old[digit + 1 :]
            elif type(old) is int:
                place[key] = max(0, old + rng.choice([-1, 1, 7]))
            else:
                place[key] = rng.choice([None, True, "0", "1", 1])
        if reason(sealed(cert)) is not None:
            continue
        # Only what makes the claim weaker may have changed.
        assert Fraction(cert["inputs"]["epsilon"]) >= proved
        for key, value in json.loads(text)["inputs"].items():
            # Fewer records in as many batches, smaller gradients, more steps ... are covered by the same shifts.
            if key not in ("n", "epsilon", "delta", "lipschitz", "radius", "learn_epochs", "smoothness", "requests"):
                assert cert["inputs"][key] == value, key


def test_broken_files_are_refused() -> None:
    fuzz(1, 700, "stream")
    fuzz(2, 300, "replace")
    fuzz_numbers(3, 700, "redrawn")


@pytest.mark.slow
def test_ten_thousand_broken_files_are_refused() -> None:
    for seed, name in enumerate(BASES):
        fuzz(seed, 1000, name)
        fuzz_numbers(seed, 400, name)


def test_certificates_in_the_repository_are_checked_as_they_were() -> None:
    for version in (2, 3, 5, 6):
        text = (EXAMPLES / f"version{version}.json").read_bytes()
        assert json.loads(text)["version"] == version
        assert reason(text) is None
        changed = json.loads(text)
        changed["inputs"]["epsilon"] = less(changed["inputs"]["epsilon"], Fraction(1, 1000))
        assert reason(sealed(changed)) is not None
    # Format 1 was withdrawn before this file: its assumptions said less.
    assert "2 or 3 or 4" in (reason(json.loads(text) | {"version": 1}) or "")


def test_every_certificate_has_the_shape_of_the_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema(3))
    jsonschema.Draft202012Validator.check_schema(json_schema(3))
    for name in CASES:
        validator.validate(json.loads(written(name)))
    for change in ({"version": 2}, {"limits": []}):
        assert not validator.is_valid(json.loads(written("random")) | change)
    assert not validator.is_valid(json.loads((EXAMPLES / "version2.json").read_text()))
    with pytest.raises(InputError, match="version must be one of 2, 3, 4, 5"):
        json_schema(1)


def test_fixed_texts_are_the_same_in_the_writer_and_the_checker() -> None:
    lists = [drawn_texts.DRAWN_THEOREMS, drawn_texts.DRAWN_ASSUMPTIONS, drawn_texts.DRAWN_LIMITS]
    assert digest(lists)[7:39] == check.FIXED_TEXTS[3]
    whole = canonical(lists).decode()
    for phrase in ("secret for ever", "computational", "fixed beforehand", "the same history without the deleted records",
                   "no identifier is used twice", "largest_n"):  # fmt: skip
        assert phrase in whole, phrase


def test_binomial_tails_are_enclosed() -> None:
    from flint import ctx, fmpq

    with ctx.workprec(256):
        for n, batches, least in ((66, 3, 41), (30, 10, 10), (2000, 20, 180), (5, 2, 5), (40, 3, 15)):
            exact = Fraction(sum(comb(n, k) * (batches - 1) ** (n - k) for k in range(least, n + 1)), batches**n)
            found = check.tail(n, batches, least)
            assert found.contains(fmpq(exact.numerator, exact.denominator))
            assert found.rel_accuracy_bits() > 180
        for n, batches, least in ((60, 3, 20), (10**15, 2, 10**14), (2 * 10**9, 2, 15 * 10**8)):
            with pytest.raises(check.Refused):
                check.tail(n, batches, least)


@pytest.mark.slow
def test_mnist_is_checked_in_seconds() -> None:
    mnist = replace(preset("mnist"), adjacency="remove")
    for batch_size, sigma in ((128, 7.84527e-5), (32, 2e-9)):
        cert = certify(UnlearningAccountant(PNSGD(mnist, batch_size, assignment="secret")), sigma=sigma, epochs=1)
        assert reason(cert) is None
        assert float(cert["result"]["epsilon"][1]) < 1.0


def test_classes_of_stand_ins_lose_the_least() -> None:
    import itertools

    import numpy as np

    from accountant.certificates.ratio import best_classes

    rng = np.random.default_rng(1)
    for _ in range(100):
        count = int(rng.integers(2, 9))
        most = int(rng.integers(1, count))
        log_sizes = rng.normal(size=count)
        sizes = np.exp(log_sizes)

        def lost(ends: list[int], sizes: Any = sizes) -> float:
            return float(sum((sizes[a:b].max() - sizes[a:b]).sum() for a, b in itertools.pairwise([0, *ends])))

        found = best_classes(log_sizes, most)
        least = min(lost([*inner, count]) for inner in itertools.combinations(range(1, count), most - 1))
        assert (found[-1], len(found)) == (count, most)
        assert lost(found) == pytest.approx(least, abs=1e-12)


def test_pooled_stand_ins_prove_a_little_more_than_the_accountant_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from accountant.certificates import drawn

    monkeypatch.setattr(drawn, "_PAIRS", 30)
    who = accountant(SWAP, 6, step_size=0.4)
    cert = certify(who, sigma=0.9, delta=1e-3, steps=3)
    assert [len(cert["result"][name]) for name in ("delta_signs", "epsilon_signs")] == [3, 3]
    assert reason(cert) is None
    in_doubles = who.epsilon(sigma=0.9, delta=1e-3, steps=3)
    assert in_doubles < float(cert["result"]["epsilon"][1]) < 1.3 * in_doubles


def lying(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A writer that is consistent but for one thing."""
    from accountant.bounds import witness as bounds
    from accountant.certificates import certificate, drawn, witness

    def scaled(owner: Any, name: str, factor: Fraction) -> None:
        old = getattr(owner, name).func
        monkeypatch.setattr(owner, name, property(lambda self: old(self) * factor))

    paid, delta = drawn.DrawnProof._paid, drawn.DrawnProof._delta
    monkeypatch.setattr(drawn.DrawnProof, "points", lambda self, most: 0)
    if what == "claim":
        monkeypatch.setattr(
            certificate, "claimed_epsilon", lambda claimed, lower, upper, delta: lower * (1 - Fraction(1, 10**12))
        )
    elif what == "nothing paid":
        monkeypatch.setattr(drawn.DrawnProof, "_paid", lambda self: paid(self) * 0)
    elif what == "less paid":
        monkeypatch.setattr(drawn.DrawnProof, "_paid", lambda self: paid(self) / 2)
    elif what == "a larger limit":
        monkeypatch.setattr(drawn, "load_limit", lambda algorithm: 45.0)
    elif what == "smaller changes":
        scaled(bounds.Run, "_unit", Fraction(999999, 1000000))
    elif what == "more noise":
        scaled(bounds.Run, "variance", Fraction(1000001, 1000000))
    elif what == "more contraction":
        scaled(bounds.Run, "gap", Fraction(1000001, 1000000))
    elif what == "no signs":
        monkeypatch.setattr(
            drawn.DrawnProof, "_delta", lambda self, epsilon, signs, *, up: delta(self, epsilon, signs, up=False)
        )
        monkeypatch.setattr(drawn, "around", lambda x, digits, least, never: ["1000000", None])
    elif what == "smaller mu":
        pairs = witness.Witness.pairs
        monkeypatch.setattr(
            witness.Witness, "pairs", lambda self, ar: tuple([mu / 2 for mu in part] for part in pairs(self, ar))
        )


@pytest.mark.parametrize("name", ["never redrawn", "redrawn", "replace", "stream", "worst"])
@pytest.mark.parametrize(
    "what",
    [
        "claim",
        "nothing paid",
        "less paid",
        "a larger limit",
        "smaller changes",
        "more noise",
        "more contraction",
        "no signs",
        "smaller mu",
    ],
)
def test_writers_that_lie_in_one_place_are_refused(monkeypatch: pytest.MonkeyPatch, what: str, name: str) -> None:
    who, question = CASES[name]
    lying(monkeypatch, what)
    try:
        cert = certify(who, sigma=0.9, delta=1e-3, **question)
    except (InputError, ClaimError, ArithmeticError):
        # The lie is found out before there is a certificate.
        assert what == "no signs"
        return
    assert reason(cert) is not None
