"""The machine that the checks examine, described once; tests describe any machine, with a folder as
its root.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vcam import telemetry
from vcam.backends.probe import Probe
from vcam.files import entries
from vcam.linux.systemd import program_words
from vcam.linux.v4l2 import Mode, Node

OBS_CAMERA_CLASS = "CLSID\\{A3FCE0F5-3493-419F-958A-ABA1250EC20B}"
"""Where OBS registers its virtual camera on Windows (obs-studio,
plugins/win-dshow/virtualcam-guid.h).
"""
_OBS_ON_MACOS = Path("/Applications/OBS.app")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine at one moment.

    root: the folder of its /proc, /sys and /etc. system: as `sys.platform`. release: of the kernel.
    uid, user, groups: the current user; groups by name. program, python: full paths of this vcam
    and its Python. nodes: its /dev/video*. modes: of each camera, by path. holders: other
    programs that use a node, by path. gpu: the driver's answer.
    providers: of ONNX Runtime; empty if it cannot be imported. refusals: by backend, why it cannot
    run here; empty if it can. obs_camera: whether OBS's virtual camera exists; None if unknown.
    leaks: telemetry of libraries that is not switched off, see `vcam.telemetry`.
    """

    root: Path = Path("/")
    system: str = "linux"
    release: str = ""
    uid: int = 1000
    user: str = "you"
    groups: frozenset[str] = frozenset()
    program: str = "vcam"
    python: str = "python"
    home: Path = Path("/nonexistent")
    runtime: Path | None = None
    cache: Path = Path("/nonexistent/cache")
    config: Path = Path("/nonexistent/config")
    nodes: tuple[Node, ...] = ()
    modes: Mapping[str, list[Mode]] = field(default_factory=dict)
    holders: Mapping[str, list[str]] = field(default_factory=dict)
    gpu: Probe = field(default_factory=lambda: Probe(None, "not asked"))
    providers: tuple[str, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    obs_camera: bool | None = None
    leaks: tuple[str, ...] = ()

    def read(self, path: str) -> str:
        """Read a text file below the root, stripped; empty if there is
        none.
        """
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def exists(self, path: str) -> bool:
        """Whether this user can see such a file or folder below the root."""
        try:
            return (self.root / path).exists()
        except PermissionError:
            return False

    @property
    def loopbacks(self) -> list[Node]:
        """The virtual cameras of v4l2loopback that could be queried."""
        return [node for node in self.nodes if node.is_loopback]

    @property
    def is_container(self) -> bool:
        """Whether this is a container: Docker, Podman and systemd-nspawn create these files."""
        return any(
            self.exists(path)
            for path in (".dockerenv", "run/.containerenv", "run/systemd/container")
        )

    @property
    def processes(self) -> frozenset[str]:
        """Names of the running programs, cut to 15 characters by the kernel."""
        found = (
            self.read(str(path.relative_to(self.root)))
            for path in entries(self.root / "proc", "[0-9]*/comm")
        )
        return frozenset(found)


def this_machine(environ: Mapping[str, str]) -> Machine:
    """Describe this machine; queries every node and every backend once.

    Args:
        environ: of this process.
    """
    import platformdirs

    from vcam.backends.probe import probe_gpu

    linux = sys.platform == "linux"
    nodes, modes, holders = _video() if linux else ((), {}, {})
    runtime = environ.get("XDG_RUNTIME_DIR")
    return Machine(
        system=sys.platform,
        release=platform.release(),
        uid=os.geteuid() if hasattr(os, "geteuid") else -1,
        user=environ.get("SUDO_USER") or environ.get("USER") or "$USER",
        groups=_groups(),
        program=shlex.join(program_words()),
        python=sys.executable,
        home=Path.home(),
        runtime=Path(runtime) if runtime else None,
        cache=Path(platformdirs.user_cache_dir("vcam", appauthor=False)),
        config=Path(platformdirs.user_config_dir("vcam", appauthor=False)),
        nodes=nodes,
        modes=modes,
        holders=holders,
        gpu=probe_gpu(),
        providers=_providers(),
        refusals=_refusals(),
        obs_camera=None if linux else _obs_camera(),
        leaks=tuple(telemetry.leaks()),
    )


def _video() -> tuple[tuple[Node, ...], dict[str, list[Mode]], dict[str, list[str]]]:
    from vcam.linux import procfs, v4l2

    nodes = tuple(v4l2.list_nodes())
    modes = {}
    for node in nodes:
        if node.is_capture and not node.is_loopback:
            try:
                modes[node.path] = v4l2.list_modes(node.path)
            except OSError:  # gone meanwhile
                modes[node.path] = []
    return nodes, modes, {node.path: procfs.holders(node.path) for node in nodes}


def _groups() -> frozenset[str]:
    if sys.platform == "win32":
        return frozenset()
    import grp

    names = set()
    for number in os.getgroups():
        try:
            names.add(grp.getgrgid(number).gr_name)
        except KeyError:  # a group without a name
            continue
    return frozenset(names)


def _providers() -> tuple[str, ...]:
    try:
        runtime = telemetry.import_onnxruntime()
    except ImportError:
        return ()
    return tuple(runtime.get_available_providers())


def _refusals() -> dict[str, str]:
    from vcam.backends import BACKENDS, why_not
    from vcam.backends.gpu_stack import GpuStack
    from vcam.catalogue import DEFAULT_ENGINE, find_engine, shipped_engines, with_precision

    spec = find_engine(DEFAULT_ENGINE, [shipped_engines()])
    half = with_precision(spec, "fp16") or spec
    stack = GpuStack()
    return {name: why_not(name, half if name == "tensorrt" else spec, stack) for name in BACKENDS}


def _obs_camera() -> bool | None:
    if sys.platform == "darwin":
        return _OBS_ON_MACOS.exists()
    if sys.platform != "win32":
        return None
    import winreg

    try:
        winreg.CloseKey(winreg.OpenKey(winreg.HKEY_CLASSES_ROOT, OBS_CAMERA_CLASS))
    except OSError:
        return False
    return True
