"""Ed25519 signatures over the canonical form of a certificate (the extra ``sign``); keys stay where they are."""

from __future__ import annotations

import base64
from typing import Any

from accountant.certificates.certificate import canonical
from accountant.validation import InputError, MissingExtraError


def load_key(pem: bytes) -> Any:
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


def sign(certificate: dict[str, Any], key: Any) -> dict[str, Any]:
    """The certificate with a signature by ``key`` (:func:`load_key`) and the public key that verifies it."""
    value = key.sign(canonical({**certificate, "signature": None}))
    public = key.public_key().public_bytes_raw()
    signature = {
        "algorithm": "Ed25519",
        "public_key": base64.b64encode(public).decode(),
        "value": base64.b64encode(value).decode(),
    }
    return {**certificate, "signature": signature}
