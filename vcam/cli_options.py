"""Options that several commands have, and how commands print JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Say what runs the engine and why; show where in the program an error came from."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Engine = Annotated[str, typer.Option(help="Engine, as `vcam engines` lists them.")]
FaceEngine = Annotated[str, typer.Option(help="Engine that parses faces, for face effects.")]
Faces = Annotated[int, typer.Option(min=1, max=16, help="Faces that face effects change, the largest first.")]
Engines = Annotated[
    list[Path] | None, typer.Option("--engines", envvar="VCAM_ENGINES", help="Another folder of engines; repeatable.")
]
Backend = Annotated[
    str,
    typer.Option(
        help="What runs the engine: onnxruntime, onnxruntime-cuda, tensorrt, openvino, or auto: TensorRT if it can, "
        "else ONNX Runtime on the GPU, else on the CPU."
    ),
]
Threads = Annotated[int, typer.Option(min=1, max=64, help="Threads that one image is computed with, on a CPU.")]


def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(value, indent=1))
