"""The common part of TensorRT 10, TensorRT 11 and TensorRT-RTX, whichever is installed, and their
log messages.

All three take strongly typed networks: the precision is in the ONNX graph, and no builder flag
changes it. Import nothing from here before `vcam.backends.probe` has found a GPU, unless only
TensorRT-RTX is to build a plan.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vcam.backends.cuda import INSTALL
from vcam.errors import EngineError

_LOG = logging.getLogger(__name__)
FLAVOURS = ("tensorrt", "tensorrt_rtx")
UNIMPORTANT = "checkMacros.cpp"
"""Part of the messages with which TensorRT-RTX reports a missing driver, which it does not need for
building.
"""


@dataclass(frozen=True, slots=True)
class TensorRt:
    """An imported TensorRT. flavour: the name it is imported by; module: that module."""

    flavour: str
    version: str
    module: Any


def load_tensorrt(
    flavours: tuple[str, ...] = FLAVOURS, load: Callable[[str], Any] = importlib.import_module
) -> TensorRt:
    """Import the first of these that is installed.

    Raises:
        EngineError: none is installed, or its libraries are missing.
    """
    broken = ""
    for flavour in flavours:
        try:
            module = load(flavour)
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError) as error:
            broken = (
                broken or f"{flavour} is installed but does not load ({str(error).splitlines()[0]})"
            )
            continue
        return TensorRt(flavour, str(module.__version__), module)
    raise EngineError(broken or f"TensorRT is not installed; {INSTALL}")


class Messages:
    """TensorRT's log: passed on to `logging`; errors are also kept.

    logger: the object to give to TensorRT; it must outlive everything made with it.
    """

    def __init__(self, trt: TensorRt) -> None:
        self.errors: list[str] = []
        self.logger = _make_logger(trt.module, self._take)

    def _take(self, severity: str, message: str) -> None:
        if severity in ("INTERNAL_ERROR", "ERROR") and UNIMPORTANT not in message:
            self.errors.append(message.strip().splitlines()[0])
        if severity not in ("INFO", "VERBOSE"):
            _LOG.debug("%s: %s", severity, message)

    def because(self, fallback: str) -> str:
        """The first error, else the fallback, for an error message."""
        return self.errors[0] if self.errors else fallback


def _make_logger(module: Any, take: Callable[[str, str], None]) -> Any:
    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            take(severity.name, message)

    return Logger()
