"""Boots the virtual machine once for each file in guest/ and runs its tests in there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.e2e.vm import LOOPBACKS, ROOT, Vm

FILES = sorted(Path(__file__).with_name("guest").glob("test_*.py"))
NEWER = [(Path(__file__).with_name("guest") / "test_v4l2_sink.py", "0.15.0")]
"""Files that are run again with another version of v4l2loopback."""
RUNS = [*((path, next(iter(LOOPBACKS))) for path in FILES), *NEWER]
TIMEOUT_S = 900
_PASSED_ON = ("VCAM_REPLUGS",)
"""Settings of tests in the guest, from the host's environment."""


_PATIENT = ("test_chromium", "test_firefox", "test_readers")
"""Files that take minutes each under emulation and want a quiet machine: VCAM_THOROUGH=1 runs them, too."""


@pytest.mark.vm
@pytest.mark.timeout(TIMEOUT_S + 120)  # the first time, the kernel is downloaded and the module built
@pytest.mark.parametrize(
    ("path", "vm"), RUNS, indirect=["vm"], ids=[f"{path.stem}-{loopback}" for path, loopback in RUNS]
)
def test_in_the_guest(vm: Vm, path: Path) -> None:
    if path.stem in _PATIENT and os.environ.get("VCAM_THOROUGH") != "1":
        pytest.skip("takes minutes; VCAM_THOROUGH=1 runs it")
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
