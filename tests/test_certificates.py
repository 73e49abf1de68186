"""Certificates: valid ones are accepted, changed ones refused, wrong claims not made, and the checker stands alone."""

import ast
import base64
import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, preset

pytest.importorskip("flint")

from accountant.certificates import ClaimError, canonical, certify, check, digest, json_schema
from accountant.curves import GDPCurve

SMALL = Problem(n=100, smoothness=1.0, strong_convexity=0.1)
MNIST = preset("mnist")


def accountant(*run: Any, **settings: Any) -> UnlearningAccountant:
    words = {name: settings.pop(name) for name in ("batches", "reference", "group_size") if name in settings}
    return UnlearningAccountant(PNSGD(*run, **settings), **words)


CASES: dict[str, tuple[UnlearningAccountant, dict[str, Any]]] = {
    "random": (accountant(SMALL, 30), {"sigma": 0.5, "steps": 3}),
    "worst, no steps": (accountant(SMALL, 25, batches="worst"), {"sigma": 0.5, "steps": 0}),
    "finite learning": (accountant(SMALL, 25, learn_epochs=3), {"sigma": 0.5, "steps": 1}),
    "radius": (accountant(SMALL, 25, radius=0.05), {"sigma": 0.5, "steps": 2}),
    "retraining for two epochs": (accountant(SMALL, 25, radius=0.05, learn_epochs=9, reference=2), {"sigma": 0.5, "steps": 6}),
    "convex": (accountant(Problem(n=100, smoothness=1.0), 25, learn_epochs=5), {"sigma": 0.5, "steps": 2}),
    "given distance": (accountant(SMALL, 25), {"sigma": 0.5, "steps": 2, "start_distance": 0.1}),
    "group at worst": (accountant(SMALL, 30, batches="worst", group_size=50), {"sigma": 0.5, "steps": 3}),
    "group placed": (accountant(SMALL, 30, group_size=3, batches=(1, 0, 2, 0)), {"sigma": 0.5, "steps": 3}),
    "group in a ball": (accountant(SMALL, 25, radius=1.0, batches=(1, 2, 0, 1)), {"sigma": 0.5, "steps": 2}),
    "a restart after the first visit": (
        accountant(SMALL, 25, step_size=0.5, radius=0.3, learn_epochs=9, reference="converged"),
        {"sigma": 0.5, "steps": 6},
    ),
    "position": (accountant(SMALL, 30, batches=1), {"sigma": 0.5, "steps": 3}),
    "stream": (accountant(SMALL, 30), {"sigma": 0.5, "requests": [(1, 3), (2, 1), (1, 5)]}),
    "dropped": (accountant(SMALL, 30, last_batch="drop"), {"sigma": 0.5, "steps": 3}),
    "far from one": (accountant(MNIST, 2048), {"sigma": 30.0, "steps": 3, "epsilon": 1.0}),
}


@pytest.fixture(scope="module", name="certificates")
def made() -> dict[str, dict[str, Any]]:
    return {name: certify(who, **question) for name, (who, question) in CASES.items()}


def resealed(certificate: dict[str, Any]) -> bytes:
    """With digests that fit again, as somebody who cheats would make them."""
    copied = copy.deepcopy(certificate)
    copied["digests"]["inputs"] = digest(copied["inputs"])
    copied["digests"]["content"] = ""
    copied["digests"]["content"] = digest({**copied, "signature": None})
    return json.dumps(copied).encode()


def reason(data: bytes) -> str | None:
    """Why the checker refuses, None if it does not."""
    try:
        list(check.check(data))
    except check.Refused as refused:
        return str(refused)
    return None


def test_certificates_of_every_kind_are_accepted(certificates: dict[str, dict[str, Any]]) -> None:
    for name, certificate in certificates.items():
        assert reason(json.dumps(certificate).encode()) is None, name


def test_claims_are_what_the_accountant_proves(certificates: dict[str, dict[str, Any]]) -> None:
    for name, (who, question) in CASES.items():
        if name in ("stream", "far from one"):
            continue
        in_doubles = who.epsilon(**question)
        if who.ask("epsilon", **question).guarantee.kind == "contraction":
            # Certificates show strings, which prove less than blocks between projections.
            assert in_doubles < float(certificates[name]["result"]["epsilon"][0]), name
            if name == "group in a ball":
                continue
            log_mu = np.log(who.gdp(**question))[None]
            log_weights = np.full(log_mu.size, -np.log(log_mu.size))
            in_doubles = GDPCurve().epsilon(np.log([who.default_delta]), log_weights, log_mu)[0]
        low, high = (float(end) for end in certificates[name]["result"]["epsilon"])
        assert low <= in_doubles, name
        assert high == pytest.approx(in_doubles, rel=1e-9), name


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [leaf for key, item in enumerate(value) for leaf in leaves(item, (*path, key))]
    return [path]


