"""`python -m export`: train, convert, verify, evaluate. Errors are one line and exit status 1."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from export.errors import ExportError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train networks and turn them into engines.")

_Model = Annotated[str, typer.Argument(help="Name of the network, for example sinet.")]
_Data = Annotated[Path, typer.Option(help="Folder with the sets person/ccp, person/cutouts, ...")]


@app.command()
def train(
    model: _Model,
    data: _Data,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default export/runs/MODEL.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Length of the schedule.")] = 300_000,
    batch: Annotated[int, typer.Option(min=2)] = 32,
    seed: int = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare samples.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    init: Annotated[Path | None, typer.Option(help="Checkpoint to start from.")] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
) -> None:
    """Train a network; stop it at any time and go on with --resume."""
    from export.train import TrainConfig
    from export.train import train as run

    folder = out or Path(__file__).resolve().parent / "runs" / model
    config = TrainConfig(model, data, folder, samples, batch, seed=seed, workers=workers, compile=compiled)
    print(run(config, resume, init))


@app.command()
def convert(
    model: _Model,
    checkpoint: Annotated[Path, typer.Option(help="Weights: .safetensors, or a torch file.")],
    out: Annotated[Path | None, typer.Option(help="Engine folder; default engines/MODEL.")] = None,
    images: Annotated[Path | None, typer.Option(help="Pictures for the parity check, at least 8.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder: quality, and pictures for parity.")] = None,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Input size, multiples of 32.")] = None,
    preset: Annotated[str | None, typer.Option(help="Published weights by name; known files are recognised.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, where they are ours.")] = "Apache-2.0",
) -> None:
    """Turn a checkpoint into an engine folder."""
    from export.convert import ENGINES, ConvertConfig
    from export.convert import convert as run

    config = ConvertConfig(model, checkpoint, out or ENGINES / model, _size(size), preset, images, data, licence)
    print(run(config))


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ExportError(f"--size {text!r}: give HEIGHTxWIDTH, for example 224x224")
    return int(height), int(width)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="An engine folder.")]) -> None:
    """Check an engine folder against its engine.toml."""
    from export.verify import verify as run

    print("\n".join(run(folder)))


@app.command()
def evaluate(
    engine: Annotated[Path, typer.Argument(help="An engine folder, an .onnx file, or a MediaPipe .tflite file.")],
    data: _Data,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores there, too.")] = None,
) -> None:
    """Measure an engine on the test splits of a data folder."""
    from export.evaluate import evaluate as run
    from export.evaluate import open_matting

    scores = run(open_matting(engine), data)
    for x in scores:
        print(f"{x.set:28} {x.metric:12} {x.images:4} pictures  mean {x.mean:.4f}  median {x.median:.4f}")
    if json_file:
        text = json.dumps({"engine": engine.name, "scores": [asdict(x) for x in scores]}, indent=1)
        json_file.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Run the command line; exit status 1 after an error, which is one line."""
    try:
        app()
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
