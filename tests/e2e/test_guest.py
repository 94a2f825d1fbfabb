"""Boots the virtual machine once for each file in guest/ and runs its tests in there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.vm import LOOPBACKS, ROOT, Vm

pytestmark = pytest.mark.slow

FILES = sorted(Path(__file__).with_name("guest").glob("test_*.py"))
USUAL, *NEWER = LOOPBACKS
_PATIENT = ("test_firefox", "test_readers", "test_service")
_THOROUGH = pytest.mark.skipif(
    os.environ.get("VCAM_THOROUGH") != "1",
    reason="takes minutes under emulation, and wants a quiet machine; VCAM_THOROUGH=1 runs it",
)


def _runs() -> list[Any]:
    """Every file with the version of v4l2loopback that most users have, and two with the newer
    ones.
    """
    usual = [
        pytest.param(path, USUAL, id=path.stem, marks=_THOROUGH if path.stem in _PATIENT else ())
        for path in FILES
    ]
    newer = [
        pytest.param(
            FILES[0].with_name(f"{stem}.py"), version, id=f"{stem}-{version}", marks=_THOROUGH
        )
        for stem in ("test_v4l2_sink", "test_on_demand")
        for version in NEWER
    ]
    return [*usual, *newer]


TIMEOUT_S = 900
_PASSED_ON = ("VCAM_REPLUGS",)
"""Settings of tests in the guest, from the host's environment."""


@pytest.mark.vm
@pytest.mark.timeout(
    TIMEOUT_S + 120
)  # the first time, the kernel is downloaded and the module built
@pytest.mark.parametrize(("path", "vm"), _runs(), indirect=["vm"])
def test_in_the_guest(vm: Vm, path: Path) -> None:
    settings = [f"{name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ]
    command = [
        "env",
        *settings,
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--color=no",
        "--durations=3",
    ]
    result = vm.run([*command, str(path.relative_to(ROOT))], timeout_s=TIMEOUT_S)
    print(result.output)  # noqa: T201  - shown with -s or -rA, and on failure
    assert result.status == 0


@pytest.mark.vm
@pytest.mark.timeout(300)
def test_the_guest_reports_status_and_output(vm: Vm) -> None:
    result = vm.run(["sh", "-c", "echo hello; echo to-stderr >&2; exit 7"], timeout_s=120)
    assert result.status == 7
    assert "hello\nto-stderr\n" in result.output


@pytest.mark.vm
@pytest.mark.timeout(300)
def test_a_guest_that_hangs_is_ended(vm: Vm) -> None:
    result = vm.run(["sleep", "1000"], timeout_s=10)
    assert result.status is None
    assert "not finished after 10 s" in result.output
