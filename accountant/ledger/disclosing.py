"""Classes of norm in a ledger: entries and exports show the steps of every request, which tell the class of a record."""

from __future__ import annotations

from typing import Final

from accountant.ledger.settings import Settings
from accountant.numerics import InputError

#: The argument that allows it, of every backend whose models may have classes.
DISCLOSE: Final = "disclose_class"


def discloses(settings: Settings) -> bool:
    """Whether the class of norm of a removed record may be told; InputError for an argument that is neither true nor false."""
    said = settings.arguments.get(DISCLOSE, False)
    if not isinstance(said, bool):
        raise InputError(f"{DISCLOSE} must be true or false, got {said!r}")
    return said


def check_disclosed(settings: Settings, name: str) -> None:
    """Refuse a model whose records have classes of norm, by that ``name``, unless these may be told."""
    if not discloses(settings):
        raise InputError(
            f"{DISCLOSE} must be given for a model with {name}: entries and exports of a ledger show the steps of every "
            "request, which tell the class of norm of the record that is gone"
        )
