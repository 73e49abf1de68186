"""``accountant check``: verify a certificate with the checker that stands alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from accountant.commands import files, paths
from accountant.numerics import MissingExtraError

CertificateArgument = Annotated[
    str, typer.Argument(metavar="CERTIFICATE", help="The certificate's file; - for standard input."), paths.Read()
]
PublicKeyOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Ed25519 public key (PEM) whose signature is demanded; extra sign."),
    paths.Read(),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a line per fact.")]


def check(certificate: CertificateArgument, public_key: PublicKeyOption = None, json_: JsonOption = False) -> None:
    """Verify a certificate: a line per fact; exit code 1 at the first that fails.

    The same as running the file accountant/certificates/check.py alone, which needs python-flint only.

    Example: accountant check certificate.json
    """
    try:
        from accountant.certificates import check as checker
    except ImportError:
        raise MissingExtraError("check", "python-flint", "certify") from None
    key = None
    if public_key is not None:
        from accountant.certificates import load_public_key, verify

        key = load_public_key(files.contents("public-key", public_key, 1 << 16))
    data = files.contents("certificate", certificate, checker.LARGEST_FILE + 1)
    facts: list[str] = []
    reason: str | None = None

    def proved() -> Iterator[str]:
        yield from checker.check(data)
        made = json.loads(data)
        if key is not None:
            yield f"signature: made with the key {verify(made, key)}"
        else:
            yield "signature: " + ("absent" if made["signature"] is None else "present, not checked (no public key was given)")

    try:
        for fact in proved():
            facts.append(fact)
            if not json_:
                print(f"ok  {fact}")
    except (checker.Refused, ValueError) as error:
        reason = str(error)
    if json_:
        result: dict[str, Any] = {"command": "check", "valid": reason is None, "facts": facts, "reason": reason}
        print(json.dumps(result))
    elif reason is None:
        print(f"valid: {json.loads(data)['statement']}")
    else:
        print(f"REFUSED: {reason}")
    if reason is not None:
        raise typer.Exit(1)
