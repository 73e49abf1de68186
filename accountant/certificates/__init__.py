"""Certificates: written, signed, and checked by ``check.py``, which stands alone."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.certificates.certificate import *
    from accountant.certificates.format import *
    from accountant.certificates.law import *
    from accountant.certificates.schema import *
    from accountant.certificates.signing import *
    from accountant.certificates.steps import *
else:
    __getattr__, __all__ = face(
        __name__,
        certificate="ClaimError canonical certify digest",
        format="Certificate LawCertificate StepCertificate",
        law="Happened certify_stream",
        schema="json_schema",
        signing="load_key load_public_key sign verify",
        steps="certify_steps check_again save",
    )
