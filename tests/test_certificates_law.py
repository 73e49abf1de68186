"""Certificates of streams of secret draws (format 5): they prove what the stream states, to twelve digits, and nothing less."""

from __future__ import annotations

import copy
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from math import comb
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

pytest.importorskip("flint")

from sealing import reason, sealed

from accountant import PNSGD, Problem, UnlearningAccountant
from accountant.certificates import Happened, certify_stream, check, digest, json_schema, law_texts
from accountant.numerics import InputError
from accountant.requests import UnlearningStream


def accountant(*, adjacency: str = "remove", learn_epochs: int | None = 6, **more: Any) -> UnlearningAccountant:
    problem = Problem(n=60, smoothness=1.0, strong_convexity=0.05, lipschitz=1.0, adjacency=adjacency)
    options: dict[str, Any] = {"learn_epochs": learn_epochs, "assignment": "secret", "largest_n": 90, "step_size": 0.5}
    return UnlearningAccountant(PNSGD(problem, 15, **options | more), batches="random")


CASES: dict[str, tuple[UnlearningAccountant, list[tuple[int, ...]]]] = {
    "one": (accountant(), [(1, 5)]),
    "several after short learning": (accountant(), [(1, 5), (1, 3), (2, 9)]),
    "several after endless learning": (accountant(learn_epochs=None), [(1, 5), (1, 2), (1, 7)]),
    "a first group, every choice by itself": (accountant(), [(3, 8)]),
    "a large first group": (accountant(), [(30, 60)]),
    "groups": (accountant(), [(2, 8), (12, 30), (3, 9)]),
    "records joined": (accountant(), [(0, 4, 10), (1, 5), (0, 6, 3), (2, 7)]),
    "learning went on afterwards": (accountant(), [(1, 5), (1, 6), (0, 8, 2)]),
    "stand-ins": (accountant(adjacency="replace"), [(1, 6), (2, 9)]),
    "redrawn": (accountant(largest_n=60, redraw=True, step_size=1.0), [(1, 5), (2, 8)]),
    "redrawn where any batch will do": (accountant(largest_n=60, redraw=True), [(1, 5), (2, 8)]),
    "no steps": (accountant(), [(1, 0), (1, 4)]),
}


def stream_of(name: str) -> tuple[UnlearningStream, list[tuple[int, ...]]]:
    who, happened = CASES[name]
    stream = UnlearningStream(who, sigma=0.9, epsilon=1.0, delta=1e-3)
    for points, steps, *joined in happened:
        if points:
            stream.answer(points, steps)
        else:
            stream.insert(joined[0], steps)
    return stream, happened


@cache
def written(name: str) -> str:
    return json.dumps(certify_stream(*stream_of(name)))


def stated(name: str) -> float:
    """epsilon of the guarantee after the last request."""
    from accountant.requests import stated_after

    who, happened = CASES[name]
    last = max(k for k, event in enumerate(happened) if event[0])
    stream = UnlearningStream(who, sigma=0.9, epsilon=1.0, delta=1e-3)
    for points, steps, *joined in happened[:last]:
        if points:
            stream.answer(points, steps)
        else:
            stream.insert(joined[0], steps)
    from accountant.curves import Guarantee

    curve = stated_after(stream, happened[last][0], happened[last][1]).curve
    return float(Guarantee(**curve.arguments, statement="", assumptions=(), context={}).epsilon(1e-3))


@pytest.mark.parametrize("name", CASES)
def test_a_certificate_proves_what_the_stream_states_to_twelve_digits(name: str) -> None:
    cert = json.loads(written(name))
    assert reason(cert) is None
    assert cert["version"] == 5
    low, high = (float(end) for end in cert["result"]["epsilon"])
    assert low == pytest.approx(stated(name), rel=1e-12)
    assert float(cert["inputs"]["epsilon"]) == pytest.approx(high, rel=2e-12)


