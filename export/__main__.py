"""`python -m export`: train, convert, verify, plan, evaluate. Errors are one line and exit status
1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.errors import ExportError
from vcam.engine_toml import FITS
from vcam.files import write_whole

if TYPE_CHECKING:
    from export.evaluation.confusion import Confusion
    from export.evaluation.measures import Score

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Train networks and turn them into engines."
)

data_app = typer.Typer(no_args_is_help=True, help="Check data folders.")
app.add_typer(data_app, name="data")
_PROBLEMS_SHOWN = 20

_Model = Annotated[str, typer.Argument(help="Name of the network, for example sinet.")]
_Folder = Annotated[Path, typer.Argument(help="An engine folder.")]
_Images = Annotated[
    Path | None,
    typer.Option(
        help="Pictures for parity, at least 8; default: views of the photo in the runtime."
    ),
]
_Preset = Annotated[
    str | None, typer.Option(help="Published weights by name; known files are recognised.")
]
_Data = Annotated[Path, typer.Option(help="Folder with the sets person/ccp, person/cutouts, ...")]
_FIELDS = {"compiled": "compile"}
"""Options of `train` whose field in `TrainConfig` has another name."""


@app.command()
def train(
    context: typer.Context,
    model: _Model,
    data: Annotated[
        list[Path],
        typer.Option(
            help="Folder with person/ccp, person/cutouts, ..., or of a public set; repeatable."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default export/runs/MODEL.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Length of the schedule.")] = 300_000,
    batch: Annotated[int, typer.Option(min=2)] = 32,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare samples.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out with its settings.")
    ] = False,
    init: Annotated[Path | None, typer.Option(help="Checkpoint to start from.")] = None,
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Use torch.compile.")
    ] = False,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 3e-3,
    finish: Annotated[
        bool, typer.Option("--finish", help="Last phase, with --init: pictures changed less.")
    ] = False,
    licence: Annotated[
        str, typer.Option(help="any, or clear: only pictures whose rights are clear.")
    ] = "any",
    teacher: Annotated[
        Path | None, typer.Option(help="Checkpoint or engine that labels unlabelled people.")
    ] = None,
    teacher_model: Annotated[
        str, typer.Option(help="The model of a checkpoint given as --teacher.")
    ] = "portraitnet_lite",
    consistency: Annotated[
        float, typer.Option(min=0, help="Weight of the consistency loss.")
    ] = 0.0,
    task: Annotated[
        str, typer.Option(help="person: teach a face network's encoder people first.")
    ] = "",
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Size while training; default the model's.")
    ] = None,
    occluders: Annotated[
        float, typer.Option(min=0, max=1, help="Share of faces that something covers in part.")
    ] = 0.12,
    keep_glasses: Annotated[
        bool,
        typer.Option(
            "--keep-glasses", help="Glasses of CelebAMask-HQ are skin, not taken out of the face."
        ),
    ] = False,
    distil: Annotated[
        list[Path] | None,
        typer.Option(help="Checkpoint whose mattes soften hard labels; repeatable."),
    ] = None,
    bfloat16: Annotated[
        bool,
        typer.Option(
            "--bfloat16/--no-bfloat16",
            help="Use bfloat16 on a CPU too: fast with AVX512-BF16 or AMX.",
        ),
    ] = False,
    recipe: Annotated[
        str,
        typer.Option(
            help="Train as the authors do: easyportrait, portraitnet, sinet, extremec3 or celeba."
        ),
    ] = "",
    encoder: Annotated[
        Path | None,
        typer.Option(help="Initial weights for the encoder only, for example a classifier's."),
    ] = None,
    accumulate: Annotated[
        int, typer.Option(min=1, help="Process each batch in this many parts, in turn.")
    ] = 1,
) -> None:
    """Train a network; stop it at any time and continue with --resume.

    Under `torchrun --nproc_per_node N -m export train ...` N processes share each batch.
    """
    from export.training.config import TrainConfig, as_begun
    from export.training.loop import train as run
    from export.training.recipes import with_recipe

    folder = out or Path(__file__).resolve().parent / "runs" / model
    config = TrainConfig(
        model,
        tuple(data),
        folder,
        samples,
        batch,
        rate,
        seed=seed,
        workers=workers,
        compile=compiled,
        finish=finish,
        task=task,
        teacher=teacher,
        teacher_model=teacher_model,
        consistency=consistency,
        licence=licence,
        size=_size(size),
        occluders=occluders,
        keep_glasses=keep_glasses,
        bfloat16=bfloat16,
        distil=tuple(distil or ()),
        recipe=recipe,
        encoder=encoder,
        accumulate=accumulate,
    )
    given = {_FIELDS.get(x, x) for x in context.params if _is_given(context, x)}
    config = as_begun(config, given) if resume else with_recipe(config, given)
    print(run(config, resume, init))


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether a parameter was on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@app.command()
def half(
    checkpoint: Annotated[Path, typer.Argument(help="Weights: .safetensors, or a torch file.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
) -> None:
    """Store weights in half precision, with the record of their training: what export/checkpoints
    keeps.
    """
    from export.weights.files import write_half

    write_half(checkpoint, out)
    print(out)


@app.command()
def average(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(help="Weights before and after the phases of one training, in order."),
    ],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the last weights; default: all equal."),
    ] = None,
) -> None:
    """Average the weights of one training: the mean is often better than each of them."""
    from export.weights.files import write_average

    write_average(checkpoints, out, share)
    print(out)


@app.command()
def convert(
    model: _Model,
    checkpoint: Annotated[Path, typer.Option(help="Weights: .safetensors, or a torch file.")],
    out: Annotated[Path | None, typer.Option(help="Engine folder; default engines/NAME.")] = None,
    images: _Images = None,
    data: Annotated[
        Path | None, typer.Option(help="Data folder: quality, and pictures for parity.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Comma-separated names, or their number.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Input size, multiples of 32.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per run, fixed.")] = 1,
    preset: _Preset = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights.")] = None,
    peers: Annotated[Path | None, typer.Option(help="Others' scores (JSON), for the card.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the engine; default the model's.")
    ] = None,
) -> None:
    """Turn a checkpoint into an engine folder: fp32 and fp16 files, engine.toml, CARD.md."""
    from export.engine.convert import ENGINES, ConvertConfig
    from export.engine.convert import convert as run
    from export.onnx.face_engines import FACE_ENGINES

    folder = out or ENGINES / (name or model)
    if model in FACE_ENGINES:
        from export.engine.faces import FaceConvertConfig, convert_faces

        if any((classes, size, preset, licence, peers, name, batch > 1)):
            raise ExportError(
                f"{model}: converted as published; only --checkpoint, --out, --images and --data "
                "apply"
            )
        print(
            convert_faces(FaceConvertConfig(FACE_ENGINES[model], checkpoint, folder, images, data))
        )
        return
    config = ConvertConfig(
        model,
        checkpoint,
        folder,
        _size(size),
        preset,
        images,
        data,
        licence,
        classes,
        batch,
        peers,
        name,
    )
    print(run(config))


@app.command()
def torchscript(
    model: _Model,
    checkpoint: Annotated[Path, typer.Option(help="Weights: .safetensors, or a torch file.")],
    out: Annotated[Path, typer.Option(help="The .pt file to write.")],
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Input size, multiples of 32.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Comma-separated names, or their number.")
    ] = None,
    preset: _Preset = None,
) -> None:
    """Write a checkpoint as TorchScript, with the engine's inputs and outputs."""
    from export.engine.torchscript import ScriptConfig, write_script

    config = ScriptConfig(model, checkpoint, out, _size(size), preset, classes)
    print("\n".join(write_script(config)))


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ExportError(f"--size {text!r}: give HEIGHTxWIDTH, for example 224x224")
    return int(height), int(width)