def changed(certificate: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any] | None:
    """One leaf changed by the least: a number by one in its last digit, a text by a letter; None for what is null."""
    copied = copy.deepcopy(certificate)
    place = copied
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    if old is None:
        return None
    if type(old) is int:
        place[path[-1]] = old + 1
        return copied
    for at in range(len(old) - 1, -1, -1):
        if old[at].isalnum():
            new = str((int(old[at]) + 1) % 10) if old[at].isdigit() else ("b" if old[at] == "a" else "a")
            place[path[-1]] = old[:at] + new + old[at + 1 :]
            return copied
    return None


def test_every_leaf_that_is_changed_by_the_least_is_refused(certificates: dict[str, dict[str, Any]]) -> None:
    count = 0
    for name in ("random", "radius", "stream", "group placed", "retraining for two epochs", "worst, no steps"):
        for path in leaves(certificates[name]):
            new = changed(certificates[name], path)
            if new is not None and path[0] != "signature":
                assert reason(json.dumps(new).encode()), (name, path)
                count += 1
    assert count > 400


def test_statement_inputs_and_texts_are_refused_also_with_new_digests(certificates: dict[str, dict[str, Any]]) -> None:
    certificate = certificates["random"]
    words = certificate["statement"].split(" ")
    for at, word in enumerate(words):
        new = {**certificate, "statement": " ".join([*words[:at], word + "s", *words[at + 1 :]])}
        assert "statement" in (reason(resealed(new)) or ""), word
    wrong = 0
    for path in leaves(certificate):
        new = changed(certificate, path)
        if new is None or path[0] in ("digests", "software", "time", "origins", "signature", "result"):
            continue
        if "mu" in path or ("pieces" in path and path[-1] == 2):
            continue  # a last digit that lies within the enclosure: as good a witness
        assert reason(resealed(new)), path
        wrong += 1
    assert wrong > 50


@pytest.mark.parametrize(
    ("path", "value", "keyword"),
    [
        (("inputs", "lipschitz"), "1.01", "cover"),
        (("inputs", "smoothness"), "21", "step_size"),
        (("inputs", "strong_convexity"), "1.5", "strong_convexity"),
        (("inputs", "batch_size"), 101, "batch_size"),
        (("inputs", "sigma"), "0.6", "statement"),
        (("inputs", "epsilon"), "0.001", "statement"),
        (("inputs", "delta"), "0.001", "statement"),
        (("inputs", "requests", 0, "steps"), 4, "statement"),
        (("inputs", "placement"), "worst", "statement"),
        (("inputs", "reference"), "converged", "statement"),
        (("witness", 0, "weight"), "31/100", "weight"),
        (("witness", 0, "cases", 0, "pieces", 0, 2), "0.0001", "cover"),
        (("witness", 0, "cases", 0, "steps"), 7, "what schedule"),
        (("assumptions", 0, "status"), "checked by the program", "assumptions"),
        (("theorems", 0, "source"), "folklore", "theorems"),
        (("limits", 0), "None.", "limits"),
        (("software",), 'quoted " text', "software"),
    ],
)
def test_what_is_wrong_is_named(
    certificates: dict[str, dict[str, Any]], path: tuple[Any, ...], value: Any, keyword: str
) -> None:
    new = copy.deepcopy(certificates["random"])
    place: Any = new
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert reason(resealed(new))
    assert keyword in (reason(resealed(new)) or "")


def test_a_claim_a_millionth_too_small_is_refused_at_creation() -> None:
    who, question = CASES["random"]
    with pytest.raises(ClaimError, match="is not proved"):
        certify(who, **question, epsilon=who.epsilon(**question) * (1 - 1e-6))


def test_one_request_of_several_points_is_a_group_at_its_worst() -> None:
    alone = certify(accountant(SMALL, 30, batches="worst"), sigma=0.5, requests=[(3, 5)])
    group = certify(accountant(SMALL, 30, batches="worst", group_size=3), sigma=0.5, steps=5)
    assert alone["inputs"] == group["inputs"]
    assert alone["witness"] == group["witness"]
    assert reason(canonical(alone)) is None


