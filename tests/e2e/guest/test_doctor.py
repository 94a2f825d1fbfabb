"""`vcam doctor` where there is a kernel module, a virtual camera and a camera; as root and as somebody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE, PLAIN, VIVID
from vcam.doctor import examine
from vcam.doctor.machine import this_machine

SETTINGS = (Path("/etc/modprobe.d/vcam.conf"), Path("/etc/modules-load.d/vcam.conf"))
NOBODY = 65534


def checks(environ: Mapping[str, str] = os.environ) -> dict[str, tuple[str, str]]:
    """The state and the reason of each check."""
    Path("/.dockerenv").unlink(missing_ok=True)  # the host's; the guest is no container
    findings = examine(this_machine(environ))
    return {finding.name: (str(finding.verdict.state), finding.verdict.reason) for finding in findings}


def test_all_is_well_but_for_the_files_and_fix_writes_them() -> None:
    found = checks()
    assert found["container"] == ("ok", "not in a container")
    says_its_version = Path("/sys/module/v4l2loopback/version").exists()
    assert found["module-version"][0] == ("ok" if says_its_version else "warning")
    exclusive, _, both_ways = found["exclusive-caps"][1].partition("exclusive_caps=0 for ")
    assert (EXCLUSIVE in exclusive, both_ways.partition(":")[0]) == (True, PLAIN)
    assert f"{VIVID} vivid: " in found["cameras"][1]
    ours = ("module", "node-number", "exclusive-caps", "permissions", "virtual-camera", "cameras")
    assert {name: found[name][0] for name in ours} == dict.fromkeys(ours, "ok")
    assert [found[name][0] for name in ("module-options", "module-autoload")] == ["warning", "warning"]
    command = [sys.executable, "-m", "vcam.cli", "doctor", "--fix", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert all(path.exists() for path in SETTINGS), done.stderr
    states = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
    assert [states[name] for name in ("module-options", "module-autoload")] == ["ok", "ok"]
    assert done.returncode == 0


def test_who_holds_a_device_is_named() -> None:
    with Path(EXCLUSIVE).open("rb", buffering=0) as device:
        holder = subprocess.Popen(["sleep", "1000"], stdin=device)
    try:
        state, reason = checks()["virtual-camera"]
    finally:
        holder.kill()
        holder.wait()
    assert state == "ok"
    assert f"{EXCLUSIVE} vcam (held by sleep ({holder.pid}))" in reason


def test_a_user_who_may_not_open_the_devices_is_told_how_to() -> None:
    for path in (EXCLUSIVE, PLAIN, VIVID):
        Path(path).chmod(0o600)
    os.seteuid(NOBODY)
    try:
        state, reason = checks({"USER": "nobody"})["permissions"]
    finally:
        os.seteuid(0)
    assert (state, EXCLUSIVE in reason, VIVID in reason) == ("problem", True, True)
    assert "group video" in reason
