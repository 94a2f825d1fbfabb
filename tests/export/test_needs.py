"""Says when the tests of export/ are left out, which happens before anything else could."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.export.conftest import ABSENT


def test_what_these_tests_need_is_installed() -> None:
    if not ABSENT:
        return
    files = sum(1 for path in Path(__file__).parent.rglob("test_*.py")) - 1
    reason = f"{', '.join(ABSENT)} not installed: {files} files of tests of export/ are left out"
    if "export" in os.environ.get("VCAM_REQUIRE", "").split(","):
        pytest.fail(f"VCAM_REQUIRE names export, but {reason}")
    pytest.skip(f"{reason}; pip install -e '.[export,test]'")
