"""`vcam doctor` where there is a kernel module, a virtual camera and a camera; as root and as
somebody else.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE, PLAIN, VIVID
from vcam.cli.doctor import run_fixes
from vcam.doctor import ON_LINUX, Finding, examine, fixes_of, has_problem
from vcam.doctor.machine import Machine, this_machine
from vcam.linux import v4l2

SETTINGS = (Path("/etc/modprobe.d/vcam.conf"), Path("/etc/modules-load.d/vcam.conf"))
NOBODY = 65534


def look() -> tuple[Machine, list[Finding]]:
    """This machine, and what the checks find."""
    Path("/.dockerenv").unlink(missing_ok=True)  # the host's; the guest is no container
    machine = this_machine(os.environ)
    return machine, examine(machine)


def said(findings: list[Finding]) -> dict[str, tuple[str, str]]:
    """The state and the reason of each check."""
    return {
        finding.name: (str(finding.verdict.state), finding.verdict.reason) for finding in findings
    }


@pytest.mark.timeout(400)
def test_all_is_well_but_for_the_files_and_fix_writes_them() -> None:
    machine, findings = look()
    found = said(findings)
    assert found["container"] == ("ok", "not in a container")
    says_its_version = Path("/sys/module/v4l2loopback/version").exists()
    assert found["module-version"][0] == ("ok" if says_its_version else "warning")
    exclusive, _, both_ways = found["exclusive-caps"][1].partition("exclusive_caps=0 for ")
    assert (EXCLUSIVE in exclusive, both_ways.partition(":")[0]) == (True, PLAIN)
    assert f"{VIVID} vivid: " in found["cameras"][1]
    ours = ("module", "node-number", "exclusive-caps", "permissions", "virtual-camera", "cameras")
    assert {name: found[name] for name in ours if found[name][0] != "ok"} == {}
    assert [found[name][0] for name in ("module-options", "module-autoload")] == [
        "warning",
        "warning",
    ]
    assert not has_problem(findings)
    run_fixes(fixes_of(findings), machine)
    assert all(path.exists() for path in SETTINGS)
    found = said(examine(machine))
    assert [found[name][0] for name in ("module-options", "module-autoload")] == ["ok", "ok"]


def test_who_holds_a_device_is_named() -> None:
    with Path(EXCLUSIVE).open("rb", buffering=0) as device:
        holder = subprocess.Popen(["sleep", "1000"], stdin=device)
    try:
        state, reason = said(look()[1])["virtual-camera"]
    finally:
        holder.kill()
        holder.wait()
    assert state == "ok"
    assert f"{EXCLUSIVE} vcam (held by sleep ({holder.pid}))" in reason


def test_a_user_who_may_not_open_the_devices_is_told_how_to() -> None:
    for path in (EXCLUSIVE, PLAIN, VIVID):
        Path(path).chmod(0o600)
    machine, _ = look()
    os.seteuid(
        NOBODY
    )  # who may not read a private virtual environment either, so the rest is done as root
    try:
        nodes = tuple(v4l2.list_nodes())
    finally:
        os.seteuid(0)
    nobody = replace(machine, nodes=nodes, user="nobody", uid=NOBODY, groups=frozenset())
    verdict = ON_LINUX["permissions"](nobody)
    assert (verdict.state, EXCLUSIVE in verdict.reason, VIVID in verdict.reason) == (
        "problem",
        True,
        True,
    )
    assert "group video" in verdict.reason
