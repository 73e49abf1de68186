"""What tables claim, row by row, and the verdicts."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.verification.claims import *
    from accountant.verification.oddities import *
    from accountant.verification.stepping import *
    from accountant.verification.verdicts import *
    from accountant.verification.verifying import *
else:
    __getattr__, __all__ = face(
        __name__,
        claims="Claim Claims Unread",
        oddities="OddCells",
        stepping="StepClaim",
        verdicts="Checked ListSummary Summary VERDICTS WASTEFUL",
        verifying="Verification verify",
    )