@app.command()
def verify(
    folder: _Folder,
    images: _Images = None,
    data: Annotated[Path | None, typer.Option(help="Data folder with pictures for parity.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Also compare with torch.")] = None,
    preset: _Preset = None,
) -> None:
    """Check an engine folder against its engine.toml, and recompute parity."""
    from export.engine.verify import VerifyConfig
    from export.engine.verify import verify as run

    print("\n".join(run(VerifyConfig(folder, images, data, checkpoint, preset))))


@app.command()
def plan(folder: _Folder) -> None:
    """Build the TensorRT plans of an engine folder for this machine's GPU, into the user's
    cache.
    """
    from export.engine.plan import plan as run

    for line in run(folder):
        print(line)


@app.command()
def evaluate(
    engine: Annotated[
        Path, typer.Argument(help="An engine folder, an .onnx file, or a MediaPipe .tflite file.")
    ],
    data: Annotated[list[Path], typer.Option(help="Folder with test pictures; repeatable.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the scores to this file.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many pictures of each set; no clips.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write the 24 worst pictures to this file (PNG or JPEG): output, and errors."
        ),
    ] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="Write a CSV file with a line for each picture.")
    ] = None,
    confusion: Annotated[
        Path | None,
        typer.Option(help="Write a CSV file: pixels of each set by label and output."),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(help="Folder for plots: confusion, IoU by class and by condition."),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Process whole pictures instead of squares around faces."),
    ] = False,
    fit: Annotated[
        str | None,
        typer.Option(
            help="How pictures get into the input: stretch, letterbox, corner; default the "
            "engine's."
        ),
    ] = None,
) -> None:
    """Measure an engine on the test splits of data folders."""
    from export.evaluation.confusion import Confusion
    from export.evaluation.engines import open_engine
    from export.evaluation.pictures import Pictures
    from export.evaluation.plots import write_plots
    from export.evaluation.still import evaluate as run

    files = {"json": json_file, "sheet": sheet, "list": list_file, "confusion": confusion}
    _check_places(files | {"plots": plots})
    if fit is not None and fit not in FITS:
        raise ExportError(f"--fit {fit}: give one of {', '.join(FITS)}")
    opened = open_engine(engine, fit)
    matrices = Confusion(getattr(opened, "classes", ()))
    pictures = Pictures(confusion=matrices)
    scores = [score for folder in data for score in run(opened, folder, limit, pictures, whole)]
    print("\n".join(_score_lines(scores, matrices)))
    if json_file:
        over_sets = {name: asdict(matrices.score(name)) for name in matrices.matrices}
        found = {"engine": engine.name, "scores": [x.row() for x in scores], "over_sets": over_sets}
        write_whole(json_file, json.dumps(found, indent=1) + "\n")
    writers = ((list_file, pictures.write_list), (sheet, pictures.write_sheet))
    for path, write in (*writers, (confusion, matrices.write)):
        if path:
            write(path)
    if plots:
        print("\n".join(map(str, write_plots(plots, matrices, scores))))


