"""The available backgrounds: those that vcam draws, and the user's uploads.

An uploaded picture is decoded, shrunk and encoded again before any use, so none of the uploaded
bytes, including metadata, is kept. The file name is the hash of its content; the user's name for it
is only displayed.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import imagesize
import numpy as np
from numpy.typing import NDArray

from vcam.control.scenes import SCENES, draw_scene
from vcam.errors import SourceError, UsageError
from vcam.files import entries, write_whole

MOST_BYTES = 20 * 1024 * 1024
_MOST_PIXELS = 50_000_000
_LONGEST_PX = 2560
"""Maximum size of stored pictures; camera pictures are rarely wider."""
_THUMB = (320, 180)
_MOST_PICTURES = 200
_KINDS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP"}
_INDEX = "names.json"
_FILMS = (".gif", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
_FILM_MAGIC = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (0, b"GIF8"))
"""Of MP4 and MOV, Matroska and WebM, GIF."""


@dataclass(frozen=True, slots=True)
class Background:
    """One picture. id: letters, digits and dashes. own: uploaded by the user, so it can be
    removed.
    """

    id: str
    label: str
    path: Path
    own: bool
    is_film: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "path": str(self.path)}


class Gallery:
    """The pictures of one user. Every method may be called from any thread.

    Args:
        own: folder of uploads; created with the first.
        cache: folder of files that can be recreated.
    """

    def __init__(self, own: Path, cache: Path) -> None:
        self._own, self._cache = own, cache
        self._lock = threading.Lock()

    def list(self) -> list[Background]:
        """All pictures, uploads first."""
        names = self._names()
        own = [
            Background(name, str(label), self._own / f"{name}.jpg", True)
            for name, label in names.items()
            if (self._own / f"{name}.jpg").is_file()
        ]
        drawn = [
            Background(f"vcam-{name}", label, self._cache / f"vcam-{name}.jpg", False)
            for name, (label, _) in SCENES.items()
        ]
        return [*own, *self._films(), *drawn]

    def _films(self) -> Sequence[Background]:
        """The films that the user put into the folder; their ids change with their content."""
        films = []
        for path in entries(self._own):
            if path.suffix.lower() not in _FILMS or path.name.startswith("."):
                continue
            with suppress(OSError):
                about = path.stat()
                if not stat.S_ISREG(about.st_mode):
                    continue
                key = f"{path.name}/{about.st_size}/{about.st_mtime_ns}".encode(errors="replace")
                name = f"film-{hashlib.sha256(key).hexdigest()[:16]}"
                films.append(Background(name, _shown(path.name), path, False, is_film=True))
        return films[:_MOST_PICTURES]

    def find(self, name: str) -> Background:
        """Find a picture by id, and make sure that its file exists.

        Raises:
            UsageError: there is none.
        """
        found = next((b for b in self.list() if b.id == name), None)
        if found is None:
            raise UsageError(f"background {name!r}: not in the gallery; upload it again")
        if not (found.own or found.is_film):
            self._draw(found)
        return found

    def add(self, label: str, data: bytes) -> Background:
        """Check a picture and store it.

        Args:
            label: the displayed name; never part of a path.
            data: the content of a PNG, JPEG or WebP file.

        Raises:
            UsageError: it is too large, of another type or damaged; nothing is stored.
        """
        if any(data[at:].startswith(magic) for at, magic in _FILM_MAGIC):
            raise UsageError(
                f"a film is not uploaded: put it into {self._own}, then choose it here"
            )
        picture = _checked(data)
        label = _shown(label)
        ok, encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]
        )
        if not ok:
            raise UsageError(f"{label}: cannot be kept; save it as PNG and upload that")
        name = hashlib.sha256(encoded.tobytes()).hexdigest()[:16]
        with self._lock:
            names = self._names()
            if len(names) >= _MOST_PICTURES and name not in names:
                raise UsageError(f"the gallery holds {_MOST_PICTURES} pictures; remove one first")
            try:
                self._own.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(self._own / f"{name}.jpg", encoded.tobytes(), 0o600)
                write_whole(
                    self._own / _INDEX, json.dumps({name: label, **names}, indent=1) + "\n", 0o600
                )
            except OSError as error:
                raise UsageError(
                    f"{self._own}: {error.strerror}; free some space or its permissions"
                ) from error
        return self.find(name)

    def remove(self, name: str) -> None:
        """Remove one of the user's uploads.

        Raises:
            UsageError: there is none.
        """
        found = self.find(name)
        if not found.own:
            raise UsageError(f"background {name!r} comes with vcam; only your own can be removed")
        with self._lock:
            names = {key: label for key, label in self._names().items() if key != name}
            write_whole(self._own / _INDEX, json.dumps(names, indent=1) + "\n", 0o600)
            for path in (found.path, self._cache / f"{name}-thumb.jpg"):
                with suppress(OSError):
                    path.unlink()

    def thumbnail(self, name: str) -> bytes:
        """A JPEG of 320x180.

        Raises:
            UsageError: there is no such picture.
        """
        found = self.find(name)
        path = self._cache / f"{found.id}-thumb.jpg"
        with suppress(OSError):
            return path.read_bytes()
        picture = _first_of(found.path) if found.is_film else cv2.imread(str(found.path))
        if picture is None:
            raise UsageError(f"background {name!r} is damaged; upload it again")
        height, width = picture.shape[:2]
        scale = max(_THUMB[0] / width, _THUMB[1] / height)
        size = (max(_THUMB[0], round(width * scale)), max(_THUMB[1], round(height * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        left, top = (size[0] - _THUMB[0]) // 2, (size[1] - _THUMB[1]) // 2
        small = small[top : top + _THUMB[1], left : left + _THUMB[0]]
        data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        with suppress(OSError):  # it is drawn again next time
            self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, data, 0o600)
        return data

    def _draw(self, scene: Background) -> None:
        if scene.path.is_file():
            return
        picture = cv2.cvtColor(draw_scene(scene.id.removeprefix("vcam-")), cv2.COLOR_RGB2BGR)
        try:
            self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(
                scene.path,
                cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes(),
                0o600,
            )
        except OSError as error:
            raise UsageError(
                f"{scene.path}: {error.strerror}; see that its folder can be written to"
            ) from error

    def _names(self) -> dict[str, str]:
        try:
            names = json.loads((self._own / _INDEX).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in names.items() if k.isalnum()} if isinstance(names, dict) else {}


def _first_of(path: Path) -> NDArray[np.uint8]:
    """The first picture of a film: uint8 [H, W, 3] BGR.

    Raises:
        UsageError: there is none.
    """
    from vcam.colour import to_rgb
    from vcam.sources.base import SourceRequest
    from vcam.sources.file import VideoFile

    try:
        with VideoFile(str(path), SourceRequest()) as source:
            frame = source.read()
    except SourceError as error:
        raise UsageError(str(error)) from error
    if frame is None:
        raise UsageError(f"{path}: no picture in it; put another film there")
    return np.asarray(to_rgb(frame)[..., ::-1])


def _checked(data: bytes) -> NDArray[np.uint8]:
    """Decode and check a picture: uint8 [H, W, 3] RGB, at most `_LONGEST_PX` wide or high."""
    if len(data) > MOST_BYTES:
        raise UsageError(
            f"the picture has {len(data) >> 20} MB; {MOST_BYTES >> 20} are allowed: save it smaller"
        )
    kind = next((kind for magic, kind in _KINDS.items() if data.startswith(magic)), None)
    if kind is None or (kind == "WebP" and data[8:12] != b"WEBP"):
        raise UsageError("this is no PNG, JPEG or WebP picture; save it as one of those")
    width, height = _size_of(data)
    if width <= 0 or height <= 0:
        raise UsageError(f"the {kind} picture is damaged; save it again")
    if width * height > _MOST_PIXELS:
        most = _MOST_PIXELS // 1_000_000
        raise UsageError(
            f"the picture is {width}x{height}; up to {most} megapixels are allowed: save it smaller"
        )
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise UsageError(f"the {kind} picture is damaged; save it again")
    scale = _LONGEST_PX / max(decoded.shape[:2])
    if scale < 1:
        size = (max(1, round(decoded.shape[1] * scale)), max(1, round(decoded.shape[0] * scale)))
        decoded = cv2.resize(decoded, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _size_of(data: bytes) -> tuple[int, int]:
    """(width, height) from the header alone; (-1, -1) if the header is invalid."""
    try:
        width, height = imagesize.get(io.BytesIO(data))
        return int(width), int(height)
    except Exception:  # noqa: BLE001 - exceptions for damaged headers are not documented
        return -1, -1


def _shown(label: str) -> str:
    """The displayed name: the last part without suffix, printable, at most 60 characters."""
    last = label.replace("\\", "/").rsplit("/", 1)[-1]
    stem = last.rsplit(".", 1)[0] if "." in last[1:] else last
    clean = "".join(c for c in stem if c.isprintable()).strip()
    return clean[:60] or "Picture"
