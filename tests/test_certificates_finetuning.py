"""Certificates of fine-tuning, format 4: against a verification of its own in mpmath, and against writers that cheat."""

import copy
import json
import math
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flint")
mpmath = pytest.importorskip("mpmath")

from sealing import digested, reason  # noqa: E402

from accountant import ConvexNonsmooth, FineTuning, InputError, SmoothNonconvex, UnlearningAccountant  # noqa: E402
from accountant.certificates import (  # noqa: E402
    ClaimError,
    blocks,
    canonical,
    certify_steps,
    check,
    digest,
    json_schema,
    save,
    steps,
    steps_texts,
)
from accountant.certificates.certificate import some_of_curve  # noqa: E402

EXAMPLES = Path(__file__).parent / "certificates"


def tuned(**options: Any) -> FineTuning:
    return FineTuning(**({"step_size": 0.01, "gradient_clip": 1.0, "start_clip": 1.0} | options))


#: Algorithm and question by name.
CASES: dict[str, tuple[FineTuning, dict[str, Any]]] = {
    "string": (tuned(), {"sigma": 1.492252655, "steps": 100}),
    "claim": (tuned(), {"sigma": 1.5, "steps": 80, "epsilon": 1.2}),
    "decay": (tuned(gradient_clip=10.0, start_clip=10.0, weight_decay=0.5), {"sigma": 2.0, "steps": 1000}),
    "never meets": (tuned(gradient_clip=10.0, start_clip=30.0, weight_decay=0.5), {"sigma": 2.0, "steps": 300}),
    "forgets": (tuned(step_size=0.5, weight_decay=2.0), {"sigma": 1.0, "steps": 7}),
    "centre": (tuned(start="centre"), {"sigma": 1.0, "steps": 60}),
    "given": (tuned(weight_decay=1.0), {"sigma": 0.2, "steps": 90, "start_distance": 0.05}),
    "one step": (tuned(), {"sigma": 1.7, "steps": 1}),
    "blocks": (tuned(model_clip=1.0), {"sigma": 0.260463, "steps": 100}),
    "blocks, decay": (tuned(model_clip=1.0, start_clip=0.5, weight_decay=3.0), {"sigma": 0.22, "steps": 150}),
    "clipped first": (tuned(model_clip=1.0, clip_first=True), {"sigma": 0.3, "steps": 100}),
    "clipped first, decay": (tuned(model_clip=1.0, clip_first=True, weight_decay=2.0), {"sigma": 0.3, "steps": 60}),
    "no gradient clip": (tuned(gradient_clip=None, model_clip=1.0, clip_first=True), {"sigma": 1.2, "steps": 6}),
    "ball": (tuned(start_clip=None, model_clip=0.5), {"sigma": 0.3, "steps": 40}),
    "large start": (tuned(start_clip=5.0, model_clip=0.5), {"sigma": 0.3, "steps": 40}),
    "enough": (tuned(model_clip=1.0), {"sigma": 3.0, "steps": 400}),
}


@cache
def written(name: str) -> str:
    algorithm, question = CASES[name]
    return canonical(certify_steps(UnlearningAccountant(algorithm), delta=1e-5, **question)).decode()


def sealed(cert: Any) -> Any:
    """With the statement and the digests that belong to what was changed, as far as there are any."""
    with suppress(KeyError, TypeError, ValueError):
        cert["statement"] = steps_texts.step_statement(cert["inputs"])
    return digested(cert)


