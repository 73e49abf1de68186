"""Where the published data lies, for the tests that compare with it; everything else needs only the package.

With INTEGRATIONS=required in the environment, as in CI where everything is installed, a skipped integration is a failed one.
"""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_REQUIRED: Final = os.environ.get("INTEGRATIONS") == "required"


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
