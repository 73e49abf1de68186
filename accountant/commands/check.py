"""``accountant check``: verify a certificate with the checker that stands alone."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from accountant.validation import InputError, MissingExtraError

CertificateArgument = Annotated[
    str, typer.Argument(metavar="CERTIFICATE", help="The certificate's file; - for standard input.")
]
PublicKeyOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Ed25519 public key (PEM) whose signature is demanded; extra sign.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a line per fact.")]


def check(certificate: CertificateArgument, public_key: PublicKeyOption = None, json_: JsonOption = False) -> None:
    """Verify a certificate: a line per fact; exit code 1 at the first that fails.

    The same as running the file accountant/certificates/check.py alone, which needs python-flint only.

    Example: accountant check certificate.json
    """
    try:
        _check(certificate, public_key, json_)
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


def _check(certificate: str, public_key: str | None, as_json: bool) -> None:
    try:
        from accountant.certificates import check as checker
    except ImportError:
        raise MissingExtraError("check", "python-flint", "certify") from None
    key = None
    if public_key is not None:
        try:
            import cryptography  # noqa: F401
        except ImportError:
            raise MissingExtraError("public-key", "cryptography", "sign") from None
        key = _read("public-key", public_key)
    facts: list[str] = []
    reason: str | None = None
    try:
        try:
            data = checker.read("/dev/stdin" if certificate == "-" else certificate)
        except OSError as error:
            raise InputError(f"certificate file {certificate} cannot be read: {error.strerror}") from None
        try:
            for fact in checker.check(data, key):
                facts.append(fact)
                if not as_json:
                    print(f"ok  {fact}")
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise InputError(f"public-key file {public_key} must be an Ed25519 public key: {error}") from None
    except checker.Refused as error:
        reason = str(error)
    if as_json:
        result: dict[str, Any] = {"command": "check", "valid": reason is None, "facts": facts, "reason": reason}
        print(json.dumps(result))
    elif reason is None:
        print(f"valid: {json.loads(data)['statement']}")
    else:
        print(f"REFUSED: {reason}")
    if reason is not None:
        raise typer.Exit(1)


def _read(name: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 16)
    except OSError as error:
        raise InputError(f"{name} file {path} cannot be read: {error.strerror}") from None
