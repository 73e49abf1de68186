"""The published tables and figures again, by accounting and by running."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.reproduction.accounting import *
    from accountant.reproduction.experiments import *
    from accountant.reproduction.kept import *
    from accountant.reproduction.records import *
    from accountant.reproduction.running import *
else:
    __getattr__, __all__ = face(
        __name__,
        accounting="TARGETS check_digits reproduce",
        experiments="EXPERIMENTS Experiment experiment",
        kept="Kept key_of",
        records="Record Reproduction",
        running="Row run seconds",
    )
