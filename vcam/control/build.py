"""Build a controllable run from the user's options."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from vcam.assemble import USUAL_SIZE, RunRequest, build_run, open_matter
from vcam.catalogue import all_engines
from vcam.control.actions import Actions, House
from vcam.control.control import Control, Parts, made_effect
from vcam.control.costs import Costs
from vcam.control.gallery import Gallery
from vcam.control.settings import Settings
from vcam.control.tap import Tap
from vcam.control.wanted import wanted_of
from vcam.matting.matter import MatteEngine
from vcam.pipeline.pipeline import Pipeline
from vcam.sources import make_source


def controlled_run(request: RunRequest) -> tuple[Pipeline, int | None, Control]:
    """Build a pipeline; also return the number of frames, or None if unknown, and its control.

    Raises:
        VcamError: see `vcam.assemble.build_run`.
    """
    wanted = wanted_of(
        {
            "effect": request.effects,
            "source": request.source,
            "engine": request.engine,
            "mirror": request.mirror,
            "grow": request.grow_px,
            "feather": request.feather_px,
        }
    )
    effects = [made_effect(worn) for worn in wanted.effects]
    tap = Tap()
    pipeline, total = build_run(request, own_effects=effects, on_sent=tap.offer)

    def make_matter(engine: str) -> MatteEngine:
        return open_matter(
            engine,
            request.engines,
            request.backend,
            request.threads,
            patient=False,
            size=request.size or USUAL_SIZE,
            fps=request.fps if pipeline.is_live else None,
        )

    return pipeline, total, Control(pipeline, wanted, effects, Parts(make_matter, make_source), tap)


def open_run(
    source: str = "webcam",
    sink: str = "virtual",
    effects: Sequence[str] = ("blur",),
    **options: Any,
) -> Control:
    """Make a run that `set` can change, not started yet; use it as a context manager.

    Args:
        source: a value of `--source`.
        sink: a value of `--sink`; "page" is a live sink that no program reads.
        effects: values of `--effect`.
        options: other fields of `vcam.assemble.RunRequest`, such as `engine` or `fps`.

    Raises:
        VcamError: see `vcam.assemble.build_run`.
    """
    return controlled_run(RunRequest(source, sink, tuple(effects), **options))[2]


def actions_of(
    control: Control,
    request: RunRequest,
    settings: Settings,
    devices: Callable[[], dict[str, Any]],
    version: str,
) -> Actions:
    """The operations on a run, with this user's gallery and this machine's costs."""
    own = Path(platformdirs.user_data_dir("vcam", appauthor=False)) / "backgrounds"
    cache = Path(platformdirs.user_cache_dir("vcam", appauthor=False))
    words: Sequence[str] = [sys.executable, "-m", "vcam"]
    options = ["--backend", request.backend]
    for folder in request.engines:
        options += ["--engines", str(folder)]
    house = House(words, lambda: all_engines(request.engines), options, settings, devices, version)
    gallery = Gallery(own, cache / "backgrounds")
    return Actions(control, house, gallery, Costs(words, cache / "engine-costs.json", version))
