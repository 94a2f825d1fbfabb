"""TensorRT plans on disk: one file per engine, TensorRT version and kind of GPU, in the user's
cache folder.

A plan works with one TensorRT version and one GPU architecture, so it is never copied to other
machines; its name contains everything that it depends on. A file begins with the sha256 of the
rest, so damage is detected before TensorRT reads it.
"""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass
from pathlib import Path

from vcam.errors import EngineError
from vcam.files import is_own, read_private, write_whole

_MOST_BYTES = 1 << 30
_MOST_REASON_BYTES = 1 << 16
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class PlanKey:
    """The dependencies of a plan.

    model: for people who read the folder. onnx_sha256: of the ONNX file. flavour: "tensorrt"
        or "tensorrt_rtx";
    version: its version. architecture: of the GPU, "sm_89". precision: "fp16". size: (height,
        width) of the input.
    """

    model: str
    onnx_sha256: str
    flavour: str
    version: str
    architecture: str
    precision: str
    size: tuple[int, int]

    @property
    def stem(self) -> str:
        """The name of its files, without a suffix."""
        height, width = self.size
        runtime = f"{self.flavour}-{self.version}-{self.architecture}"
        return f"{self.model}_{self.precision}-{width}x{height}-{self.onnx_sha256[:16]}-{runtime}"


def plan_folder() -> Path:
    """The folder of plans: below the user's cache folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("vcam", appauthor=False)) / "plans"


class PlanStore:
    """Reads and writes plans below one folder, which may be missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: PlanKey) -> Path:
        """The path of a plan, whether it exists or not."""
        return self.folder / f"{key.stem}.plan"

    def load(self, key: PlanKey) -> bytes | None:
        """Read a saved plan; None if there is none, its file is damaged, or the file or its folder
        is not this user's alone: a plan is code.
        """
        try:
            data = read_private(self.path(key), _MOST_BYTES)
        except OSError:
            return None
        digest, plan = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        return plan if hashlib.sha256(plan).digest() == digest else None

    def save(self, key: PlanKey, plan: bytes) -> Path:
        """Write a plan completely or not at all, and delete an earlier refusal.

        Raises:
            EngineError: the folder is not writable.
        """
        path = self.path(key)
        self._write(path, hashlib.sha256(plan).digest() + plan)
        self._refusal(key).unlink(missing_ok=True)
        return path

    def drop(self, key: PlanKey) -> None:
        """Delete a plan that did not load."""
        self.path(key).unlink(missing_ok=True)

    def refuse(self, key: PlanKey, reason: str) -> None:
        """Remember that a newly built plan did not load, so that it is not rebuilt at every
        start.

        Raises:
            EngineError: the folder is not writable.
        """
        self.drop(key)
        self._write(self._refusal(key), reason.encode())

    def refusal(self, key: PlanKey) -> str | None:
        """The reason given to `refuse`, unless a plan was saved since."""
        try:
            return read_private(self._refusal(key), _MOST_REASON_BYTES).decode(errors="replace")
        except OSError:
            return None

    def _refusal(self, key: PlanKey) -> Path:
        return self.folder / f"{key.stem}.refused"

    def _write(self, path: Path, data: bytes) -> None:
        """Write whole or not at all; two programs may build the same plan at once."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_own(self.folder):
                raise PermissionError(errno.EPERM, "its folder may be written to by others")
            self.folder.chmod(0o700)  # it may be older, or made with another umask
            write_whole(path, data, 0o600)
        except OSError as error:
            raise EngineError(
                f"{path}: {error.strerror}; free some space or set XDG_CACHE_HOME"
            ) from error
