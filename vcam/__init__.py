"""vcam: a webcam with a better background.

    import vcam

    with vcam.open_engine() as engine:
        alpha = engine.alpha(rgb)                          # one picture: uint8 [H, W]
    better = vcam.apply(rgb, ["blur:0.7", "teeth"])        # one picture with effects
    with vcam.open_pipeline("webcam", "virtual", ["blur"]) as run:
        run.set_effects(["image:beach.jpg"])               # while it runs
        run.wait()

    with vcam.open_run("webcam", "virtual", ["blur"]) as run:
        run.set("blur.strength", 0.7)                      # by the keys of `vcam set`
        for event in run.events():
            print(event)

Names are imported on first use, so `import vcam` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from vcam import limits, telemetry

__version__ = "0.1.0"

# before any other part of vcam imports a library that sends telemetry
telemetry.switch_off()
limits.set_max_pixels()

if TYPE_CHECKING:
    from vcam.api import (
        ArraySource,
        CallbackSink,
        Engine,
        apply,
        apply_all,
        open_engine,
        open_pipeline,
    )
    from vcam.control.build import open_run
    from vcam.control.control import Control
    from vcam.effects import EffectSpec, register_effect
    from vcam.effects.base import Effect, Scene, Stateless
    from vcam.effects.params import Param
    from vcam.errors import (
        EngineError,
        MatteMissing,
        SinkError,
        SinkLost,
        SourceError,
        SourceLost,
        StageError,
        UsageError,
        VcamError,
    )
    from vcam.frame import Frame, Matrix
    from vcam.monitor import Snapshot, State
    from vcam.pipeline.pipeline import Pipeline
    from vcam.sinks import register_sink
    from vcam.sinks.base import Sink, SinkRequest
    from vcam.sources import register_source
    from vcam.sources.base import Source, SourceRequest
    from vcam.sources.image import read_image

__all__ = [
    "ArraySource",
    "CallbackSink",
    "Control",
    "Effect",
    "EffectSpec",
    "Engine",
    "EngineError",
    "Frame",
    "Matrix",
    "MatteMissing",
    "Param",
    "Pipeline",
    "Scene",
    "Sink",
    "SinkError",
    "SinkLost",
    "SinkRequest",
    "Snapshot",
    "Source",
    "SourceError",
    "SourceLost",
    "SourceRequest",
    "StageError",
    "State",
    "Stateless",
    "UsageError",
    "VcamError",
    "apply",
    "apply_all",
    "open_engine",
    "open_pipeline",
    "open_run",
    "read_image",
    "register_effect",
    "register_sink",
    "register_source",
]

_HOMES = {
    "api": "ArraySource CallbackSink Engine apply apply_all open_engine open_pipeline",
    "control.build": "open_run",
    "control.control": "Control",
    "effects": "EffectSpec register_effect",
    "effects.base": "Effect Scene Stateless",
    "effects.params": "Param",
    "errors": "EngineError MatteMissing SinkError SinkLost SourceError SourceLost StageError"
    " UsageError VcamError",
    "frame": "Frame Matrix",
    "monitor": "Snapshot State",
    "pipeline.pipeline": "Pipeline",
    "sinks": "register_sink",
    "sinks.base": "Sink SinkRequest",
    "sources": "register_source",
    "sources.base": "Source SourceRequest",
    "sources.image": "read_image",
}
_HOME = {name: f"vcam.{module}" for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'vcam' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