def test_the_file_is_checked_by_one_file_in_a_process_of_its_own(tmp_path: Path) -> None:
    path, alone = tmp_path / "certificate.json", tmp_path / "check.py"
    alone.write_bytes(Path(check.__file__).read_bytes())
    path.write_text(written("several after short learning"))
    run = subprocess.run([sys.executable, "-I", alone, path], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stdout
    assert "no smaller tails than the law of what 4 records left" in run.stdout
    assert "averaged over the secret draws of all of them" in run.stdout.splitlines()[-1]
    assert not any(word in path.read_text() for word in ("random_state", "ids", "key_file"))


def exact_law(cert: Any) -> list[tuple[mpmath.mpf, mpmath.mpf]]:
    """Every tuple of batches by itself: (mu, chance), the strings as in the file, aged by the requests after them."""
    v, w = cert["inputs"], cert["witness"][0]
    eta, m, sigma = (mpmath.mpf(v[name]) for name in ("step_size", "strong_convexity", "sigma"))
    c, variance, period = 1 - eta * m, 2 * eta * sigma**2, -(-v["n"] // v["batch_size"])
    square = lambda length: mpmath.nsum(lambda k: c ** (2 * k), [0, length - 1]) if length else mpmath.mpf(0)  # noqa: E731
    total, span, records = 0, 0, []
    kinds = iter(w["requests"])
    for row in v["requests"]:
        steps = row["steps"]
        kept = c**steps * (mpmath.sqrt(square(span) / square(span + steps)) if span else 1)
        records = [[mu * kept for mu in mus] for mus in records]
        span += steps if span else 0
        if row["points"]:
            kind = w["kinds"][next(kinds)]
            assert kind["together"] == 1
            span = max(span, kind["epochs"] * period + steps)
            mus = []
            for pieces in kind["pieces"]:
                squares = sum(mpmath.mpf(a) ** 2 * square(high - low) for low, high, a in pieces)
                mus.append(mpmath.sqrt(squares / variance))
            records += [mus] * row["points"]
        total += steps
    outcomes = [(sum(choice), mpmath.mpf(1) / period ** len(records)) for choice in itertools.product(*records)]
    return sorted(outcomes)


def test_the_listed_law_has_no_smaller_tails_than_every_choice_of_batches() -> None:
    cert = json.loads(written("several after short learning"))
    outcomes = exact_law(cert)
    for mu, chance in cert["witness"][0]["inner"]:
        left = mpmath.mpf(mu) - mpmath.mpf(cert["inputs"]["rounding"])
        assert sum(p for x, p in outcomes if x > left) <= mpmath.mpf(chance) + mpmath.mpf(10) ** -40


def test_epsilon_is_that_of_the_listed_mixture_by_mpmath() -> None:
    with mpmath.workdps(40):
        cert = json.loads(written("several after short learning"))
        listed = [(mpmath.mpf(mu), mpmath.mpf(chance)) for mu, chance in cert["witness"][0]["inner"]]
        before = [mpmath.mpf(1), *(chance for _, chance in listed)]
        weights = [before[k] - before[k + 1] for k in range(len(listed))]
        epsilon, delta = mpmath.mpf(cert["result"]["epsilon"][1]), mpmath.mpf(1) / 1000
        # What batches cost that are too large.
        n, period, limit = 89, 4, int(15 * (2 / 0.5 - 0.1) / 0.95)
        cost = (
            period
            * sum(comb(n, k) * mpmath.mpf(period - 1) ** (n - k) for k in range(limit + 1, n + 1))
            / mpmath.mpf(period) ** n
        )

        def ratio(x: mpmath.mpf) -> mpmath.mpf:
            return mpmath.log(sum(p * mpmath.exp(mu * x - mu * mu / 2) for (mu, _), p in zip(listed, weights, strict=True)))

        x = mpmath.findroot(lambda x: ratio(x) - epsilon, (0, 20), solver="anderson")
        forward = sum(p * mpmath.ncdf(mu - x) for (mu, _), p in zip(listed, weights, strict=True))
        forward -= mpmath.exp(epsilon) * mpmath.ncdf(-x)
        assert abs(forward + cost - delta) < mpmath.mpf(10) ** -15


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))
    else:
        yield path


def changed(value: Any) -> list[Any]:
    """Smaller and larger, or another word."""
    if isinstance(value, bool) or value is None:
        return [not value]
    if isinstance(value, int):
        return [value + 1, max(value - 1, 0)] if value else [1]
    with suppress(ValueError):
        return [f"{float(value) * 1.01:.9g}", f"{float(value) * 0.99:.9g}"] if float(value) else ["0.5"]
    return [value + " "]