def length(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


def walked(v: Any, row: Any, *, first: bool) -> Any:
    """mu of a block whose distances are followed forwards, step by step, in fractions; None if something is left of them."""
    clip, diameter = length(v["gradient_clip"]), length(v["model_clip"])
    diameter = None if diameter is None else 2 * diameter
    rho, gap = 1 - Fraction(v["step_size"]) * Fraction(v["weight_decay"]), clip and 2 * Fraction(v["step_size"]) * clip
    apart = length(v["start_distance"])
    if apart is None and v["start_clip"] is not None:
        apart = Fraction(v["start_clip"]) * {"clipped": 2, "centre": 1}[v["start"]]
    apart = min(z for z in (apart, diameter) if z is not None) if first else diameter
    if apart is None:
        return None
    with mpmath.workdps(60):
        z, total, scale = mpmath.mpf(apart.numerator) / apart.denominator, mpmath.mpf(0), mpmath.mpf(row["shift"])
        rho, gap, diameter = (None if x is None else mpmath.mpf(x.numerator) / x.denominator for x in (rho, gap, diameter))
        for k in range(row["steps"]):
            if not (k == 0 and v["clip_first"] and not first):
                z = mpmath.inf if gap is None else rho * z + gap
                z = min(z, diameter) if v["clip_first"] else z
            shift = scale * rho ** (row["steps"] - 1 - k)
            z, total = max(z - shift, mpmath.mpf(0)), total + shift**2
            # Clipping after the noise keeps what is left within the ball.
            z = z if diameter is None else min(z, diameter)
        return (
            None
            if z > mpmath.mpf(10) ** -50
            else mpmath.sqrt(total) / mpmath.mpf(Fraction(v["sigma"]).numerator) * (Fraction(v["sigma"]).denominator)
        )


def proved(cert: Any, epsilon: Any) -> Any:
    """delta at an epsilon; None if the witness proves nothing."""
    v, rows = cert["inputs"], cert["witness"]
    if sum(row["blocks"] * row["steps"] for row in rows) > v["steps"]:
        return None
    if sum(row["blocks"] for row in rows) > 1 and v["model_clip"] is None:
        return None
    with mpmath.workdps(60):
        epsilon, value, mu = mpmath.mpf(epsilon), mpmath.mpf(1), None
        for i, row in enumerate(rows):
            for k in range(row["blocks"]):
                mu = walked(v, row, first=i == k == 0) if k < 2 else mu
                if mu is None:
                    return None
                inner = mpmath.log1p(mpmath.expm1(epsilon) / value)
                near, far = mpmath.ncdf(-inner / mu + mu / 2), mpmath.exp(inner) * mpmath.ncdf(-inner / mu - mu / 2)
                value *= near - far
                if value < mpmath.mpf(10) ** -300:
                    return mpmath.mpf(0)
        return value


@pytest.mark.parametrize("name", CASES)
def test_certificates_are_accepted_and_prove_what_the_accountant_says(name: str) -> None:
    cert = json.loads(written(name))
    assert reason(cert) is None
    algorithm, question = CASES[name]
    asked = {key: value for key, value in question.items() if key != "epsilon"}
    outcome = UnlearningAccountant(algorithm).ask("epsilon", delta=1e-5, **asked)
    in_doubles, exact = float(outcome.answer), float(cert["result"]["epsilon"][1])
    assert exact <= in_doubles <= exact * (1 + 1e-9)
    assert (cert["result"]["mu"] is None) == (outcome.blocks > 1)
    if outcome.blocks == 1 and outcome.mu is not None:
        assert float(cert["result"]["mu"][1]) <= outcome.mu <= float(cert["result"]["mu"][1]) * (1 + 1e-11)


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_those_of_a_verification_in_mpmath(name: str) -> None:
    cert = json.loads(written(name))
    result = cert["result"]
    low, high = (mpmath.mpf(end) for end in result["delta"])
    value = proved(cert, cert["inputs"]["epsilon"])
    assert low * (1 - mpmath.mpf(10) ** -12) <= value <= high * (1 + mpmath.mpf(10) ** -12)
    points = [(cert["inputs"]["delta"], result["epsilon"]), *((p["delta"], p["epsilon"]) for p in result["curve"][::5])]
    for delta, (low, high) in points:
        assert proved(cert, high) <= mpmath.mpf(Fraction(delta).numerator) / Fraction(delta).denominator * (1 + 1e-12)
        if low != "0":
            assert proved(cert, low) >= mpmath.mpf(Fraction(delta).numerator) / Fraction(delta).denominator * (1 - 1e-12)
    if result["mu"] is not None:
        mu = walked(cert["inputs"], cert["witness"][0], first=True)
        assert mpmath.mpf(result["mu"][0]) * (1 - 1e-15) <= mu <= mpmath.mpf(result["mu"][1]) * (1 + 1e-15)


def test_values_of_the_theory() -> None:
    cert = json.loads(written("blocks"))
    assert cert["inputs"]["sigma"] == "0.260463"
    assert float(cert["result"]["epsilon"][1]) <= 1.0
    assert float(json.loads(written("string"))["result"]["epsilon"][1]) == pytest.approx(1.0, abs=1e-8)
    algorithm = tuned(gradient_clip=10.0, start_clip=10.0, weight_decay=0.5)
    made = certify_steps(UnlearningAccountant(algorithm), sigma=1.0, steps=1000, delta=1e-5)
    assert made["result"]["mu"] is not None
    assert (made["witness"][0]["steps"], made["result"]["mu"][1][:12]) == (138, "3.4597703245")


def random_setting(rng: random.Random) -> tuple[FineTuning, dict[str, Any]]:
    size = 10 ** rng.uniform(-4, 1)
    first = rng.random() < 0.3
    algorithm = FineTuning(
        step_size=size,
        gradient_clip=None if first and rng.random() < 0.3 else 10 ** rng.uniform(-2, 2),
        start_clip=10 ** rng.uniform(-2, 2),
        model_clip=10 ** rng.uniform(-2, 2) if first or rng.random() < 0.6 else None,
        weight_decay=rng.choice([0.0, rng.random() ** 3 / size, 10 ** rng.uniform(-6, 0) / size]) * (1 - 1e-9),
        start=rng.choice(["clipped", "clipped", "centre"]),
        clip_first=first,
    )
    question: dict[str, Any] = {"steps": round(10 ** rng.uniform(0, 2.5)), "delta": 10 ** rng.uniform(-10, -1)}
    if rng.random() < 0.2:
        question["start_distance"] = 10 ** rng.uniform(-3, 2)
    return algorithm, question


def check_random(seed: int, count: int) -> int:
    rng, blocks_seen = random.Random(seed), 0
    for _ in range(count):
        algorithm, question = random_setting(rng)
        who = UnlearningAccountant(algorithm)
        try:
            sigma = float(who.sigma(epsilon=10 ** rng.uniform(-2, 1), **question))
        except InputError:
            continue
        made = certify_steps(who, sigma=sigma, **question)
        assert reason(made) is None, (algorithm, question, sigma)
        exact, in_doubles = float(made["result"]["epsilon"][1]), float(who.epsilon(sigma=sigma, **question))
        assert exact <= in_doubles * (1 + 1e-15), (algorithm, question, sigma)
        # With the same blocks; the search for epsilon may have stopped at others, which prove a little less.
        asked = {key: value for key, value in question.items() if key != "delta"}
        outcome = replace(who.run(sigma=sigma, **asked), epsilon=in_doubles)
        same = float(outcome.guarantee.epsilon(question["delta"]))
        assert exact <= same * (1 + 1e-15) <= exact * (1 + 1e-7) + 1e-13, (algorithm, question, sigma)
        assert in_doubles <= exact * 1.01 + 1e-13, (algorithm, question, sigma)
        blocks_seen += made["result"]["mu"] is None
    return blocks_seen


def test_random_settings_against_the_accountant() -> None:
    assert check_random(1, 20) > 5


@pytest.mark.slow
def test_many_random_settings_against_the_accountant() -> None:
    for seed in range(2, 12):
        check_random(seed, 100)


#: Changes of a file that is sealed again: each says more than the witness proves, or what does not belong together.
CHANGES: dict[str, Any] = {
    "epsilon": lambda c: c["inputs"].update(epsilon=less(c["inputs"]["epsilon"])),
    "delta": lambda c: c["inputs"].update(delta="0.000009"),
    "sigma": lambda c: c["inputs"].update(sigma=less(c["inputs"]["sigma"])),
    "more noise": lambda c: c["inputs"].update(sigma=str(Fraction(c["inputs"]["sigma"]) * 2)),
    "steps": lambda c: c["inputs"].update(steps=sum(row["blocks"] * row["steps"] for row in c["witness"]) - 1),
    "gradient clip": lambda c: c["inputs"].update(gradient_clip="11"),
    "no gradient clip": lambda c: c["inputs"].update(gradient_clip=None),
    "step size": lambda c: c["inputs"].update(step_size=str(Fraction(c["inputs"]["step_size"]) * 2)),
    "start": lambda c: c["inputs"].update(start_distance="60"),
    "decay": lambda c: c["inputs"].update(weight_decay="0.001"),
    "too much decay": lambda c: c["inputs"].update(weight_decay="101"),
    "no lengths": lambda c: c["inputs"].update(start_clip=None, model_clip=None, start_distance=None),
    "zero clip": lambda c: c["inputs"].update(start_clip="0"),
    "shift": lambda c: c["witness"][-1].update(shift=less(c["witness"][-1]["shift"])),
    "no shift": lambda c: c["witness"][0].update(shift="0"),
    "one block more": lambda c: c["witness"][0].update(blocks=c["witness"][0]["blocks"] + 1),
    "a block twice": lambda c: c["witness"].append(c["witness"][-1]),
    "a step more": lambda c: c["witness"][-1].update(steps=c["witness"][-1]["steps"] + 1),
    "a step less": lambda c: c["witness"][-1].update(steps=c["witness"][-1]["steps"] - 1),
    "no blocks": lambda c: c.update(witness=[]),
    "mu": lambda c: c["result"].update(mu=["0.1", "0.1"]),
    "no mu": lambda c: c["result"].update(mu=None),
    "a wide delta": lambda c: c["result"].update(delta=["0", c["result"]["delta"][1]]),
    "a lower delta": lambda c: c["result"].update(delta=[less(end) for end in c["result"]["delta"]]),
    "a lower epsilon": lambda c: c["result"].update(epsilon=[less(end) for end in c["result"]["epsilon"]]),
    "a lower curve": lambda c: c["result"]["curve"][0].update(epsilon=[less(e) for e in c["result"]["curve"][0]["epsilon"]]),
    "version": lambda c: c.update(version=2),
    "algorithm": lambda c: c["inputs"].update(algorithm="fine"),
    "assumption": lambda c: c["assumptions"].pop(),
    "limit": lambda c: c["limits"].pop(0),
    "another key": lambda c: c["inputs"].update(momentum="0.9"),
    "a key less": lambda c: c["inputs"].pop("clip_first"),
}


def less(text: str) -> str:
    value = Fraction(text) * (1 - Fraction(1, 10**15))
    return f"{value.numerator}/{value.denominator}" if value.denominator > 1 else str(value.numerator)


@pytest.mark.parametrize("name", ["string", "decay", "given", "blocks", "blocks, decay", "clipped first", "no gradient clip"])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_certificates_are_refused(change: str, name: str) -> None:
    cert = json.loads(written(name))
    before = copy.deepcopy(cert)
    CHANGES[change](cert)
    if cert == before or (change == "no mu" and before["result"]["mu"] is None):
        return
    if reason(sealed(cert)) is None:
        # What another verification finds proved, too: less owed for the same shifts.
        assert_proved(cert)
        assert change in ("gradient clip", "no gradient clip", "decay", "start", "step size"), (change, name)


def assert_proved(cert: Any) -> None:
    value = proved(cert, cert["inputs"]["epsilon"])
    assert value is not None
    delta = Fraction(cert["inputs"]["delta"])
    assert value <= mpmath.mpf(delta.numerator) / delta.denominator * (1 + 1e-12)


def test_the_file_that_is_not_changed_is_accepted_when_sealed_again() -> None:
    for name in CASES:
        assert reason(sealed(json.loads(written(name)))) is None, name


def test_statement_and_digests_are_checked() -> None:
    for key, value in (("statement", "After 100 noisy steps nobody knows."), ("software", "something else")):
        assert reason(json.loads(written("string")) | {key: value}) is not None
    given = json.loads(written("given"))["statement"]
    assert "any model at most 0.05 away" in given
    assert "from the public centre, after" in json.loads(written("centre"))["statement"]
    assert (
        "retraining without the deleted records (or a public initialisation), clipped alike"
        in json.loads(written("blocks"))["statement"]
    )


def lies() -> Iterator[tuple[str, Any]]:
    """Ways of a writer to lie in one place and to be consistent beside."""

    def scaled(owner: Any, name: str, factor: Fraction) -> Any:
        old = getattr(owner, name)

        def lie(patch: pytest.MonkeyPatch) -> None:
            def after(self: Any, *args: Any, **options: Any) -> None:
                old(self, *args, **options)
                for attribute in lied:
                    value = getattr(self, attribute)
                    setattr(self, attribute, None if value is None else value * factor)

            patch.setattr(owner, name, after)

        lied: list[str] = []
        return lie, lied

    almost = 1 - Fraction(1, 10**9)
    for what, attribute, factor in (
        ("smaller gaps", "_gap", almost),
        ("a smaller ball", "_diameter", almost),
        ("a smaller start", "start", almost),
        ("half the start", "start", Fraction(1, 2)),
        ("more decay", "lost", 1 / almost),
        ("no gaps", "_gap", Fraction(0)),
    ):
        lie, lied = scaled(blocks.Lengths, "__init__", factor)
        lied.append(attribute)
        yield what, lie
    lie, lied = scaled(blocks.BlockProof, "__init__", 1 / almost)
    lied.append("_sigma")
    yield "more noise", lie

    def claim(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(steps, "claimed_epsilon", lambda claimed, low, high, delta: low * (1 - Fraction(1, 10**12)))

    def shifts(patch: pytest.MonkeyPatch) -> None:
        old = blocks.Lengths._shift
        patch.setattr(blocks.Lengths, "_shift", lambda self, a, n: less(old(self, a, n)))

    def mus(patch: pytest.MonkeyPatch) -> None:
        old = blocks.BlockProof._mus
        patch.setattr(blocks.BlockProof, "_mus", lambda self: [(count, mu / 2) for count, mu in old(self)])

    def counts(patch: pytest.MonkeyPatch) -> None:
        old = blocks.BlockProof._mus
        patch.setattr(blocks.BlockProof, "_mus", lambda self: [(count + 1, mu) for count, mu in old(self)])

    def restarts(patch: pytest.MonkeyPatch) -> None:
        old = blocks.Lengths.arrives
        patch.setattr(blocks.Lengths, "arrives", lambda self, first: old(self, first=True) * Fraction(99, 100))

    def starts(patch: pytest.MonkeyPatch) -> None:
        old = blocks.Lengths.arrives
        patch.setattr(blocks.Lengths, "arrives", lambda self, first: old(self, first=True))

    def steps_more(patch: pytest.MonkeyPatch) -> None:
        old = blocks.BlockProof.__init__
        patch.setattr(blocks.BlockProof, "__init__", lambda self, a, split, c: old(self, a, [*split, split[-1]], c))

    def squares(patch: pytest.MonkeyPatch) -> None:
        old = blocks.BlockProof._delta

        def lie(self: Any, epsilon: Any) -> Any:
            value = old(self, epsilon)
            return None if value is None else value * value

        patch.setattr(blocks.BlockProof, "_delta", lie)

    def inputs(patch: pytest.MonkeyPatch) -> None:
        old = steps._inputs
        patch.setattr(steps, "_inputs", lambda a, d, n, *others: old(a, d, max(n - 1, 1), *others))

    yield from (("claim", claim), ("smaller shifts", shifts), ("half of mu", mus), ("a block more", counts))
    yield from (("smaller restarts", restarts), ("restarts at the start", starts))
    yield from (("steps twice", steps_more), ("squares", squares), ("fewer steps", inputs))


LIES = dict(lies())
LIED = [
    "string",
    "decay",
    "given",
    "centre",
    "one step",
    "blocks",
    "blocks, decay",
    "clipped first",
    "clipped first, decay",
    "no gradient clip",
    "ball",
]


@pytest.mark.parametrize("name", LIED)
@pytest.mark.parametrize("what", LIES)
def test_writers_that_lie_in_one_place_are_refused(monkeypatch: pytest.MonkeyPatch, what: str, name: str) -> None:
    algorithm, question = CASES[name]
    honest = json.loads(written(name))
    LIES[what](monkeypatch)
    try:
        cert = json.loads(canonical(certify_steps(UnlearningAccountant(algorithm), delta=1e-5, **question)))
    except (InputError, ClaimError, AssertionError):
        # The lie is found out before there is a certificate.
        return
    if all(cert[key] == honest[key] for key in ("inputs", "witness", "result")):
        # There is nothing to lie about.
        return
    if reason(cert) is None:
        assert_proved(cert)
        assert what == "fewer steps", (what, name)


def fuzz(seed: int, count: int, name: str) -> int:
    """Changed leaves of a file that is sealed again: what is accepted is proved by another verification, too."""
    rng, text, accepted = random.Random(seed), written(name), 0
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
            if isinstance(old, str) and old[:1].isdigit() and rng.random() < 0.8:
                digit = rng.choice([at for at, letter in enumerate(old) if letter.isdigit()])
                place[key] = old[:digit] + str(rng.randrange(10)) + old[digit + 1 :]
            elif type(old) is int and rng.random() < 0.8:
                place[key] = max(0, old + rng.choice([-1, 1, 7]))
            else:
                place[key] = rng.choice([None, True, False, "0", "1", 1, "0.001", "1e5", "clipped", "centre"])
        if reason(sealed(cert)) is None:
            accepted += 1
            assert_proved(cert)
    return accepted


@pytest.mark.parametrize("name", ["string", "blocks", "no gradient clip", "one step"])
def test_what_is_accepted_after_changes_is_proved(name: str) -> None:
    assert fuzz(3, 250, name) > 0


@pytest.mark.slow
def test_ten_thousand_changed_files() -> None:
    for seed, name in enumerate(CASES):
        fuzz(seed, 700, name)


def test_broken_files_are_refused() -> None:
    original, rng = written("blocks").encode(), random.Random(5)
    before = json.loads(original)
    for _ in range(600):
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


def test_blocks_that_would_take_hours_are_not_looked_at() -> None:
    cert = json.loads(written("no gradient clip"))
    cert["inputs"]["steps"] = 10**14
    cert["witness"] = [{"blocks": 10**13, "steps": 1, "shift": "2"}]
    cert["result"]["mu"] = None
    assert "fewer blocks" in (reason(sealed(cert)) or "")


@pytest.mark.parametrize("changes", [{}, {"weight_decay": 0.01}, {"weight_decay": 1e-9}, {"weight_decay": 50.0}])
def test_a_hundred_thousand_steps_are_checked_at_once(changes: dict[str, float]) -> None:
    who = UnlearningAccountant(tuned(step_size=1e-5, start_clip=100.0, **changes))
    made = certify_steps(who, sigma=2.0, steps=10**5, delta=1e-5)
    assert reason(made) is None
    assert sum(row["steps"] for row in made["witness"]) > 50_000 or changes.get("weight_decay") == 50.0


def test_a_claim_a_little_too_small_is_not_made() -> None:
    for name in ("string", "blocks"):
        algorithm, question = CASES[name]
        smallest = float(json.loads(written(name))["result"]["epsilon"][0])
        with pytest.raises(ClaimError, match="is not proved"):
            certify_steps(UnlearningAccountant(algorithm), delta=1e-5, **(question | {"epsilon": smallest * (1 - 1e-12)}))


@pytest.mark.parametrize(
    ("algorithm", "question", "message"),
    [
        (ConvexNonsmooth(step_size=0.01, lipschitz=1.0, start_clip=1.0), {}, "fine-tuning for a certificate"),
        (SmoothNonconvex(step_size=0.01, smoothness=1.0, model_clip=1.0), {}, "fine-tuning for a certificate"),
        (tuned(start_clip=None), {}, "start_clip must be given"),
        (tuned(), {"start_distance": 0.0}, "above 0"),
        (tuned(), {"steps": 0}, "steps"),
        (tuned(), {"sigma": 1e-12}, "noise|apart"),
        (tuned(step_size=0.3, weight_decay=1 / 0.3), {}, "exact decimal"),
        (tuned(), {"delta": 1.0}, "delta"),
    ],
)
def test_what_has_no_certificate_is_refused_with_the_reason(algorithm: Any, question: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        certify_steps(UnlearningAccountant(algorithm), **({"sigma": 1.0, "steps": 10, "delta": 1e-5} | question))


def test_certificates_in_the_repository_are_checked_as_they_were() -> None:
    text = (EXAMPLES / "version4.json").read_bytes()
    assert json.loads(text)["version"] == 4
    assert reason(text) is None


def test_files_are_whole_or_as_they_were(tmp_path: Path) -> None:
    target = tmp_path / "certificate.json"
    made = json.loads(written("blocks"))
    save(made, target)
    assert target.read_text() == written("blocks")
    made["inputs"]["sigma"] = "0.1"
    with pytest.raises(InputError, match="refused by its own check"):
        save(made, target)
    assert target.read_text() == written("blocks")
    assert [path.name for path in tmp_path.iterdir()] == ["certificate.json"]


def test_certificates_are_signed() -> None:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from accountant.certificates import sign, verify

    key = ed25519.Ed25519PrivateKey.generate()
    signed = sign(json.loads(written("blocks")), key)
    assert reason(signed) is None
    verify(signed, key.public_key())
    with pytest.raises(ValueError, match="signature"):
        verify({**signed, "time": "2026-01-01T00:00:00Z"}, key.public_key())


def test_every_certificate_has_the_shape_of_the_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema(4))
    jsonschema.Draft202012Validator.check_schema(json_schema(4))
    for name in CASES:
        validator.validate(json.loads(written(name)))
    for change in ({"version": 3}, {"limits": []}, {"witness": [{"steps": 1}]}):
        assert not validator.is_valid(json.loads(written("string")) | change)
    for wrong in ("0.1", ["0.1"], [None, "0.1"], ["0.1", "0.1", "0.1"]):
        cert = json.loads(written("string"))
        cert["result"]["mu"] = wrong
        assert not validator.is_valid(cert)
        assert reason(sealed(cert)) is not None


def test_fixed_texts_are_the_same_in_the_writer_and_the_checker() -> None:
    lists = [steps_texts.STEP_THEOREMS, steps_texts.STEP_ASSUMPTIONS, steps_texts.STEP_LIMITS]
    assert digest(lists)[7:39] == check.FIXED_TEXTS[4]
    whole = canonical(lists).decode()
    for phrase in (
        "retrained without the deleted records",
        "the public initialisation",
        "the same noisy steps on the same retained",
        "drawn anew, independent of the past, or public",
        "in knowledge of models released before",
        "compose",
    ):
        assert phrase in whole, phrase


def run(*words: str) -> Any:
    from typer.testing import CliRunner

    from accountant.commands.program import app

    return CliRunner().invoke(app, list(words))


STEPS = ("--algorithm", "fine-tuning", "--gradient-clip", "1", "--start-clip", "1", "--step-size", "0.01", "--steps", "100")


def test_the_command_writes_what_check_accepts(tmp_path: Path) -> None:
    target = str(tmp_path / "certificate.json")
    question = (*STEPS, "--model-clip", "1", "--sigma", "0.260463", "--delta", "1e-5")
    done = run("certify", *question, "-o", target)
    assert done.exit_code == 0, done.output
    cert = json.loads(Path(target).read_text())
    assert {key: cert[key] for key in ("inputs", "witness", "result")} == {
        key: json.loads(written("blocks"))[key] for key in ("inputs", "witness", "result")
    }
    assert cert["origins"]["gradient_clip"] == "given"
    assert cert["origins"]["weight_decay"] == "default"
    assert cert["origins"]["epsilon"] == "smallest that is proved"
    assert run("check", target).exit_code == 0
    Path(target).write_text(json.dumps(cert | {"witness": []}))
    assert run("check", target).exit_code == 1
    printed = run("certify", *question)
    assert json.loads(printed.stdout)["result"] == cert["result"]
    assert run("certify", *question, "--epsilon", "0.9").exit_code == 1


def test_a_problem_file_is_known_by_its_digest(tmp_path: Path) -> None:
    import hashlib

    problem = tmp_path / "run.toml"
    problem.write_text('algorithm = "fine-tuning"\ngradient_clip = 1\nstart_clip = 1\nstep_size = 0.01\ndelta = 1e-5\n')
    done = run("certify", "--problem", str(problem), "--steps", "100", "--sigma", "1.5", "--start-clip", "0.5")
    assert done.exit_code == 0, done.output
    cert = json.loads(done.stdout)
    assert cert["digests"]["problem_file"] == "sha256:" + hashlib.sha256(problem.read_bytes()).hexdigest()
    assert (cert["origins"]["gradient_clip"], cert["origins"]["start_clip"]) == ("problem file", "given")
    assert cert["inputs"]["start_clip"] == "0.5"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*STEPS, "--sigma", "1"), "delta must be given"),
        ((*STEPS[:-2], "--sigma", "1", "--delta", "1e-5"), "steps must be given"),
        ((*STEPS, "--sigma", "1", "--delta", "1e-5", "--epochs", "1"), "epochs must be left out"),
        ((*STEPS, "--sigma", "1", "--delta", "1e-5", "--requests", "requests.csv"), "starts again from a clipped model"),
        (
            ("--algorithm", "convex-nonsmooth", "--lipschitz", "1", *STEPS[4:], "--sigma", "1", "--delta", "1e-5"),
            "fine-tuning for a certificate",
        ),
    ],
)
def test_the_command_says_what_is_missing(words: tuple[str, ...], message: str) -> None:
    done = run("certify", *words)
    assert done.exit_code == 2, done.output
    assert message in done.stderr


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"weight_decay": "101"}, "at most 1/step_size"),
        ({"start_clip": None}, "given, or model_clip, or start_distance"),
        ({"gradient_clip": None}, "with gradient_clip, or model_clip and clip_first"),
        ({"clip_first": True}, "with gradient_clip, or model_clip and clip_first"),
        ({"start_clip": "0"}, "above 0"),
        ({"gradient_clip": "0"}, "above 0"),
        ({"sigma": "0"}, "above 0"),
        ({"delta": "1"}, "below 1"),
        ({"steps": 99}, "blocks of 1 to 99 steps in all"),
    ],
)
def test_inputs_that_contradict_are_refused_by_name(changes: dict[str, Any], why: str) -> None:
    cert = json.loads(written("string"))
    cert["inputs"] |= changes
    assert why in (reason(sealed(cert)) or "")