def _check_places(files: Mapping[str, Path | None]) -> None:
    """Refuse options whose files cannot be written, before any work."""
    for option, path in files.items():
        if path and not path.resolve().parent.is_dir():
            raise ExportError(f"--{option} {path}: no such folder; make it first")
    sheet = files["sheet"]
    if sheet and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ExportError(f"--sheet {sheet}: give a name that ends with .png or .jpg")


def _score_lines(scores: Sequence[Score], matrices: Confusion) -> Iterator[str]:
    """A line for each score, then one for each set as mmsegmentation counts it."""
    for x in scores:
        where = f"{x.set} ({x.condition})" if x.condition else x.set
        pooled = "" if x.pooled is None else f"  over the set {x.pooled:.4f}"
        means = f"mean over pictures {x.mean:.4f}  median {x.median:.4f}"
        yield f"{where:52} {x.metric:14} {x.images:4} pictures  {means}{pooled}"
    for name in matrices.matrices:
        over = matrices.score(name)
        parts = zip(over.classes, over.iou, strict=True)
        each = ", ".join(f"{part} {x:.4f}" for part, x in parts if x is not None)
        yield (
            f"{name}: mIoU over the set, as mmsegmentation counts it, {over.miou:.4f} ({each}); "
            f"mAcc {over.mean_accuracy:.4f}, aAcc {over.all_accuracy:.4f}"
        )


@app.command()
def info(
    engine: Annotated[Path, typer.Argument(help="An engine folder, or an .onnx file.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Describe an engine: size, parameters, multiply-adds, classes, origin."""
    from export.engine.info import info as run
    from export.engine.info import lines_of

    found = run(engine)
    print(json.dumps(found, indent=1) if as_json else "\n".join(lines_of(found)))


@data_app.command("check")
def check_data(
    folder: Annotated[Path, typer.Argument(help="A data folder, or one set.")],
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write pictures with their labels to this file (PNG or JPEG)."),
    ] = None,
) -> None:
    """Read every picture and label of a data folder; count them, and report errors.

    The exit status is 1 if there are errors.
    """
    from export.data.check import check_folder, write_problem_sheet

    found = []
    for one in check_folder(folder):
        print(one.line(), flush=True)
        for problem in one.problems[:_PROBLEMS_SHOWN]:
            print(f"  {problem}")
        if len(one.problems) > _PROBLEMS_SHOWN:
            print(f"  and {len(one.problems) - _PROBLEMS_SHOWN} more")
        found.append(one)
    if sheet:
        write_problem_sheet(sheet, found)
    if any(one.problems for one in found):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; exit status 1 after an error, which is one line."""
    try:
        app()
    except (ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