def test_every_changed_field_is_refused() -> None:
    cert = json.loads(written("several after short learning"))
    for path in leaves(cert):
        for new in changed(json.loads(json.dumps(_at(cert, path)))):
            other = copy.deepcopy(cert)
            _at(other, path[:-1])[path[-1]] = new
            if other != cert:
                assert reason(other) is not None, path


#: What may be changed, sealed again, for it claims no more: what is told of, more of the chance or of mu, coarser grids ...
MORE = ("origins", "software", "time", "signature", "problem_file")


def test_what_proves_less_is_refused_when_sealed_again() -> None:
    cert = json.loads(written("several after short learning"))
    for name in ("sigma", "step_size", "strong_convexity", "epsilon"):
        other = copy.deepcopy(cert)
        other["inputs"][name] = f"{float(cert['inputs'][name]) * 0.99:.9g}"
        assert reason(sealed(other)) is not None, name
    for change in ({"points": 3}, {"steps": 8}, {"steps": 10}, {"joined": 40}):
        other = copy.deepcopy(cert)
        other["inputs"]["requests"][-1] |= change
        assert reason(sealed(other)) is not None, change
    for row in range(len(cert["witness"][0]["inner"]) - 1):
        for column in (0, 1):
            other = copy.deepcopy(cert)
            text = other["witness"][0]["inner"][row][column]
            other["witness"][0]["inner"][row][column] = str(float(text) * 0.5)
            assert reason(sealed(other)) is not None, (row, column)
    for change in ({"requests": [0, 1]}, {"requests": [0, 0, 0]}, {"inner": []}, {"outer": [["1", "0"]]}, {"cell": "0"}):
        other = copy.deepcopy(cert)
        other["witness"][0] |= change
        assert reason(sealed(other)) is not None, change
    for kind in range(len(cert["witness"][0]["kinds"])):
        other = copy.deepcopy(cert)
        other["witness"][0]["kinds"][kind]["epochs"] -= 1
        assert reason(sealed(other)) is not None
        other = copy.deepcopy(cert)
        piece = other["witness"][0]["kinds"][kind]["pieces"][0][0]
        piece[2] = str(float(piece[2]) * 0.9)
        assert "differences" in (reason(sealed(other)) or "")
    assert reason(sealed(copy.deepcopy(cert))) is None


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def test_fixed_texts_and_schema_are_those_of_the_checker() -> None:
    lists = [law_texts.LAW_THEOREMS, law_texts.LAW_ASSUMPTIONS, law_texts.LAW_LIMITS]
    assert digest(lists)[7:39] == check.FIXED_TEXTS[5]
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema(5))
    for name in CASES:
        validator.validate(json.loads(written(name)))


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        ([(1, 5)], "must be what the stream has been through"),
        ([(1, 5), (1, 3), (2, 9), (0, 0)], "records that joined in entries of their own"),
        ([(1, 5), (1, 3), (1, 9, 1)], "records that joined in entries of their own"),
        ([(1,)], "must hold"),
    ],
)
def test_another_history_is_refused(happened: list[tuple[int, ...]], words: str) -> None:
    stream, _ = stream_of("several after short learning")
    with pytest.raises(InputError, match=words):
        certify_stream(stream, happened)


def test_a_stream_without_requests_or_contraction_has_none() -> None:
    stream = UnlearningStream(accountant(), sigma=0.9, epsilon=1.0, delta=1e-3)
    with pytest.raises(InputError, match="at least one request"):
        certify_stream(stream, [])
    convex = Problem(n=60, smoothness=1.0, strong_convexity=0.0, lipschitz=1.0, adjacency="remove")
    run = PNSGD(convex, 15, assignment="secret", largest_n=80, learn_epochs=2, step_size=0.5)
    flat = UnlearningStream(UnlearningAccountant(run, batches="random"), sigma=9.0, epsilon=1.0, delta=1e-3)
    flat.answer(1, 3)
    with pytest.raises(InputError, match="needs strong_convexity"):
        certify_stream(flat, [(1, 3)])


def test_what_only_a_ball_makes_small_has_no_certificate() -> None:
    stream = UnlearningStream(accountant(radius=0.05, learn_epochs=None), sigma=0.9, epsilon=1.0, delta=1e-3)
    stream.answer(1, 1)
    stream.answer(2, 2)
    with pytest.raises(InputError, match="radius"):
        certify_stream(stream, [(1, 1), (2, 2)])


