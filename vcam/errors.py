"""Every error that vcam raises on purpose.

VcamError
├── UsageError        the request is impossible: unknown name, bad value, bad combination
├── SourceError       a camera, file or stream cannot be opened or read
│   └── SourceLost    it could be read before, and no longer can (unplugged, truncated, stream gone)
├── EngineError       an engine is missing, corrupt, or fails to run
├── SinkError         a virtual camera or file cannot be opened or written
│   └── SinkLost      it could be written before, and no longer can (device removed, disk full)
└── StageError        a pipeline thread failed; `stage` names it and `__cause__` is the failure

A message is one line: the thing, the value, the next step.

`MatteMissing` is no VcamError: it is a bug, and nothing outlives it.
"""

from __future__ import annotations


class VcamError(Exception):
    """Base of all errors that the command line shows as one line."""


class UsageError(VcamError):
    """The request itself cannot be carried out."""


class SourceError(VcamError):
    """A source cannot be opened or read."""


class SourceLost(SourceError):  # noqa: N818  - the tree above reads better so
    """A source that delivered frames no longer does."""


class EngineError(VcamError):
    """An engine is missing, corrupt, or fails to run."""


class SinkError(VcamError):
    """A sink cannot be opened or written."""


class SinkLost(SinkError):  # noqa: N818
    """A sink that took frames no longer does."""


class StageError(VcamError):
    """A pipeline thread failed.

    Args:
        stage: "capture", "infer", "face" or "compose".
        cause: what it raised; also set as `__cause__`.
    """

    def __init__(self, stage: str, cause: BaseException) -> None:
        super().__init__(f"{stage}: {cause}")
        self.stage = stage
        self.__cause__ = cause


class MatteMissing(Exception):  # noqa: N818
    """A frame came without the matte that its effects need: a bug. The frame is not shown."""

    def __init__(self) -> None:
        super().__init__("a frame came without its matte; it is not shown; please report this bug")
