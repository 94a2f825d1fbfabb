"""`vcam bench`: the speed of engines and of the pipeline on this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vcam.catalogue import DEFAULT_ENGINE, DEFAULT_FACE_ENGINE, DEFAULT_FACE_MESH
from vcam.cli.options import (
    AsJson,
    Backend,
    EffectList,
    Engine,
    Engines,
    FaceEngine,
    FaceMesh,
    Faces,
    SizeOption,
    Threads,
    Verbose,
    parse_size,
    print_json,
)
from vcam.errors import UsageError


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
        parse_size(size),
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
