"""Rows of a comparison that are no method of their own: the tightest bound on the same run, with batches drawn another way."""

from __future__ import annotations

from typing import Final

from accountant.methods.about import About
from accountant.methods.base import Method
from accountant.methods.names import METHODS
from accountant.numerics import choice
from accountant.problem import SECRET
from accountant.questions import Setup

#: By name, with a few words for tables.
VARIANTS: Final[dict[str, str]] = {
    "secret": "noisy SGD, secret draws, true deletion",
    "partition": "noisy SGD, one partition of all records",
}


def method_of(name: str) -> Method:
    """The method that a row is about; InputError for a name that is none."""
    return METHODS["optimal" if name in VARIANTS else choice("method", name, (*METHODS, *VARIANTS))]


def title_of(name: str) -> str:
    """A few words for tables."""
    return VARIANTS.get(name) or METHODS[name].title


def about_of(name: str) -> About:
    """What a row says of itself beside its numbers."""
    about = method_of(name).about
    if name == "secret":
        return about._replace(runs="noisy SGD, every record in a batch of its own secret draw", data=("remove",))
    return about._replace(data=("replace", "zero-out")) if name == "partition" else about


def drawn_as(name: str, setup: Setup) -> Setup:
    """The setup with the draws of a variant, of which ``setup`` is left as it is by other names. InputError where it has none.

    >>> from accountant import PNSGD, preset
    >>> drawn_as("secret", Setup(PNSGD(preset("mnist"), 128))).problem.adjacency
    'remove'
    """
    if name == "secret":
        return setup.with_(assignment=SECRET, adjacency="remove", last_batch="keep")
    if name == "partition":
        return setup.undrawn
    return setup


def beside(setup: Setup) -> tuple[str, ...]:
    """The variants that are not the setup itself."""
    algorithm = setup.algorithm
    if not algorithm.own_draws:
        return ("secret",)
    same = algorithm.assignment == SECRET and setup.problem.adjacency == "remove"
    return ("partition",) if same else ("secret", "partition")
