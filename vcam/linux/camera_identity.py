"""Re-identify a camera after it was unplugged, even if its node has another number. Linux
only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vcam.errors import SourceError
from vcam.linux.v4l2 import Node, list_nodes

_BY_ID = Path("/dev/v4l/by-id")


@dataclass(frozen=True, slots=True)
class CameraId:
    """Stable properties of a camera.

    card: its name. bus: where it is plugged in. link: its name in /dev/v4l/by-id, given by udev;
        empty without one.
    twins: the buses of other cameras with the same name, which must not be mistaken for it.
    place: its index among cameras of the same name on the same bus: some webcams have two sensors.
    """

    card: str
    bus: str
    link: str = ""
    twins: frozenset[str] = frozenset()
    place: int = 0


def identify(
    path: str, nodes: Callable[[], Sequence[Node]] = list_nodes, by_id: Path = _BY_ID
) -> CameraId | None:
    """Read the identity of the camera at `path`; None if it cannot be queried."""
    known = nodes()
    real = str(Path(path).resolve())
    node = next((node for node in known if node.path == real and not node.problem), None)
    if node is None:
        return None
    twins = frozenset(other.bus for other in known if other.card == node.card) - {node.bus}
    links = sorted(by_id.iterdir()) if by_id.is_dir() else []
    link = next((link.name for link in links if str(link.resolve()) == real), "")
    beside = [other.path for other in known if _is_at(other, node.card, node.bus)]
    return CameraId(node.card, node.bus, link, twins, beside.index(real) if real in beside else 0)


def find_again(
    camera: CameraId, nodes: Callable[[], Sequence[Node]] = list_nodes, by_id: Path = _BY_ID
) -> str:
    """Find the camera again: on the same bus, else by its udev link or its name.

    Raises:
        SourceError: it is not there.
    """
    known = nodes()
    linked = (
        str((by_id / camera.link).resolve())
        if camera.link and (by_id / camera.link).exists()
        else ""
    )
    here = [node.path for node in known if _is_at(node, camera.card, camera.bus)]
    if here:
        return linked if linked in here else here[min(camera.place, len(here) - 1)]
    alike = [
        node
        for node in known
        if node.is_capture and node.card == camera.card and node.bus not in camera.twins
    ]
    moved = [node.path for node in alike if linked in ("", node.path)]
    if moved and (linked or not (camera.link and by_id.is_dir())):
        return moved[min(camera.place, len(moved) - 1)]
    raise SourceError(f"{camera.card}: the camera is gone; plug it in again")


def _is_at(node: Node, card: str, bus: str) -> bool:
    return node.is_capture and (node.card, node.bus) == (card, bus)
