"""The commands `run`, `mask`, `bench` and `devices`, and the settings that every command shares."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vcam import __version__
from vcam.catalogue import AUTO_ENGINE, DEFAULT_ENGINE, DEFAULT_FACE_ENGINE, DEFAULT_FACE_MESH
from vcam.cli import control as cli_control
from vcam.cli import doctor as cli_doctor
from vcam.cli import engines as cli_engines
from vcam.cli import service as cli_service
from vcam.cli.options import (
    OUTLINES,
    AsJson,
    Backend,
    Engine,
    Engines,
    FaceEngine,
    FaceMesh,
    Faces,
    MaskCommand,
    RunThreads,
    Threads,
    Verbose,
    known_settings,
    print_json,
)
from vcam.cli.signals import stopped_by
from vcam.effects import EFFECTS
from vcam.errors import UsageError

if TYPE_CHECKING:
    from vcam.monitor import Snapshot
    from vcam.sources.base import Source

_FIRST = ("run", "devices", "doctor", "setup", "mask", "engines", "bench")
"""Commands that the help lists first, in this order."""


class _Commands(TyperGroup):
    """Lists commands in order of use."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else 99)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"auto_envvar_prefix": "VCAM", "help_option_names": ["-h", "--help"]},
    help="A webcam with a better background: blur it, replace it, remove it.",
    epilog=(
        "Start with `vcam run`. Without a camera: `vcam run --source demo --sink demo.mp4`."
        " Every option can also be set in a file or in the environment: see docs/settings.md."
    ),
)

app.add_typer(cli_engines.app, name="engines")
app.command()(cli_doctor.doctor)
app.command()(cli_doctor.setup)
app.add_typer(cli_service.app, name="service")
app.command()(cli_service.status)
cli_control.register(app)
EffectList = Annotated[
    list[str] | None,
    typer.Option(
        "--effect",
        "-e",
        metavar="NAME[:KEY=VALUE,...]",
        help=(
            "For the room: blur[:STRENGTH], image:FILE, video:FILE, color[:#RRGGBB],"
            " remove[:#RRGGBB], none. For faces: teeth[:STRENGTH], skin[:STRENGTH],"
            " eyes:COLOR[,strength=S], redeye, lips:COLOR[,strength=S], brows, blush,"
            " eyeshadow (as lips), concealer[:STRENGTH]. Repeatable; face effects come first."
            " Without a room effect, the room is blurred."
        ),
    ),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="WxH", help="Frame size; the picture is cropped, never stretched."
    ),
]
Grow = Annotated[
    float,
    typer.Option(
        min=-64, max=64, help="Grow the person by N pixels; a negative number shrinks it."
    ),
]
Feather = Annotated[
    float, typer.Option(min=0, max=64, help="Soften the edge of the person over N pixels.")
]


def _print_version(on: bool) -> None:
    if on:
        print(f"vcam {__version__}")
        raise typer.Exit


@app.callback()
def _settings(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file (TOML); default: config.toml in the user's folder."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Use the options of `[profile.NAME.*]` in the settings file.")
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            allow_from_autoenv=False,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    from vcam.config import read_defaults

    try:
        context.default_map = read_defaults(config, profile, known_settings(context))
    except UsageError:
        if context.invoked_subcommand not in cli_control.WORK_WITHOUT_SETTINGS:
            raise


@app.command(epilog="\n".join(f"- `{name}`: {spec.help}" for name, spec in EFFECTS.items()))
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
            "--strip", help="Write pictures without EXIF and colour profile, in sRGB colours."
        ),
    ] = False,
    recursive: Annotated[bool, typer.Option("--recursive", help="Include subfolders.")] = False,
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
        size=_parse_size(size),
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
        announced = cli_service.announced_run(pipeline, control)
        announcer = stack.enter_context(Reporter("announce", announced))
        shown = opened_status(Status(sink, total, pipeline.engine))
        status = stack.enter_context(Reporter("display", shown))

        def tick(source: Source, now: Snapshot) -> None:
            status.tick(source, now)
            announcer.tick(source, now)

        ticking: cli_service.Tick = tick
        if pipeline.is_live or ui or metrics:
            ticking = stack.enter_context(
                cli_control.controlled(
                    context, control, request, tick, page=ui, port=ui_port, metrics=metrics
                )
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


@app.command()
def devices(json: AsJson = False, verbose: Verbose = False) -> None:
    """List cameras with their modes, and virtual cameras.

    Example: `vcam devices --json`
    """
    from vcam.cli.devices import describe, find_devices

    found = find_devices()
    if json:
        print_json(found.to_dict())
        return
    for line in describe(found):
        print(line)


@app.command(cls=MaskCommand)
def mask(
    images: Annotated[
        list[str],
        typer.Argument(help="Pictures, films, folders or patterns of them.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the masks; created.")],
    engine: Engine = AUTO_ENGINE,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Minimum share of person, or of the class."),
    ] = None,
    heatmap: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS", help="Soft values 0..255 of a class: person; face, lips, teeth ..."
        ),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="With a face engine: the number of each class, 0..8.")
    ] = False,
    palette: Annotated[
        str | None,
        typer.Option(
            metavar="[NAME]",
            help="With a face engine: a colour for each class, vcam or easyportrait; and a legend.",
        ),
    ] = None,
    landmarks: Annotated[
        bool, typer.Option("--landmarks", help="The 478 points of each face, as JSON.")
    ] = False,
    overlay: Annotated[
        str,
        typer.Option(
            metavar="[OPACITY]",
            help="The mask over the picture, 0..1; without a number: the outlines of its faces.",
        ),
    ] = "",
    film: Annotated[
        str,
        typer.Option(
            help="Of films: mp4 and mkv are grey; mov (ProRes 4444) and webm (VP9) are the film"
            " with the mask as transparency."
        ),
    ] = "mp4",
    suffix: Annotated[
        str, typer.Option(metavar="TEXT", help="Text after each file's stem, for instance _lips.")
    ] = "",
    recursive: Annotated[bool, typer.Option("--recursive", help="Include subfolders.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace masks that exist.")
    ] = False,
    backend: Backend = "auto",
    threads: Threads = 1,
    engines: Engines = None,
    verbose: Verbose = False,
) -> None:
    """Write a mask of the people in each picture, an 8-bit PNG of the picture's own size and stem,
    and in each film, a film of its own length.

    Examples:

    ```sh
    vcam mask photo.jpg --out masks
    vcam mask holiday/ --out masks --heatmap person
    # the picture with people coloured
    vcam mask photo.jpg --out masks --overlay 0.5
    # a film with transparency
    vcam mask talk.mp4 --out masks --film mov
    # the parts of faces: 0 background, 1 person, 2 skin, 3 left brow, 4 right
    # brow, 5 left eye, 6 right eye, 7 lips, 8 teeth
    vcam mask photo.jpg --out masks --engine portraitnet_face_fp32 --labels
    # the points of faces in faces/photo.json, and the picture with their
    # outlines in faces/photo.png
    vcam mask photo.jpg --out faces --landmarks --overlay
    ```
    """
    from vcam.cli.mask import FILM_SUFFIXES, MaskRequest, kind_of, run_masks

    outlines = overlay == OUTLINES
    kind = kind_of(labels, palette, heatmap, threshold, overlay)
    others = {
        "--labels": labels,
        "--palette": palette is not None,
        "--heatmap": heatmap is not None,
        "--threshold": threshold is not None,
        "--overlay with a number": kind.overlay is not None,
    }
    if landmarks and (given := [name for name, on in others.items() if on]):
        raise UsageError(f"--landmarks goes with --overlay alone, not with {' and '.join(given)}")
    if film not in FILM_SUFFIXES:
        raise UsageError(f"--film {film}: unknown; known: {', '.join(FILM_SUFFIXES)}")
    request = MaskRequest(
        tuple(images),
        out,
        kind,
        landmarks,
        outlines,
        film,
        suffix,
        recursive,
        overwrite,
        engine,
        tuple(engines or ()),
        backend,
        threads,
    )
    run_masks(request, stopped_by)


