"""Check /dev, and other software that handles cameras on Linux."""

from __future__ import annotations

from vcam.doctor.machine import Machine
from vcam.doctor.verdict import Fix, Verdict, ok, problem, skipped, unknown, warning
from vcam.linux.loopback import MODULE
from vcam.linux.v4l2 import LOOPBACK_DRIVER, Node
from vcam.sources.modes import choose_mode
from vcam.sources.webcam import DEFAULT_SIZE

_SESSION_MANAGERS = {"wireplumber", "pipewire-media-"}
_PORTAL = "usr/share/dbus-1/services/org.freedesktop.portal.Desktop.service"
_PERMISSIONS = ".local/share/flatpak/db/devices"
_REFUSED = b"\0no\0"
"""A denied permission in the permission store: a GVariant string between its neighbours."""
_FPS = 30.0
_SLOW_FPS = 20.0
_SMALL_PX = 360


def check_container(machine: Machine) -> Verdict:
    """Is this a container, which has only the devices that it was given?"""
    if not machine.is_container:
        return ok("not in a container")
    if machine.nodes:
        return ok("in a container, with video devices of the host")
    return warning(
        "in a container that was given no video device: start it with --device /dev/video0 for the"
        " camera and --device /dev/video10 for the virtual camera, both loaded on the host"
    )


def check_permissions(machine: Machine) -> Verdict:
    """May this user open the video devices?"""
    refused = [node.path for node in machine.nodes if node.problem.startswith("permission denied")]
    if not machine.nodes:
        return skipped("no video device")
    if machine.uid == 0 and machine.user not in ("root", "$USER") and "video" not in machine.groups:
        return unknown(
            f"root may open everything; for {machine.user} run `vcam doctor` without sudo"
        )
    if not refused:
        return ok(f"{machine.user} may open {', '.join(node.path for node in machine.nodes)}")
    reason = f"{machine.user} may not open {', '.join(refused)}"
    if "video" in machine.groups:
        return problem(f"{reason}, in spite of the group video; see who may: ls -l {refused[0]}")
    if machine.user in _members(machine, "video"):
        return problem(
            f"{reason}: in the group video, but not since this login; log out and in again"
        )
    join = Fix(f"usermod -aG video {machine.user}", root=True)
    return problem(f"{reason}: not in the group video; join it, then log out and in again", join)


def check_virtual_camera(machine: Machine) -> Verdict:
    """Is there a virtual camera, and does a program use it?"""
    if not machine.loopbacks:
        if machine.exists(f"sys/module/{MODULE}"):
            return problem(f"{MODULE} is loaded, but none of its devices can be opened here")
        return problem("no virtual camera: the checks above say why")
    taken = [node for node in machine.loopbacks if node.is_capture and not node.is_output]
    lines = [f"{node.path} {node.card}{_held(machine, node)}" for node in machine.loopbacks]
    if len(taken) < len(machine.loopbacks) or any(_is_ours(machine, node) for node in taken):
        return ok("; ".join(lines))
    return warning(f"every virtual camera is written to by another program: {'; '.join(lines)}")


def check_cameras(machine: Machine) -> Verdict:
    """Is there a camera with a usable mode, and does a program use it?"""
    cameras = [node for node in machine.nodes if node.is_capture and not node.is_loopback]
    refused = [f"{node.path} {node.card}: {node.problem}" for node in machine.nodes if node.problem]
    if not cameras and refused:
        return problem(f"no camera that can be opened: {'; '.join(refused)}")
    if not cameras:
        return problem("no camera: plug one in; `vcam run --source demo` needs none")
    described = [_describe(machine, node) for node in cameras]
    text = "; ".join(line for line, _ in described)
    if not any(good for _, good in described):
        return warning(
            f"{text}: no mode with {_SMALL_PX} rows or more at {_SLOW_FPS:g} frames per second or"
            " more"
        )
    return ok(text)


def check_pipewire(machine: Machine) -> Verdict:
    """Does PipeWire, which gives cameras to sandboxed programs, run, with a session manager that
    lists cameras?
    """
    processes = machine.processes
    if "pipewire" not in processes:
        return skipped("PipeWire does not run; only Flatpak, Snap and some Firefox need it")
    if not processes & _SESSION_MANAGERS:
        start = Fix("systemctl --user start wireplumber")
        return warning(
            "PipeWire runs without WirePlumber, so programs that ask it for cameras see none", start
        )
    return ok(
        "PipeWire runs; a program that does not list the camera may after `systemctl --user restart"
        " wireplumber`"
    )


def check_portal(machine: Machine) -> Verdict:
    """Would the desktop's portal give cameras to sandboxed programs (Flatpak, Snap)?"""
    try:
        refused = _REFUSED in (machine.home / _PERMISSIONS).read_bytes()
    except OSError:
        refused = False
    if refused:
        forget = Fix("flatpak permission-remove devices camera", by_hand=True)
        return warning(
            "a program was once refused a camera, a microphone or loudspeakers, and stays refused",
            forget,
        )
    if machine.exists(_PORTAL):
        return ok("xdg-desktop-portal is installed, and no program was refused a camera")
    return skipped(
        "xdg-desktop-portal is not installed; only Flatpak, Snap and some Firefox need it"
    )


def _members(machine: Machine, group: str) -> list[str]:
    for line in machine.read("etc/group").splitlines():
        name, _, _, members = [*line.split(":"), "", "", ""][:4]
        if name == group:
            return members.split(",")
    return []


def _held(machine: Machine, node: Node) -> str:
    holders = machine.holders.get(node.path, [])
    return f" (held by {', '.join(holders)})" if holders else ""


def _is_ours(machine: Machine, node: Node) -> bool:
    return any(who.startswith("vcam ") for who in machine.holders.get(node.path, []))


def _describe(machine: Machine, node: Node) -> tuple[str, bool]:
    """Describe a camera; also whether it has a usable mode."""
    assert node.driver != LOOPBACK_DRIVER
    best = choose_mode(machine.modes.get(node.path, []), DEFAULT_SIZE, _FPS)
    if best is None:
        return f"{node.path} {node.card}: no known picture format{_held(machine, node)}", False
    rate = f" at {best.fps:g} fps" if best.fps else ""
    text = (
        f"{node.path} {node.card}: {best.width}x{best.height}"
        f" {best.fourcc}{rate}{_held(machine, node)}"
    )
    return text, best.height >= _SMALL_PX and (best.fps or _FPS) >= _SLOW_FPS
