"""The deletion service: requests, what was run for them, what holds since, in a chain of entries that nobody changes unseen."""

from typing import TYPE_CHECKING

from accountant.numerics import MissingExtraError, face

try:
    # Every file needs it, and none says so as well as here.
    import sqlalchemy as sqlalchemy
except ImportError:
    raise MissingExtraError("the ledger", "SQLAlchemy", "ledger") from None

if TYPE_CHECKING:
    from accountant.ledger.adding import *
    from accountant.ledger.backends import *
    from accountant.ledger.certifying import *
    from accountant.ledger.chain import *
    from accountant.ledger.database import *
    from accountant.ledger.declared import *
    from accountant.ledger.lease import *
    from accountant.ledger.outlook import *
    from accountant.ledger.reporting import *
    from accountant.ledger.rotating import *
    from accountant.ledger.service import *
    from accountant.ledger.settings import *
    from accountant.ledger.staging import *
    from accountant.ledger.state import *
    from accountant.ledger.verifying import *
    from accountant.ledger.worker import *
    from accountant.ledger.working import *
else:
    __getattr__, __all__ = face(
        __name__,
        adding="Added",
        backends="Admitting BACKENDS Backend Certifying Checking Following Foreseeing Joining Naming Numbering Past Plan "
        "Refitting Result Row RunFailedError Stopping backend_of",
        certifying="Certified",
        chain="Entry",
        database="Database DatabaseError",
        lease="BusyError LeaseLostError",
        declared="read_problem",
        outlook="Outlook",
        reporting="REQUESTS_LISTED Report ReportedRequest ReportedRun",
        rotating="Rotated",
        service="Ledger",
        settings="Settings",
        staging="DamageError file_digest",
        state="Status",
        verifying="Verified",
        worker="Processed",
        working="Run",
    )
