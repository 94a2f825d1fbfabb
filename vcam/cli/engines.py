"""`vcam engines`: list, verify, and build plans."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vcam.catalogue import EngineSpec, find_engine
from vcam.cli.options import AsJson, Engines, Verbose, print_json
from vcam.errors import EngineError, UsageError
from vcam.text import one_line

app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")


@app.callback()
def list_engines(
    context: typer.Context, engines: Engines = None, json: AsJson = False, verbose: Verbose = False
) -> None:
    """List the engines.

    Examples:

    ```sh
    vcam engines --json
    # compare every file with what `engine.toml` says of it
    vcam engines verify
    # make its TensorRT plan now instead of at the first use
    # compare every file with its `engine.toml`
    ```
    """
    if context.invoked_subcommand is not None:
        return
    rows = [
        {
            "name": spec.name,
            "task": spec.task,
            "input": f"{spec.size[1]}x{spec.size[0]}",
            "file": str(spec.path),
            "licence": spec.about.get("licence", ""),
            "rights": spec.about.get("training", {}).get("rights", ""),
            "quality": spec.about.get("quality", {}),
        }
        for spec in _all(engines)
    ]
    if json:
        print_json(rows)
        return
    for row in rows:
        seen = f", rights of its training pictures: {row['rights']}" if row["rights"] else ""
        licence = one_line(f"{row['licence']}{seen}")
        print(f"{row['name']:<24}{row['task']:<11}{row['input']:<10}{licence}")


def _all(engines: list[Path] | None) -> list[EngineSpec]:
    from vcam.catalogue import all_engines

    return all_engines(tuple(engines or ()))


@app.command()
def verify(engines: Engines = None, verbose: Verbose = False) -> None:
    """Compare the sha256 of every engine with its `engine.toml`. Exit status 1 if one differs.

    Example: `vcam engines verify`
    """
    failed = False
    for spec in _all(engines):
        try:
            spec.verify()
        except EngineError as error:
            failed = True
            print(f"vcam: {one_line(error)}", file=sys.stderr)
        else:
            print(f"{spec.name:<24}ok")
    if failed:
        raise typer.Exit(1)


@app.command()
def build(
    names: Annotated[
        list[str], typer.Argument(help="Engines, as `vcam engines` lists them.", show_default=False)
    ],
    engines: Engines = None,
    verbose: Verbose = False,
) -> None:
    """Build the TensorRT plans of engines for this machine's GPU, and load each once.

    Example: `vcam engines build sinet_fp16`
    """
    from vcam.backends.gpu_stack import GpuStack
    from vcam.backends.tensorrt import build_plan_ahead
    from vcam.catalogue import engine_folders
    from vcam.cli.display import progress

    folders = engine_folders(tuple(engines or ()))
    specs = [find_engine(name, folders) for name in names]
    found = GpuStack().probe()
    if found.gpu is None:
        raise UsageError(f"no plan can be built here: {found.reason}")
    for spec in specs:
        with progress(f"{spec.name}: building its plan, percent", 100) as step:
            about = build_plan_ahead(spec, step)
        print(f"{spec.name:<24}{about['runtime']}, {about['gpu']}, {about['plan']}")
