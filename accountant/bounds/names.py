"""The bounds, by name. A new one is a new file and a line here."""

from __future__ import annotations

from typing import Final

from accountant.bounds.base import Bound, Setting
from accountant.bounds.optimal import Optimal
from accountant.bounds.paper import Paper, PaperGeometric

BOUNDS: Final[dict[str, Bound]] = {bound.name: bound for bound in (Optimal(), Paper(), PaperGeometric())}
__all__ = ["BOUNDS", "Bound", "Setting"]