def small() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((240, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x, (x[:, 0] > 0).astype(int)


def test_an_estimator_certifies_its_guarantee_through_files_joins_and_refits(tmp_path: Path) -> None:
    from accountant.certificates import load_public_key, verify
    from accountant.trainer import PNSGDClassifier

    x, y = small()
    model = PNSGDClassifier(epsilon=1.0, delta=1e-3, largest_n=300, random_state=0).fit(x, y)
    path = tmp_path / "certificate.json"
    with pytest.raises(InputError, match="nothing has been unlearned"):
        model.certify(path)

    def proved(who: Any) -> float:
        who.certify(path)
        cert = json.loads(path.read_text())
        assert reason(cert) is None
        return float(cert["inputs"]["epsilon"])

    model.unlearn([0])
    assert proved(model) == pytest.approx(float(model.guarantee_.epsilon(1e-3)), rel=1e-11)
    model.learn_more(x[:4], y[:4], epochs=1).unlearn([5, 6])
    model.save(tmp_path / "model.npz")
    again = PNSGDClassifier.load(tmp_path / "model.npz")
    assert proved(again) == pytest.approx(float(model.guarantee_.epsilon(1e-3)), rel=1e-11)
    again.learn_more(x[:2], y[:2], epochs=2)
    assert proved(again) == pytest.approx(float(model.guarantee_.epsilon(1e-3)), rel=1e-11)
    again.refit([9])
    path.unlink()
    with pytest.raises(InputError, match="nothing has been unlearned"):
        again.certify(path)
    assert not path.exists()
    again.unlearn([10])
    assert proved(again) == pytest.approx(float(again.guarantee_.epsilon(1e-3)), rel=1e-11)

    crypto = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = Ed25519PrivateKey.generate()
    pem = secret.private_bytes(crypto.Encoding.PEM, crypto.PrivateFormat.PKCS8, crypto.NoEncryption())
    key = tmp_path / "key.pem"
    key.write_bytes(pem)
    again.certify(path, key=key)
    cert = json.loads(path.read_text())
    assert reason(cert) is None
    verify(cert, load_public_key(secret.public_key().public_bytes_raw()))
    with pytest.raises(InputError, match="is the key"):
        again.certify(key, key=key)
    assert key.read_bytes() == pem
    with pytest.raises(InputError, match="cannot be read"):
        again.certify(path, key=tmp_path / "none.pem")


def law_refused(cert: Any) -> bool:
    """Whether the law alone is refused, whatever the result says."""
    try:
        check.check_law(cert["witness"], check.Terms(cert["inputs"]))
    except (check.Refused, IndexError):
        # As check() takes it.
        return True
    return False


@pytest.mark.parametrize("name", ["several after short learning", "groups", "stand-ins", "records joined"])
def test_the_law_leaves_nothing_to_spare(name: str) -> None:
    """Chances a little smaller, the largest outcome left out, more for rounding: refused, in order as the lists still are."""
    cert = json.loads(written(name))
    assert not law_refused(cert)
    inner = cert["witness"][0]["inner"]
    # The stream pools the outcomes of a group before it adds them.
    tight, less = 0, 1e-2 if name == "groups" else 1e-5
    for row in range(len(inner) - 1):
        other = copy.deepcopy(cert)
        other["witness"][0]["inner"][row][1] = f"{float(inner[row][1]) * (1 - less):.12g}"
        tight += law_refused(other)
    # Where the stream's own law keeps less than a share e^-28 of delta, all that is rarer counts as the worst.
    assert tight >= 0.8 * (len(inner) - 1)
    other = copy.deepcopy(cert)
    other["witness"][0]["inner"] = [[mu, chance] for mu, chance in inner if chance != "0"]
    other["witness"][0]["inner"][-1][1] = "0"
    assert law_refused(other)
    other = copy.deepcopy(cert)
    other["inputs"]["rounding"] = cert["witness"][0]["cell"]
    assert law_refused(other)


def test_kinds_that_are_not_those_of_the_requests_are_refused() -> None:
    cert = json.loads(written("several after short learning"))
    kinds = cert["witness"][0]["kinds"]
    # Of learning that was shorter, of fewer steps, of requests in another order, of one request less.
    shorter = accountant(learn_epochs=5)
    stream = UnlearningStream(shorter, sigma=0.9, epsilon=1.0, delta=1e-3)
    for points, steps in ((1, 5), (1, 3), (2, 9)):
        stream.answer(points, steps)
    other = copy.deepcopy(cert)
    other["witness"][0]["kinds"] = certify_stream(stream, [(1, 5), (1, 3), (2, 9)])["witness"][0]["kinds"]
    assert len(other["witness"][0]["kinds"]) == len(kinds)
    assert law_refused(other)
    for change in ([0, 0, 2], [0, 1, 1], [0, 1], [2, 1, 0]):
        other = copy.deepcopy(cert)
        other["witness"][0]["requests"] = change
        assert law_refused(other), change
    for row, name in ((0, "steps"), (1, "points"), (2, "points")):
        other = copy.deepcopy(cert)
        other["inputs"]["requests"][row][name] += 1
        assert law_refused(other), (row, name)


def test_what_a_stream_counts_in_sixteenths_is_claimed_as_it_was_stated() -> None:
    """Of a key that was redrawn a stream pays for 34 records where 33 left: less is proved, and what was stated is claimed."""
    from accountant.trainer.certifying import certified

    stream = UnlearningStream(accountant(largest_n=60, redraw=True, step_size=1.0), sigma=0.9, epsilon=1.0, delta=1e-3)
    happened = [Happened(2, stream.request(2))]
    planned = stream.planned(31)
    happened.append(Happened(31, stream.request(31)))
    stated = float(planned.guarantee.epsilon(1e-3))
    cert = json.loads(json.dumps(certified(stream, planned.guarantee, happened)))
    assert reason(cert) is None
    assert float(cert["inputs"]["epsilon"]) == stated
    assert 0.98 * stated < float(cert["result"]["epsilon"][1]) < stated * (1 - 1e-6)


def test_a_guarantee_above_one_is_certified_to_its_twelfth_digit() -> None:
    from accountant.trainer.certifying import certified

    for target in (1.7, 2.9, 5.3):
        stream = UnlearningStream(accountant(learn_epochs=None), sigma=0.05, epsilon=target, delta=1e-2)
        planned = stream.planned(1)
        cert = certified(stream, planned.guarantee, [Happened(1, stream.request(1))])
        stated = float(planned.guarantee.epsilon(1e-2))
        assert stated > 1
        assert stated <= float(cert["inputs"]["epsilon"]) * (1 + 1e-14) <= stated * (1 + 1e-11)


@pytest.mark.parametrize("points", [(128,), (1, 128), (128, 128)])
def test_a_group_as_large_as_a_power_of_two_has_a_certificate(points: tuple[int, ...]) -> None:
    """Cells are one more than asked for, so that a bound on their product with the records was missed by one."""
    problem = Problem(n=600, smoothness=1.0, strong_convexity=0.05, lipschitz=1.0, adjacency="remove")
    run = PNSGD(problem, 150, step_size=0.5, learn_epochs=2, assignment="secret", largest_n=700)
    stream = UnlearningStream(UnlearningAccountant(run), sigma=4.0, epsilon=1.0, delta=1e-3)
    happened = [Happened(count, stream.request(count)) for count in points]
    assert reason(certify_stream(stream, happened)) is None


@pytest.mark.parametrize(
    ("requests", "cells", "cell"),
    [([1] * 40, 1, "1e-40"), ([200_000], 1, "1000"), ([100] * 200, 2500, "0.001"), ([100] * 3, 2500, "1e-40")],
)
def test_a_law_that_takes_too_long_is_refused_before_it_is_followed(requests: list[int], cells: int, cell: str) -> None:
    """Outcomes that multiply, long coefficients, many groups, groups on fine grids: no file keeps an auditor for minutes."""
    cert = json.loads(written("no steps"))
    cert["inputs"] |= {"n": 10**6, "largest_n": 10**8, "batch_size": 250_000}
    cert["inputs"]["requests"] = [{"points": count, "steps": 0, "joined": 0} for count in requests]
    cert["witness"][0] |= {"requests": [0] * len(requests), "cells": cells, "cell": cell}
    terms = check.Terms(cert["inputs"])
    with pytest.raises(check.TooMuchWork):
        check.check_law(cert["witness"], terms)
    assert terms.work > check.MOST_WORK
