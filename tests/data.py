"""Test data that are not in the repository: photographs, videos, published checkpoints.

VCAM_TEST_DATA names their folder; else it is the folder `shared` beside the checkout. A test whose
data are not there is skipped, with this reason.
"""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(os.environ.get("VCAM_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared")


def why_absent(path: Path) -> str:
    """The reason for a skip."""
    return f"no test data {path.relative_to(SHARED)}; VCAM_TEST_DATA names the folder with them"