def test_a_stream_of_a_hundred_requests_stays_small() -> None:
    certificate = certify(accountant(MNIST, 128), sigma=0.03, requests=[(1, 20)] * 100)
    assert len(canonical(certificate)) < 1_000_000
    assert reason(canonical(certificate)) is None


@pytest.mark.parametrize(
    ("who", "question", "message"),
    [
        (accountant(SMALL, 30, batches="reshuffle"), {"sigma": 1.0, "steps": 1}, "reshuffle"),
        (UnlearningAccountant(PNSGD(SMALL, 30), bound="paper"), {"sigma": 1.0, "steps": 1}, "optimal"),
        (accountant(SMALL, 30), {"sigma": 1.0, "requests": []}, "at least one"),
        (accountant(SMALL, 30), {"sigma": 1.0, "requests": [(100, 1), (1, 1)]}, "at most n"),
        (accountant(SMALL, 30), {"sigma": 1e-12, "steps": 0}, "more noise"),
        (accountant(SMALL, 30, group_size=2), {"sigma": 1.0, "steps": 1}, "worst"),
        (accountant(SMALL, 30), {"sigma": 1.0, "requests": [(1, 1), (2, 1)]}, "worst"),
        (
            accountant(SMALL, 30, last_batch="drop", radius=1.0, learn_epochs=3, reference=2),
            {"sigma": 1.0, "steps": 1},
            "dropped point",
        ),
    ],
)
def test_what_has_no_certificate_is_refused_in_one_sentence(who: Any, question: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        certify(who, **question)


def test_dropped_points_are_refused_by_the_checker_where_runs_start_apart(certificates: dict[str, dict[str, Any]]) -> None:
    new = copy.deepcopy(certificates["dropped"])
    for entry in new["witness"]:
        for case in entry["cases"]:
            case |= {"steps": 3, "start": "diameter"}
    assert "start apart" in (reason(resealed(new)) or "")


def test_the_checker_runs_alone(certificates: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    shutil.copy(check.__file__, tmp_path / "check.py")
    good, bad = json.dumps(certificates["random"]), json.dumps(certificates["random"]).replace("0.5", "0.6", 1)
    for text, code in ((good, 0), (bad, 1), ("{", 1), ("", 1)):
        (tmp_path / "certificate.json").write_text(text)
        done = subprocess.run(
            [sys.executable, "-I", "check.py", "certificate.json"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_the_checker_is_short_and_needs_one_library() -> None:
    source = Path(check.__file__).read_text()
    assert len(source.splitlines()) <= 450
    assert max(map(len, source.splitlines())) <= 128
    imported = set()
    for node in ast.walk(ast.parse(source)):
        imported |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        imported |= {str(node.module)} if isinstance(node, ast.ImportFrom) else set()
    assert imported - sys.stdlib_module_names == {"flint"}


def test_the_canonical_form_is_that_of_the_standard(certificates: dict[str, dict[str, Any]]) -> None:
    rfc8785 = pytest.importorskip("rfc8785")
    for certificate in certificates.values():
        assert canonical(certificate) == rfc8785.dumps(certificate)


def test_every_certificate_has_the_shape_of_the_schema(certificates: dict[str, dict[str, Any]]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    for certificate in certificates.values():
        jsonschema.Draft202012Validator(json_schema()).validate(certificate)


LEAVES = (
    None, True, -1, 0, 1, 10**15 - 1, 10**15, 2.5, [], {}, [[0, 1]], [[0, 1], [3, 2]], [[0, 0]], [[0, 1, 1]],
    "", "1", "-1", "1/3", "1/0", "0.5", ".5", "1e-12", "1E5", "1e123456", "9" * 1000, "9" * 1001,
    "random", "worst", "keep", "matched", "matched ", "replace", "given", "two words", 'a "quote"', "back\\slash", "\u00e9",
    "2026-01-01T00:00:00Z", "sha256:" + "0" * 64, "sha256:" + "0" * 63,
)  # fmt: skip


def test_the_schema_and_the_checker_agree_on_every_leaf(certificates: dict[str, dict[str, Any]]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    certificate, accepted, refused = copy.deepcopy(certificates["group placed"]), 0, 0
    del certificate["result"]["curve"][1:]
    kinds = {tuple(key for key in path if key not in (0, 1)): path for path in leaves(certificate)}
    for path in [*kinds.values(), ("inputs", "placement")]:
        if path[0] in ("theorems", "assumptions", "limits"):
            continue  # the checker compares these by their digest
        place: Any = certificate
        for key in path[:-1]:
            place = place[key]
        old = place[path[-1]]
        for value in LEAVES:
            place[path[-1]] = value
            try:
                check.conform(certificate, check.SHAPES[2], "certificate")
                conforms = True
            except check.Refused:
                conforms = False
            assert validator.is_valid(certificate) == conforms, (path, value)
            accepted, refused = accepted + conforms, refused + (not conforms)
        place[path[-1]] = old
    assert accepted > 300
    assert refused > 1000


def test_keys_that_are_missing_or_too_many_are_refused_by_the_schema(certificates: dict[str, dict[str, Any]]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    certificate = certificates["random"]
    for path in {path[:-1] for path in leaves(certificate)}:
        for change in ("less", "more"):
            new = copy.deepcopy(certificate)
            place: Any = new
            for key in path:
                place = place[key]
            if isinstance(place, dict):
                place.popitem() if change == "less" else place.update(more=1)
                assert not validator.is_valid(new), path


def test_a_fixed_text_is_the_same_in_the_writer_and_the_checker() -> None:
    from accountant.certificates import texts

    assert digest([texts.THEOREMS, texts.ASSUMPTIONS, texts.LIMITS])[7:39] == check.FIXED_TEXTS[2]


def test_signatures_are_demanded_and_verified(certificates: dict[str, dict[str, Any]]) -> None:
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    from accountant.certificates import load_key, load_public_key, sign, verify

    private, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate = certificates["random"]
    signed = sign(certificate, load_key(pem))
    mine, theirs = (
        load_public_key(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        for key in (private, other)
    )
    assert reason(json.dumps(signed).encode()) is None
    assert verify(signed, mine) in signed["signature"]
    assert verify(signed, load_public_key(private.public_key().public_bytes_raw()))
    assert pem.split(b"\n")[1] not in canonical(signed)
    forged = json.loads(resealed({**signed, "time": "2020-01-01T00:00:00Z"}))
    longer = {**signed, "signature": signed["signature"] + " more"}
    empty = {**signed, "signature": ""}
    for made, key in ((signed, theirs), (certificate, mine), (forged, mine), (longer, mine), (empty, mine)):
        with pytest.raises(ValueError, match="signature"):
            verify(made, key)
    for wrong in (b"", b"-----BEGIN PUBLIC KEY-----", pem, b"A" * 44):
        with pytest.raises(InputError, match="public-key"):
            load_public_key(wrong)
    # Of a kind that nobody knows, which the library says in an error of its own; a fault of ours stays one.
    unknown = base64.b64encode(bytes.fromhex("300b300506032a030403020000"))
    with pytest.raises(InputError, match="public-key"):
        load_public_key(b"-----BEGIN PUBLIC KEY-----\n" + unknown + b"\n-----END PUBLIC KEY-----\n")
    with pytest.raises(TypeError):
        load_public_key("text")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Ed25519"):
        load_key(b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----")


def fuzz(seed: int, count: int, certificate: dict[str, Any]) -> None:
    """Changed files end in Refused, or say the same as before."""
    rng = np.random.default_rng(seed)
    original = json.dumps(certificate).encode()
    for _ in range(count):
        data = bytearray(original)
        for _ in range(int(rng.integers(1, 4))):
            at, kind = int(rng.integers(len(data))), int(rng.integers(4))
            if kind == 0:
                data[at] = int(rng.integers(256))
            elif kind == 1:
                del data[at : at + int(rng.integers(1, 60))]
            elif kind == 2:
                data[at:at] = original[at : at + int(rng.integers(1, 60))]
            else:
                data[at:at] = [b"null", b"[]", b"1e999999999", b"-1", b"{", b"9" * 40, b"NaN"][int(rng.integers(7))]
        if reason(bytes(data)) is None:
            assert json.loads(data) == certificate


def test_three_thousand_broken_files_are_refused(certificates: dict[str, dict[str, Any]]) -> None:
    fuzz(1, 3000, certificates["stream"])


@pytest.mark.slow
def test_a_hundred_thousand_broken_files_are_refused(certificates: dict[str, dict[str, Any]]) -> None:
    fuzz(2, 50_000, certificates["stream"])
    fuzz(3, 50_000, certificates["random"])


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(1 << 30)
    done = subprocess.run(
        [sys.executable, check.__file__, str(huge)], capture_output=True, text=True, check=False, preexec_fn=_little_memory
    )
    assert done.returncode == 1
    assert "length" in done.stdout


def _little_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
