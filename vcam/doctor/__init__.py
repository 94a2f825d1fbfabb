"""Diagnose why the camera does not work, and list the commands that fix it.

Each check is a pure function of a `Machine`. Checks are ordered so that their fixes run in the
right order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from vcam.doctor import devices, module, software
from vcam.doctor.machine import Machine
from vcam.doctor.verdict import Fix, State, Verdict, skipped

Check = Callable[[Machine], Verdict]

ON_LINUX: dict[str, Check] = {
    "container": devices.check_container,
    "secure-boot": module.check_secure_boot,
    "module": module.check_module,
    "module-version": module.check_version,
    "node-number": module.check_node_number,
    "module-options": module.check_options,
    "module-autoload": module.check_autoload,
    "exclusive-caps": module.check_exclusive_caps,
    "permissions": devices.check_permissions,
    "virtual-camera": devices.check_virtual_camera,
    "cameras": devices.check_cameras,
    "pipewire": devices.check_pipewire,
    "portal": devices.check_portal,
}
EVERYWHERE: dict[str, Check] = {
    "obs-camera": software.check_obs_camera,
    "gpu": software.check_gpu,
    "onnxruntime": software.check_onnxruntime,
    "onnxruntime-cuda": software.check_backend("onnxruntime-cuda"),
    "tensorrt": software.check_backend("tensorrt"),
    "openvino": software.check_backend("openvino"),
    "telemetry": software.check_telemetry,
    "cache": software.check_cache,
    "config": software.check_config,
}
_IN_NEED = (State.WARNING, State.PROBLEM)


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of one check, by name."""

    name: str
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        verdict = self.verdict
        fixes = [
            {"command": m.typed, "needs_root": m.root, "by_hand": m.by_hand} for m in verdict.fixes
        ]
        return {
            "name": self.name,
            "state": str(verdict.state),
            "reason": verdict.reason,
            "fix": fixes,
        }


def examine(machine: Machine) -> list[Finding]:
    """Run every check."""
    linux = {
        name: check(machine) if machine.system == "linux" else skipped("Linux only")
        for name, check in ON_LINUX.items()
    }
    everywhere = {name: check(machine) for name, check in EVERYWHERE.items()}
    return [Finding(name, verdict) for name, verdict in (linux | everywhere).items()]


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether a problem prevents vcam from working as a camera."""
    return any(finding.verdict.state is State.PROBLEM for finding in findings)


def fixes_of(findings: Iterable[Finding]) -> list[Fix]:
    """List the fixes of all problems and warnings, without repetition, in the order to run them."""
    return list(
        dict.fromkeys(
            fix for f in findings if f.verdict.state in _IN_NEED for fix in f.verdict.fixes
        )
    )


def may_run(fix: Fix, machine: Machine) -> bool:
    """Whether `--fix` runs that command: never those marked by hand, and those that need root only
    as root.
    """
    return not fix.by_hand and (not fix.root or machine.uid == 0)
