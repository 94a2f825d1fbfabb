"""Checks of the kernel module v4l2loopback and of the files that load it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from vcam.doctor.machine import Machine
from vcam.doctor.verdict import Fix, Verdict, ok, problem, skipped, unknown, warning
from vcam.files import entries
from vcam.linux.loopback import (
    LOAD_FILE,
    MODULE,
    OPTIONS_FILE,
    Loopback,
    loads_at_start,
    read_options,
)

_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""A global variable of the UEFI specification, section 3.3; efivarfs puts four bytes of attributes
before its value.
"""
_KEYS = ("var/lib/dkms/mok.pub", "var/lib/shim-signed/mok/MOK.der")
"""The keys with which DKMS (Debian and others, Ubuntu) signs the modules that it builds."""
_INSTALL: dict[str, Callable[[str], tuple[str, ...]]] = {
    "debian": lambda release: (f"apt install v4l2loopback-dkms linux-headers-{release}",),
    "ubuntu": lambda release: (f"apt install v4l2loopback-dkms linux-headers-{release}",),
    "fedora": lambda _: ("dnf install akmod-v4l2loopback", "akmods"),  # of RPM Fusion
    "arch": lambda _: ("pacman -S v4l2loopback-dkms linux-headers",),
}
"""Commands that install the module, by the ID or ID_LIKE of /etc/os-release."""


def check_module(machine: Machine) -> Verdict:
    """Is the module installed for the running kernel, and loaded?"""
    if _is_loaded(machine):
        return ok("v4l2loopback is loaded")
    if machine.is_container:
        return unknown("not loaded; in a container only the host can load it")
    if f"/{MODULE}.ko" in machine.read(f"lib/modules/{machine.release}/modules.dep"):
        return problem("v4l2loopback is installed but not loaded", load_fix(machine))
    if _dkms_versions(machine):
        reason = (
            f"v4l2loopback is installed, but not built for the kernel that runs ({machine.release})"
        )
        build = Fix(f"dkms autoinstall -k {machine.release}", root=True)
        return problem(reason, *_headers(machine), build, load_fix(machine))
    reason = f"v4l2loopback is not installed for the kernel that runs ({machine.release})"
    return problem(reason, *_install(machine), load_fix(machine))


def check_version(machine: Machine) -> Verdict:
    """Is the module's version one without known problems?"""
    version = module_version(machine)
    if version is None:
        return skipped("v4l2loopback is not here")
    if version >= (0, 13):
        return ok(f"v4l2loopback {_dotted(version)}")
    name = _dotted(version) if len(version) > 2 else "0.12 or older"
    return warning(
        f"v4l2loopback {name} does not report who watches, and may refuse writers after another"
        " program has written, until the module is reloaded; vcam works around both, and 0.13 or"
        " newer does not have the problem"
    )


def module_version(machine: Machine) -> tuple[int, ...] | None:
    """The version of the loaded module, else of the installed one; (0, 12) for one that does not
    report it.

    The module reports its version since 0.13; DKMS knows the versions that it built.
    """
    versions = _dkms_versions(machine)
    if _is_loaded(machine):
        return _version(machine.read(f"sys/module/{MODULE}/version")) or _old(versions) or (0, 12)
    return max(versions, default=None)


def check_secure_boot(machine: Machine) -> Verdict:
    """Does the firmware reject modules without a trusted signature?"""
    try:
        value = (machine.root / _SECURE_BOOT).read_bytes()
    except OSError:
        if machine.exists("sys/firmware/efi"):
            return unknown("the firmware does not say")
        return ok("off: this computer does not start through UEFI")
    if value[-1:] != b"\1":
        return ok("off")
    if _is_loaded(machine):
        return ok("on, and v4l2loopback is loaded")
    reason = (
        "on: the kernel loads only modules signed with a key that the firmware knows. The first"
        " command asks for a password; restart, choose `Enroll MOK` on the blue screen and type it"
        " again"
    )
    key = next((f"/{path}" for path in _KEYS if machine.exists(path)), None)
    make = () if key else (Fix("dkms generate_mok", root=True, by_hand=True),)
    return warning(
        reason, *make, Fix(f"mokutil --import {key or f'/{_KEYS[0]}'}", root=True, by_hand=True)
    )


def check_exclusive_caps(machine: Machine) -> Verdict:
    """Do Chromium-based programs list the virtual camera? They require a node that is only a
    camera.
    """
    if not _is_loaded(machine):
        return skipped("v4l2loopback is not loaded")
    if not machine.loopbacks:
        flags = machine.read(f"sys/module/{MODULE}/parameters/exclusive_caps").split(",")
        both, good = (
            (["the first virtual camera"], [])
            if flags[0] == "N"
            else ([], ["the first virtual camera"])
        )
    else:
        both = [node.path for node in machine.loopbacks if node.is_capture and node.is_output]
        good = [node.path for node in machine.loopbacks if node.path not in both]
    if not both:
        return ok(f"exclusive_caps=1 for {', '.join(good)}")
    reason = f"exclusive_caps=0 for {', '.join(both)}: Chrome, Meet, Teams and Zoom do not list it"
    if good:
        return ok(f"exclusive_caps=1 for {', '.join(good)}; {reason}")
    holders = sorted(
        {who for node in machine.loopbacks for who in machine.holders.get(node.path, [])}
    )
    stop = f"; stop {', '.join(holders)} first" if holders else ""
    return problem(reason + stop, Fix(f"modprobe -r {MODULE}", root=True), load_fix(machine))


