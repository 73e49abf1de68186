"""Where the published data lies, for the tests that compare with it; everything else needs only the package."""

from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