@app.command()
def bench(
    engine: Engine = DEFAULT_ENGINE,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Measure the whole pipeline, without decoding.")
    ] = False,
    all: Annotated[  # noqa: A002 - the settings file and environment use this name
        bool, typer.Option("--all", help="Measure every engine on every backend, in turns.")
    ] = False,
    effect: EffectList = None,
    source: Annotated[
        str, typer.Option("--source", "-s", help="With --pipeline: a file, or demo.")
    ] = "demo",
    size: SizeOption = None,
    runs: Annotated[int, typer.Option(min=1, help="Images, or frames with --pipeline.")] = 500,
    live: Annotated[
        float | None,
        typer.Option(
            min=1, max=240, metavar="FPS", help="With --pipeline: frames arrive as from a camera."
        ),
    ] = None,
    face_engine: FaceEngine = DEFAULT_FACE_ENGINE,
    face_mesh: FaceMesh = DEFAULT_FACE_MESH,
    faces: Faces = 2,
    backend: Backend = "auto",
    threads: Threads = 1,
    engines: Engines = None,
    json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure speed on this machine.

    Examples:

    ```sh
    vcam bench --engine sinet_fp32
    # a table of engines and backends, with reasons where there is no number
    vcam bench --all
    vcam bench --pipeline --effect blur --source talk.mp4
    vcam bench --pipeline --live 30  # latency from source to sink
    ```
    """
    from vcam.bench.requests import (
        BenchRequest,
        run_engine_bench,
        run_pipeline_bench,
        run_table_bench,
    )
    from vcam.bench.table import ROUNDS, table_lines
    from vcam.cli.display import progress
    from vcam.process import set_up_process

    set_up_process()
    request = BenchRequest(
        engine,
        tuple(engines or ()),
        backend,
        threads,
        runs,
        tuple(effect or ("blur",)),
        source,
        _parse_size(size),
        live,
        face_engine,
        face_mesh,
        faces,
    )
    if pipeline and all:
        raise UsageError("--all measures engines by themselves; leave out --pipeline")
    if pipeline:
        with progress("frames", runs) as step:
            report = run_pipeline_bench(request, step)
    elif all:
        with progress("rounds", ROUNDS) as step:
            report = run_table_bench(request, step)
    else:
        report = run_engine_bench(request)
    if json:
        print_json(report)
    elif all:
        print("\n".join(table_lines(report)))
    else:
        _print_report(report)


def _print_report(report: dict[str, Any], indent: str = "") -> None:
    for key, value in report.items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            _print_report(value, indent + "  ")
        else:
            print(f"{indent}{key:<14} {f'{value:.2f}' if isinstance(value, float) else value}")


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, x, height = text.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--size {text!r}: write WIDTHxHEIGHT, for instance 1280x720")
    size = (int(width), int(height))
    if any(n < 16 or n > 7680 or n % 2 for n in size):
        raise UsageError(
            f"--size {text}: both must be even, from 16 to 7680; try"
            f" {size[0] // 2 * 2}x{size[1] // 2 * 2}"
        )
    return size
