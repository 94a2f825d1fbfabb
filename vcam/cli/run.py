"""`vcam run`: pictures from a source, through effects, to a sink."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from vcam.catalogue import AUTO_ENGINE, DEFAULT_FACE_ENGINE, DEFAULT_FACE_MESH
from vcam.cli.control import controlled
from vcam.cli.options import (
    AsJson,
    Backend,
    EffectList,
    Engine,
    Engines,
    FaceEngine,
    FaceMesh,
    Faces,
    Feather,
    Grow,
    Recursive,
    RunThreads,
    SizeOption,
    Verbose,
    parse_size,
    print_json,
)
from vcam.cli.service import announced_run
from vcam.cli.signals import stopped_by
from vcam.errors import UsageError

if TYPE_CHECKING:
    from vcam.cli.service import Tick
    from vcam.monitor import Snapshot
    from vcam.sources.base import Source


def run(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            "-s",
            help="webcam[:DEVICE], a file, a folder/ or pattern of files, a stream URL, demo or"
            " pattern.",
        ),
    ] = "webcam",
    sink: Annotated[
        str,
        typer.Option(
            "--sink",
            "-o",
            help="virtual[:DEVICE], a video or picture file, a folder/, page or null.",
        ),
    ] = "virtual",
    effect: EffectList = None,
    engine: Engine = AUTO_ENGINE,
    face_engine: FaceEngine = DEFAULT_FACE_ENGINE,
    face_mesh: FaceMesh = DEFAULT_FACE_MESH,
    faces: Faces = 2,
    size: SizeOption = None,
    fps: Annotated[
        float, typer.Option(min=1, max=240, help="Frame rate to request from a camera.")
    ] = 30.0,
    mirror: Annotated[bool, typer.Option("--mirror", help="Flip left and right.")] = False,
    grow: Grow = 0.0,
    feather: Feather = 0.0,
    duration: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after N seconds of video.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace the file if it exists.")
    ] = False,
    strip: Annotated[
        bool,
        typer.Option(
            "--strip", help="Write pictures without EXIF, XMP and colour profile, in sRGB colours."
        ),
    ] = False,
    recursive: Recursive = False,
    loop: Annotated[
        bool, typer.Option("--loop", help="Repeat the file endlessly, without its sound.")
    ] = False,
    name: Annotated[
        str,
        typer.Option(
            metavar="LABEL", help="Use the virtual camera of this name; `vcam devices` lists them."
        ),
    ] = "",
    always_on: Annotated[
        bool,
        typer.Option(
            "--always-on",
            help=(
                "Keep the webcam open even if no program reads the virtual camera (Linux; always so"
                " elsewhere)."
            ),
        ),
    ] = False,
    ui: Annotated[
        bool, typer.Option("--ui", help="Open a page with preview and controls in the browser.")
    ] = False,
    ui_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page on 127.0.0.1; 0: a free one.")
    ] = 0,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Serve /metrics for Prometheus, on 127.0.0.1.")
    ] = False,
    save_power: Annotated[
        bool,
        typer.Option(
            "--save-power",
            help="Compute every second picture only while nothing moves, for runs on battery.",
        ),
    ] = False,
    backend: Backend = "auto",
    threads: RunThreads = 0,
    engines: Engines = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Blur, replace or remove the room, live or in a file.

    Examples:

    ```sh
    vcam run --effect blur  # first webcam to first virtual camera
    vcam run --effect image:beach.jpg --mirror  # another room, mirrored
    # a blurred room and a touched-up face
    vcam run --effect blur --effect skin:0.4 --effect teeth
    # another camera to the virtual camera labelled "second"
    vcam run --source webcam:/dev/video2 --name second
    # a file, every frame
    vcam run --source talk.mp4 --effect blur:0.9 --sink out.mp4
    # a video with transparency
    vcam run --source talk.mp4 --effect remove --sink out.webm
    # every picture and video in a folder
    vcam run --source holiday/ --effect redeye --sink out/
    vcam run --source talk.mp4 --loop  # a video as a camera, endlessly
    vcam run --ui  # with a page that shows and changes everything
    ```
    """
    from vcam.assemble import RunRequest
    from vcam.batch import is_batch
    from vcam.cli.files import DAMAGED, announce_result, run_files
    from vcam.control.build import controlled_run
    from vcam.process import set_up_process

    set_up_process()

    request = RunRequest(
        source=source,
        sink=sink,
        effects=tuple(effect or ("blur",)),
        engine=engine,
        face_engine=face_engine,
        face_mesh=face_mesh,
        faces=faces,
        engines=tuple(engines or ()),
        backend=backend,
        threads=threads,
        size=parse_size(size),
        fps=fps,
        mirror=mirror,
        grow_px=grow,
        feather_px=feather,
        duration_s=duration,
        overwrite=overwrite,
        always_on=always_on,
        save_power=save_power,
        name=name,
        strip=strip,
        loop=loop,
    )
    if is_batch(source):
        run_files(request, recursive, json, stopped_by)
        return
    pipeline, total, control = controlled_run(request)
    ui = ui or sink == "page"
    if (ui or metrics) and not pipeline.is_live and sink != "null":
        raise UsageError(
            f"--sink {sink}: a file is made by the options alone; the page is for virtual cameras"
        )
    from vcam.cli.display import Status, opened_status
    from vcam.cli.reporting import Reporter

    with ExitStack() as stack:
        stack.enter_context(stopped_by(pipeline.stop))
        announced = announced_run(pipeline, control)
        announcer = stack.enter_context(Reporter("announce", announced))
        shown = opened_status(Status(sink, total, pipeline.engine))
        status = stack.enter_context(Reporter("display", shown))

        def tick(source: Source, now: Snapshot) -> None:
            status.tick(source, now)
            announcer.tick(source, now)

        ticking: Tick = tick
        if pipeline.is_live or ui or metrics:
            ticking = stack.enter_context(
                controlled(context, control, request, tick, page=ui, port=ui_port, metrics=metrics)
            )
        start_s = time.monotonic()
        final = pipeline.run(ticking)
    if json:
        print_json(final.to_dict())
    announce_result(sink, pipeline.written, final, time.monotonic() - start_s)
    if pipeline.has_played_out and duration is None:
        print(f"vcam: {source} has ended; --loop repeats it", file=sys.stderr)
    if pipeline.damage:
        print(f"vcam: {pipeline.damage}; {sink} holds what could be read", file=sys.stderr)
        raise typer.Exit(DAMAGED)
