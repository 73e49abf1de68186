"""Certificates that were changed: with what belongs to them made again, and why the checker refuses them."""

import json
from contextlib import suppress
from typing import Any

from accountant.certificates import check, digest, texts


def reason(cert: Any) -> str | None:
    """Why the checker refuses a certificate, or the bytes of one; None where it does not."""
    try:
        list(check.check(cert if isinstance(cert, bytes) else json.dumps(cert).encode()))
    except check.Refused as refused:
        return str(refused)
    return None


def digested(cert: Any) -> Any:
    """With digests that fit again, as somebody who cheats would make them."""
    cert["digests"] |= {"inputs": digest(cert["inputs"]), "content": ""}
    cert["digests"]["content"] = digest({**cert, "signature": None})
    return cert


def sealed(cert: Any) -> Any:
    """With the statement and the digests that belong to what was changed, as far as there are any."""
    with suppress(KeyError, TypeError, ValueError, ArithmeticError, AttributeError, check.Refused):
        cert["statement"] = texts.statement(cert["inputs"], check.Terms(cert["inputs"]).batches)
    return digested(cert)
