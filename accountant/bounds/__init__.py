"""The bounds, one file each, by name in ``BOUNDS``; what a setting is, what is assumed, and the witness of what was proved."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.bounds.assumptions import *
    from accountant.bounds.base import *
    from accountant.bounds.common_steps import *
    from accountant.bounds.names import *
    from accountant.bounds.optimal import *
    from accountant.bounds.witness import *
else:
    __getattr__, __all__ = face(
        __name__,
        assumptions="PUBLIC_CLASSES assumptions_of to_check",
        base="Blocks Bound Setting log_total",
        common_steps="CommonSteps Witness",
        names="BOUNDS",
        optimal="Optimal",
        witness="Case Visits",
    )
