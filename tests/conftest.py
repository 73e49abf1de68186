"""Where the published data lies, for the tests that compare with it; everything else needs only the package.

With INTEGRATIONS=required in the environment, as in CI where everything is installed, a skipped integration is a failed one.
"""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_REQUIRED: Final = os.environ.get("INTEGRATIONS") == "required"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Any]:
    """A throw-away PostgreSQL of the deletion service's tests, which need it."""
    from ledgers import server

    with server() as made:
        yield made


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where a ledger is: a new database of the server; None for a file beside the model."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgresql").database()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """The processors that this process may use; psutil would count the cores of the whole machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if _REQUIRED and report.skipped:
        report.outcome, report.longrepr = "failed", f"{collector.nodeid} was skipped: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _REQUIRED and report.skipped and item.get_closest_marker("integration") and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"an integration was skipped: {_reason(report)}"
    return report


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    return str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)
