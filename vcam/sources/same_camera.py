"""How a camera is known again after it was unplugged: its node may have another number then. Linux only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vcam.errors import SourceError
from vcam.v4l2 import Node, list_nodes

_BY_ID = Path("/dev/v4l/by-id")


@dataclass(frozen=True, slots=True)
class CameraId:
    """What a camera keeps.

    card: its name. bus: where it is plugged in. link: the name that udev gives it in /dev/v4l/by-id, empty without one.
    twins: where others of the same name were plugged in, which are not to be taken for it.
    """

    card: str
    bus: str
    link: str = ""
    twins: frozenset[str] = frozenset()


def identify(path: str, nodes: Callable[[], Sequence[Node]] = list_nodes, by_id: Path = _BY_ID) -> CameraId | None:
    """What the camera at `path` can be known by; None where it cannot be asked."""
    known = nodes()
    real = str(Path(path).resolve())
    node = next((node for node in known if node.path == real and not node.problem), None)
    if node is None:
        return None
    twins = frozenset(other.bus for other in known if other.card == node.card) - {node.bus}
    links = sorted(by_id.iterdir()) if by_id.is_dir() else []
    link = next((link.name for link in links if str(link.resolve()) == real), "")
    return CameraId(node.card, node.bus, link, twins)


def find_again(camera: CameraId, nodes: Callable[[], Sequence[Node]] = list_nodes, by_id: Path = _BY_ID) -> str:
    """Where the camera is now: at the same place, else wherever udev or its name say.

    Raises:
        SourceError: it is not there.
    """
    alike = [node for node in nodes() if node.is_capture and node.card == camera.card and node.bus not in camera.twins]
    here = [node.path for node in alike if node.bus == camera.bus]
    linked = str((by_id / camera.link).resolve()) if camera.link else ""
    moved = sorted((node.path for node in alike), key=lambda path: path != linked)
    for path in [*here, *moved]:
        return path
    raise SourceError(f"{camera.card}: the camera is gone; plug it in again")
