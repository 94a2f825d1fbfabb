"""All errors that vcam raises on purpose.

VcamError
├── UsageError        the request is impossible: unknown name, bad value, bad combination
├── SourceError       a camera, file or stream cannot be opened or read
│   └── SourceLost    it could be read before, and no longer can (unplugged, truncated, stream gone)
├── EngineError       an engine is missing, corrupt, or fails to run
├── SinkError         a virtual camera or file cannot be opened or written
│   └── SinkLost      it could be written before, and no longer can (device removed, disk full)
└── StageError        a pipeline thread failed; `stage` names it and `__cause__` is the failure

A message is one line: the object, the value, the next step.

`MatteMissing` is not a VcamError: it is a bug, and it always ends the run.
"""

from __future__ import annotations

from vcam.text import one_line


class VcamError(Exception):
    """Base of all errors that the command line shows as one line."""


class UsageError(VcamError):
    """The request itself cannot be carried out."""


class SourceError(VcamError):
    """A source cannot be opened or read."""


class SourceLost(SourceError):  # noqa: N818  - the tree above reads better so
    """A source that delivered frames stopped delivering them."""


class EngineError(VcamError):
    """An engine is missing, corrupt, or fails to run."""


class SinkError(VcamError):
    """A sink cannot be opened or written."""


class SinkLost(SinkError):  # noqa: N818
    """A sink that accepted frames stopped accepting them."""


class StageError(VcamError):
    """A pipeline thread failed.

    Args:
        stage: "capture", "infer", "face" or "compose".
        cause: the exception; also set as `__cause__`.
    """

    def __init__(self, stage: str, cause: BaseException) -> None:
        super().__init__(f"{stage}: {explained(cause)}")
        self.stage = stage
        self.__cause__ = cause


class MatteMissing(Exception):  # noqa: N818
    """A frame came without the matte that its effects need: a bug. The frame is not shown."""

    def __init__(self) -> None:
        super().__init__("a frame came without its matte; it is not shown; please report this bug")


MachineError = OSError | MemoryError
"""Errors of the machine rather than the program: no memory, too many open files. They may pass."""


def explained(error: BaseException) -> str:
    """Explain an exception to the user: one line with the next step."""
    if isinstance(error, VcamError):
        return one_line(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory; close other programs, or use a smaller --size"
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        said = error.strerror or str(error) or type(error).__name__
        return one_line(f"{name}{said}; run it again with --verbose to see where")
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return one_line(
        f"a mistake in vcam ({said}); run it again with --verbose and report what it shows"
    )
