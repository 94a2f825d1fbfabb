"""The virtual machine as a fixture. `VCAM_REQUIRE=vm` turns its absence into a failure."""

from __future__ import annotations

import os

import pytest

from tests.e2e.vm import Vm, VmUnavailableError, prepare

collect_ignore = [] if os.environ.get("VCAM_IN_VM") else ["guest"]
"""What is in guest/ runs inside the virtual machine only."""


@pytest.fixture(scope="session")
def vm() -> Vm:
    try:
        return prepare()
    except VmUnavailableError as error:
        if "vm" in os.environ.get("VCAM_REQUIRE", "").split(","):
            pytest.fail(f"VCAM_REQUIRE names vm, but {error}")
        pytest.skip(str(error))
