"""Ed25519 signatures over the canonical form of a certificate (the extra ``sign``); keys stay where they are."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, TypeVar

from accountant.certificates.certificate import canonical
from accountant.certificates.format import Certificate, LawCertificate, StepCertificate
from accountant.numerics import InputError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


AnyCertificate = TypeVar("AnyCertificate", Certificate, StepCertificate, LawCertificate)


def load_key(pem: bytes) -> Ed25519PrivateKey:
    """The private key of an unencrypted PEM file; InputError for anything else, which never repeats what the file says."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise MissingExtraError("signing", "cryptography", "sign") from None
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise InputError("key must be an Ed25519 private key in PEM without a password, got an encrypted one") from None
    except Exception:
        # The library's messages may quote the file.
        raise InputError("key must be an Ed25519 private key in PEM without a password, got something else") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("key must be an Ed25519 private key in PEM without a password, got another kind of key")
    return key


def sign(certificate: AnyCertificate, key: Ed25519PrivateKey) -> AnyCertificate:
    """The certificate with a signature by ``key`` (:func:`load_key`): "Ed25519", the public key and the value in base64."""
    value = key.sign(canonical({**certificate, "signature": None}))
    public = key.public_key().public_bytes_raw()
    return {**certificate, "signature": " ".join(["Ed25519", _base64(public), _base64(value)])}


def load_public_key(data: bytes) -> Ed25519PublicKey:
    """The public key of a PEM file, or of 32 bytes, raw or in base64; InputError for anything else."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise MissingExtraError("public-key", "cryptography", "sign") from None
    wrong = InputError("public-key must be an Ed25519 public key (PEM, or 32 bytes, raw or in base64), got something else")
    try:
        if b"-----BEGIN" in data:
            key = load_pem_public_key(data)
        else:
            key = Ed25519PublicKey.from_public_bytes(data if len(data) == 32 else base64.b64decode(data.strip(), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise wrong from None
    if not isinstance(key, Ed25519PublicKey):
        raise wrong
    return key


def verify(certificate: Certificate | StepCertificate, key: Ed25519PublicKey) -> str:
    """The public key in base64 if ``key`` (:func:`load_public_key`) made the signature; ValueError with the reason if not."""
    from cryptography.exceptions import InvalidSignature

    public, signature = _base64(key.public_bytes_raw()), certificate["signature"]
    if signature is None:
        raise ValueError("signature is absent, should be present, as a public key was given")
    algorithm, theirs, value = [*signature.split(" "), "", ""][:3]
    if algorithm != "Ed25519" or theirs != public:
        raise ValueError(f"signature is by {algorithm} {theirs}, should be by Ed25519 {public}, the key that was given")
    try:
        raw = base64.b64decode(value, validate=True)
        key.verify(raw, canonical({**certificate, "signature": None}))
    except (ValueError, InvalidSignature):
        raw = b""
    # Only one text means a signature: no spare bits, and nothing after it.
    if signature != f"Ed25519 {public} {_base64(raw)}":
        raise ValueError(f"signature has the value {value}, should be one of this content")
    return public


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
