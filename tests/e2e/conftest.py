"""The virtual machine as a fixture. `VCAM_REQUIRE=vm` turns its absence into a failure."""

from __future__ import annotations

import os

import pytest

from tests.e2e.vm import LOOPBACKS, Vm, VmUnavailableError, prepare

collect_ignore = [] if os.environ.get("VCAM_IN_VM") else ["guest"]
"""What is in guest/ runs inside the virtual machine only."""


@pytest.fixture(scope="session", params=[next(iter(LOOPBACKS))])
def vm(request: pytest.FixtureRequest) -> Vm:
    """Its parameter is the version of v4l2loopback; without one, the version that most
    users have.
    """
    try:
        return prepare(request.param)
    except VmUnavailableError as error:
        if "vm" in os.environ.get("VCAM_REQUIRE", "").split(","):
            pytest.fail(f"VCAM_REQUIRE names vm, but {error}")
        pytest.skip(str(error))