def test_the_first_of_equal_blocks_is_no_start_for_the_others() -> None:
    who = UnlearningAccountant(tuned(start_clip=0.1, model_clip=1.0))
    cert = json.loads(canonical(certify_steps(who, sigma=1.0, steps=1, delta=1e-5)))
    (row,) = cert["witness"]
    assert row["blocks"] == 1
    cert["inputs"]["steps"] = 2 * row["steps"]
    for forged in ([row | {"blocks": 2}], [row, row]):
        assert ".shift" in (reason(sealed(cert | {"witness": forged})) or "")
    assert "one block, as no step clips" in (reason(sealed(json.loads(written("string")) | {"witness": [
        {"blocks": 2, "steps": 50, "shift": "0.1"}]})) or "")  # fmt: skip


def test_gaps_larger_than_the_ball_are_covered_from_every_step_on() -> None:
    who = UnlearningAccountant(tuned(model_clip=0.005, clip_first=True))
    cert = json.loads(canonical(certify_steps(who, sigma=1.0, steps=2, delta=1e-5)))
    assert reason(cert) is None
    # Enough for both steps together, and not for the last one.
    cert["witness"] = [{"blocks": 1, "steps": 2, "shift": "0.0151"}]
    assert "witness[0].shift" in (reason(sealed(cert)) or "")


def test_where_there_is_no_time_for_all_of_a_curve_its_points_stay_evenly_apart() -> None:
    exponents = {count: [round(-math.log10(delta)) for delta in some_of_curve(count)] for count in range(13)}
    assert [len(found) for found in exponents.values()] == list(range(13))
    assert (exponents[5], exponents[3]) == ([10, 8, 6, 4, 2], [12, 8, 4])
