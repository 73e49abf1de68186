"""Certificates of what an estimator states of its requests."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Final

from accountant.certificates import Happened, LawCertificate, certify_stream, load_key, save, sign
from accountant.curves import Guarantee
from accountant.numerics import InputError
from accountant.requests import UnlearningStream

#: What a guarantee and its certificate may differ in: the rounding of doubles, of a long sum.
_SAME: Final = 5e-12


def happened(requests: Sequence[Sequence[int]], steps: Sequence[int], joined: Sequence[Sequence[int]]) -> list[Happened]:
    """All requests and, (requests before them, records, steps) each, all that joined, in order."""
    events = []
    for number in range(len(requests) + 1):
        events += [Happened(0, ran, count) for before, count, ran in joined if before == number]
        if number < len(requests):
            events.append(Happened(len(requests[number]), steps[number]))
    return events


def certified(stream: UnlearningStream, guarantee: Guarantee, events: Sequence[Happened]) -> LawCertificate:
    """The certificate of a guarantee, or InputError."""
    if sum(event.joined for event in events) != stream.state.inserted:
        raise InputError("this model was saved by a version that did not keep when records joined: no certificate")
    certificate = certify_stream(stream, events)
    stated, proved = float(guarantee.epsilon(stream.delta)), float(certificate["result"]["epsilon"][1])
    if abs(proved - stated) <= _SAME * max(stated, 1.0):
        return certificate
    if proved < stated:
        # Less is proved than was stated: of a key that was redrawn a stream counts many deleted records in sixteenths.
        return certify_stream(stream, events, epsilon=stated)
    raise InputError(
        f"guarantee_ states epsilon = {stated:.12g} at delta = {stream.delta:g}, as an earlier version found, "
        f"where {proved:.12g} is what is proved of the same requests: no certificate"
    )


def write_certificate(certificate: LawCertificate, path: str | PathLike[str], key: str | PathLike[str] | None) -> None:
    """To a file, signed by the private key of another."""
    if key is None:
        save(certificate, path)
        return
    try:
        pem = Path(key).read_bytes()
    except OSError as error:
        raise InputError(f"key {Path(key)} cannot be read: {error.strerror}") from None
    if Path(key).resolve() == Path(path).resolve():
        raise InputError(f"path {Path(path)} is the key: name another file for the certificate")
    save(sign(certificate, load_key(pem)), path)