def check_options(machine: Machine) -> Verdict:
    """Will the module be loaded with the right options after a reboot?"""
    if machine.is_container:
        return skipped("in a container the host's files decide")
    options = read_options(machine.root)
    caps, path = options.get("exclusive_caps", ("", None))
    if not caps:
        where = f"no file in /etc/modprobe.d gives {MODULE} exclusive_caps=1"
        return warning(f"{where}: after the next start browsers will not list it", _setup(machine))
    if caps.split(",")[0] not in {"1", "Y", "y"}:
        others = "" if path == machine.root / OPTIONS_FILE else f"; remove that line from {path}"
        return warning(
            f"{path} says exclusive_caps={caps}{others}",
            _setup(machine, f"{_kept(machine)} --overwrite"),
        )
    return ok(f"{path}: {' '.join(f'{name}={value}' for name, (value, _) in options.items())}")


def check_autoload(machine: Machine) -> Verdict:
    """Will the module be loaded after a reboot?"""
    if machine.is_container:
        return skipped("in a container the host's files decide")
    path = loads_at_start(machine.root)
    if path is None:
        return warning(
            f"{MODULE} is not loaded when the computer starts: /{LOAD_FILE} is missing",
            _setup(machine),
        )
    return ok(f"{path} loads it")


def check_node_number(machine: Machine) -> Verdict:
    """Is the number of the virtual camera already in use? Then it is not created, or gets
    another.
    """
    text = read_options(machine.root).get("video_nr", (str(Loopback().number), None))[0]
    wanted = [f"/dev/video{number}" for number in text.split(",") if number.isdecimal()]
    others = {node.path: node for node in machine.nodes if node.driver and not node.is_loopback}
    clashes = [
        f"{path} is {others[path].card} ({others[path].driver})"
        for path in wanted
        if path in others
    ]
    if not clashes:
        return ok(f"{', '.join(wanted) or 'the next number'} is free for the virtual camera")
    free = free_number(machine, len(wanted))
    reload = () if not _is_loaded(machine) else (Fix(f"modprobe -r {MODULE}", root=True),)
    setup = _setup(machine, f"{_kept(machine, free)} --overwrite")
    return problem("; ".join(clashes), setup, *reload, Fix(f"modprobe {MODULE}", root=True))


def free_number(machine: Machine, count: int = 1) -> int:
    """The first number from 10 on with room for this many virtual cameras."""
    taken = {node.path for node in machine.nodes if not node.is_loopback}
    number = Loopback().number
    while any(f"/dev/video{number + i}" in taken for i in range(count)):
        number += 1
    return number


def load_fix(machine: Machine) -> Fix:
    """The command that loads the module: with the configured options, else with vcam's."""
    if "exclusive_caps" in read_options(machine.root):
        return Fix(f"modprobe {MODULE}", root=True)
    return Fix(Loopback(number=free_number(machine)).load_command, root=True)


def _setup(machine: Machine, more: str = "") -> Fix:
    return Fix(" ".join([machine.program, "setup --write", *more.split()]), root=True)


def _kept(machine: Machine, number: int | None = None) -> str:
    """Options of `vcam setup` that keep the configured cameras and labels, starting at another
    number.
    """
    options = {name: value for name, (value, _) in read_options(machine.root).items()}
    labels = [label for label in options.get("card_label", "").strip('"').split(",") if label]
    count = options.get("devices", "1")
    words = [f"--label {shlex.quote(label)}" for label in labels] or [
        f"--devices {count if count.isdecimal() else 1}"
    ]
    first = options.get("video_nr", "").split(",")[0] if number is None else str(number)
    return " ".join([*words, *([f"--number {first}"] if first.isdecimal() else [])])


def _is_loaded(machine: Machine) -> bool:
    return machine.exists(f"sys/module/{MODULE}")


def _dkms_versions(machine: Machine) -> list[tuple[int, ...]]:
    folders = [
        *entries(machine.root / "var/lib/dkms" / MODULE),
        *entries(machine.root / "usr/src", f"{MODULE}-*"),
    ]
    found = (_version(folder.name.removeprefix(f"{MODULE}-")) for folder in folders)
    return [version for version in found if version]


def _old(versions: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The installed version, if it may be the loaded one, which does not report its version."""
    return max((version for version in versions if version < (0, 13)), default=None)


def _version(text: str) -> tuple[int, ...] | None:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part) if found else None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _install(machine: Machine) -> tuple[Fix, ...]:
    release = dict(
        line.split("=", 1)
        for line in machine.read("etc/os-release").splitlines()
        if line.count("=") and line[0] != "#"
    )
    names = shlex.split(f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".replace('"', " "))
    commands = next((_INSTALL[name](machine.release) for name in names if name in _INSTALL), ())
    return tuple(Fix(command, root=True, by_hand=True) for command in commands)


def _headers(machine: Machine) -> tuple[Fix, ...]:
    """The commands that install the kernel headers, which any build needs."""
    missing = not machine.exists(f"lib/modules/{machine.release}/build")
    return _install(machine)[:1] if missing else ()
