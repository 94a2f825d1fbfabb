"""`vcam devices`: the cameras of this machine with their modes, and its virtual cameras."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from vcam.cli.options import AsJson, Verbose, print_json
from vcam.linux.procfs import holders
from vcam.linux.v4l2 import Mode, list_modes, list_nodes


def devices(json: AsJson = False, verbose: Verbose = False) -> None:
    """List cameras with their modes, and virtual cameras.

    Example: `vcam devices --json`
    """
    found = find_devices()
    if json:
        print_json(found.to_dict())
        return
    for line in describe(found):
        print(line)


@dataclass(frozen=True, slots=True)
class Device:
    """One device. path: the text after `webcam:` or `virtual:`. problem: why it could not be
    queried, or empty.
    """

    path: str
    card: str
    modes: list[Mode] = field(default_factory=list)
    held_by: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Devices:
    """The output of `vcam devices`."""

    cameras: list[Device]
    virtual_cameras: list[Device]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def find_devices() -> Devices:
    """Find all devices; each list begins with vcam's default.

    Raises:
        SourceError: cameras cannot be listed on this system.
    """
    if sys.platform != "linux":
        from vcam.sources.webcam import list_cameras

        return Devices([Device(path, name) for path, name in list_cameras()], [])
    nodes = list_nodes()
    cameras = [node for node in nodes if node.problem or (node.is_capture and not node.is_loopback)]
    return Devices(
        [Device(n.path, n.card, _modes(n.path), holders(n.path), n.problem) for n in cameras],
        [Device(n.path, n.card, [], holders(n.path), n.problem) for n in nodes if n.is_loopback],
    )


def _modes(path: str) -> list[Mode]:
    try:
        return list_modes(path)
    except OSError:  # described by `problem`, or gone meanwhile
        return []


def describe(devices: Devices) -> list[str]:
    """Format the devices as text."""
    lines = ["Cameras"]
    for device in devices.cameras:
        lines += [f"  {_title(device)}", *(f"    {line}" for line in _mode_lines(device.modes))]
    if not devices.cameras:
        lines.append("  none; try `vcam run --source demo`")
    lines.append("Virtual cameras")
    lines += [f"  {_title(device)}" for device in devices.virtual_cameras]
    if not devices.virtual_cameras:
        lines.append(
            "  none found; README.md says how to make one, and `--sink out.mp4` needs none"
        )
    return lines


def _title(device: Device) -> str:
    notes = [f"({', '.join(device.held_by)} has it open)"] if device.held_by else []
    notes += [f"({device.problem})"] if device.problem else []
    return "  ".join([device.path, device.card, *notes])


def _mode_lines(modes: list[Mode]) -> list[str]:
    """One line per format and size, with all rates."""
    rates: dict[tuple[str, int, int], list[float]] = {}
    for mode in modes:
        rates.setdefault((mode.fourcc, mode.width, mode.height), []).append(mode.fps)
    return [
        f"{fourcc}  {width}x{height} "
        f" {', '.join(f'{fps:g}' for fps in sorted(known, reverse=True))} fps"
        for (fourcc, width, height), known in rates.items()
    ]
