"""Options shared by several commands, and JSON output."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from vcam.cli import terminal
from vcam.config import Known
from vcam.errors import SinkError, UsageError
from vcam.text import one_line


def listen(on: bool) -> bool:
    """Log the package's warnings to standard error and, if `on`, its choices and the libraries'
    own output; return the argument.
    """
    logger = logging.getLogger("vcam")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_OneLine("vcam: %(message)s"))
        logger.addHandler(handler)
    if on:
        logger.setLevel(logging.INFO)
        terminal.show_libraries()
    return on


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        callback=listen,
        help="Report choices, and show where in the program an error came from.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Engine = Annotated[str, typer.Option(help="Person engine; `vcam engines` lists them.")]
FaceEngine = Annotated[str, typer.Option(help="Engine that parses faces, for face effects.")]
FaceMesh = Annotated[
    str,
    typer.Option(
        help="Engine that fits a mesh to faces, for face effects; none: use the parser only."
    ),
]
Faces = Annotated[int, typer.Option(min=1, max=16, help="Retouch at most N faces, largest first.")]
Engines = Annotated[
    list[Path] | None,
    typer.Option("--engines", envvar="VCAM_ENGINES", help="Additional engine folder; repeatable."),
]
Backend = Annotated[
    str,
    typer.Option(
        help=(
            "Runtime of the engines: onnxruntime, onnxruntime-cuda, tensorrt, openvino, or auto:"
            " TensorRT if possible and the engine's name ends in _fp16, else ONNX Runtime on the"
            " GPU, else on the CPU."
        )
    ),
]
Threads = Annotated[int, typer.Option(min=1, max=64, help="CPU threads per picture.")]
RunThreads = Annotated[
    int,
    typer.Option(
        min=0,
        max=64,
        help="CPU threads per picture; 0: as many as the frame rate needs.",
    ),
]


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
Recursive = Annotated[bool, typer.Option("--recursive", help="Include subfolders.")]
OUTLINES = "outlines"
"""The value of `--overlay` without a number."""


_ALONE = {"--overlay": OUTLINES, "--palette": "vcam"}


class MaskCommand(TyperCommand):
    """A command with two options whose value is optional: at the end, or before another option
    or a file.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert their default values."""
        filled: list[str] = []
        for word, following in zip(args, [*args[1:], "-"], strict=False):
            filled.append(word)
            if word in _ALONE and (following.startswith("-") or Path(following).exists()):
                filled.append(_ALONE[word])
        return super().parse_args(ctx, filled)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Parse a value of `--size`.

    Raises:
        UsageError: it is not WIDTHxHEIGHT, or a side is odd or out of range.
    """
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


def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    try:
        print(json.dumps(value, indent=1, default=str), flush=True)
    except BrokenPipeError:  # the reader has closed the pipe
        raise
    except OSError as error:
        raise SinkError(f"standard output: {error.strerror}; write to another place") from error


def known_settings(context: typer.Context) -> Known:
    """The allowed content of the settings file: the long options of every command."""
    root: Any = context.find_root().command
    return Known({}, {name: _known(command) for name, command in root.commands.items()})


def _known(command: Any) -> Known:
    """The options of a command and of its subcommands."""
    options = {
        param.name: param.multiple for param in command.params if param.param_type_name == "option"
    }
    return Known(
        options, {name: _known(below) for name, below in getattr(command, "commands", {}).items()}
    )
