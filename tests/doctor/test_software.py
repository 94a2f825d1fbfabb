"""The checks that every system has, and what all of them make together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.doctor.machines import CAMERA, GOOD_OPTIONS, HD, IDLE, LOADED, OPTIONS, commands, machine
from vcam.backends.probe import Gpu, Probe
from vcam.doctor import EVERYWHERE, ON_LINUX, Finding, examine, fixes_of, has_problem, may_run
from vcam.doctor.machine import this_machine
from vcam.doctor.verdict import Fix, ok, problem, warning

CARD = Probe(Gpu("NVIDIA RTX 4060", (8, 9), "13.0"))
NO_CARD = Probe(None, "no NVIDIA driver")
CPU = ("CPUExecutionProvider",)


def test_a_gpu_its_driver_and_what_uses_it(tmp_path: Path) -> None:
    gpu = EVERYWHERE["gpu"]
    assert (
        gpu(machine(tmp_path, gpu=CARD)).reason == "NVIDIA RTX 4060 (sm_89), driver for CUDA 13.0"
    )
    assert gpu(machine(tmp_path, gpu=NO_CARD)).state == "skipped"
    pci = "sys/bus/pci/devices/0000:01:00"
    sound = {f"{pci}.1/vendor": "0x10de\n", f"{pci}.1/class": "0x040300\n"}
    assert gpu(machine(tmp_path, sound, gpu=NO_CARD)).state == "skipped"
    card = {f"{pci}.0/vendor": "0x10de\n", f"{pci}.0/class": "0x030000\n"}
    assert gpu(machine(tmp_path, card, gpu=NO_CARD)).state == "warning"


def test_telemetry_that_is_on_is_a_problem(tmp_path: Path) -> None:
    check = EVERYWHERE["telemetry"]
    assert check(machine(tmp_path)).state == "ok"
    on = check(machine(tmp_path, leaks=("openvino_telemetry",)))
    assert (on.state, "openvino_telemetry" in on.reason) == ("problem", True)


@pytest.mark.parametrize("name", ["tensorrt", "onnxruntime-cuda"])
def test_a_refused_backend_is_a_warning_only_with_a_gpu(tmp_path: Path, name: str) -> None:
    check = EVERYWHERE[name]
    refusals = {name: "not installed"}
    assert check(machine(tmp_path, gpu=NO_CARD, refusals=refusals)).state == "skipped"
    refused = check(machine(tmp_path, gpu=CARD, refusals=refusals))
    assert (refused.state, "not installed" in refused.reason) == ("warning", True)
    assert check(machine(tmp_path, gpu=CARD, refusals={name: ""})).state == "ok"


def test_onnxruntime_cannot_be_done_without(tmp_path: Path) -> None:
    check = EVERYWHERE["onnxruntime"]
    missing = check(machine(tmp_path))
    assert (missing.state, commands(missing)) == (
        "problem",
        ["/opt/vcam/bin/python -m pip install onnxruntime"],
    )
    assert "CPU" in check(machine(tmp_path, providers=CPU)).reason


@pytest.mark.parametrize("name", ["cache", "config"])
def test_folders_that_can_be_written_to(tmp_path: Path, name: str) -> None:
    check = EVERYWHERE[name]
    assert check(machine(tmp_path, **{name: tmp_path})).state == "ok"
    assert "when it is needed" in check(machine(tmp_path, **{name: tmp_path / "new/vcam"})).reason
    (tmp_path / "file").write_text("")
    for blocked in (tmp_path / "file", tmp_path / "file/vcam"):
        verdict = check(machine(tmp_path, **{name: blocked}))
        assert verdict.state == "problem"
        assert f"{tmp_path / 'file'} is a file" in verdict.reason


def test_obs_matters_on_windows_and_macos_only(tmp_path: Path) -> None:
    check = EVERYWHERE["obs-camera"]
    assert check(machine(tmp_path)).state == "skipped"
    states = [
        check(machine(tmp_path, system="win32", obs_camera=there)).state
        for there in (True, False, None)
    ]
    assert states == ["ok", "problem", "unknown"]


def test_on_other_systems_the_checks_of_linux_are_skipped(tmp_path: Path) -> None:
    findings = {
        f.name: f.verdict for f in examine(machine(tmp_path, system="darwin", obs_camera=True))
    }
    assert {findings[name].state for name in ON_LINUX} == {"skipped"}
    assert findings["obs-camera"].state == "ok"


def test_a_machine_that_is_set_up_has_no_problem(tmp_path: Path) -> None:
    files = {**LOADED, OPTIONS: GOOD_OPTIONS, "etc/modules": "v4l2loopback"}
    about = {
        "nodes": (CAMERA, IDLE),
        "modes": {CAMERA.path: HD},
        "providers": CPU,
        "refusals": {"onnxruntime": ""},
    }
    findings = examine(machine(tmp_path, files, cache=tmp_path, config=tmp_path, **about))
    needy = [f for f in findings if f.verdict.state in {"problem", "warning"}]
    assert (needy, has_problem(findings)) == ([], False)


def test_mends_come_once_in_order_and_root_is_not_taken(tmp_path: Path) -> None:
    first, second, third = Fix("a", root=True), Fix("b"), Fix("c", by_hand=True)
    findings = [
        Finding("one", warning("w", first, second)),
        Finding("two", problem("p", first, third)),
        Finding("three", ok("fine")),
    ]
    assert fixes_of(findings) == [first, second, third]
    assert [may_run(fix, machine(tmp_path, uid=1000)) for fix in fixes_of(findings)] == [
        False,
        True,
        False,
    ]
    assert [may_run(fix, machine(tmp_path, uid=0)) for fix in fixes_of(findings)] == [
        True,
        True,
        False,
    ]


def test_json_has_every_part(tmp_path: Path) -> None:
    assert Finding("module", problem("why", Fix("modprobe x", root=True))).to_dict() == {
        "name": "module",
        "state": "problem",
        "reason": "why",
        "fix": [{"command": "sudo modprobe x", "needs_root": True, "by_hand": False}],
    }


def test_this_machine_can_be_examined() -> None:
    findings = examine(this_machine({"USER": "ada"}))
    assert [f.name for f in findings] == [*ON_LINUX, *EVERYWHERE]
    assert next(f.verdict.state for f in findings if f.name == "onnxruntime") == "ok"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else"
)
def test_folders_that_are_hidden_from_the_user(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    tmp_path.chmod(0o700)
    described = machine(
        tmp_path, {"etc/group": ""}, cache=tmp_path / "inner/vcam", config=tmp_path / "inner"
    )
    os.seteuid(65534)
    try:
        findings = {f.name: f.verdict for f in examine(described)}
    finally:
        os.seteuid(0)
    assert (findings["cache"].state, "permission denied" in findings["cache"].reason) == (
        "problem",
        True,
    )
    assert findings["config"].state == "problem"
