"""A checkpoint as a TorchScript file, for who serves with TorchServe or libtorch."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from export.data.files import write_file
from export.engine.convert import open_checkpoint
from export.errors import ExportError
from export.onnx.graph import check_size, torch_engine

_STEP = 32
_SEED = 5
_OFF = 1
"""Of 255: by how much rounding may differ."""


@dataclass(frozen=True, slots=True)
class ScriptConfig:
    """What to write; model, checkpoint, size, preset and classes as in `ConvertConfig`. out: the
    file.
    """

    model: str
    checkpoint: Path
    out: Path
    size: tuple[int, int] | None = None
    preset: str | None = None
    classes: str | None = None


def write_script(config: ScriptConfig) -> list[str]:
    """Write the file, check that it answers as torch does, and return lines that say what it takes.

    Its one method takes uint8 [N, H, W, 3] RGB and gives uint8 [N, H, W] of a person or face, or
    [N, C, H, W] of the classes, 0 to 255; a network with a memory also takes and gives float32
    [N, 1, H, W]. What it is stands in the extra file `engine.json`.

    Raises:
        ExportError: as `open_checkpoint`; the size is not possible; the file answers otherwise, or
            cannot be written.
    """
    loaded = open_checkpoint(config.model, config.checkpoint, config.preset, config.classes)
    spec, size = loaded.spec, config.size or loaded.spec.size
    check_size(size, spec)
    engine = torch_engine(loaded.network, spec)
    generator = torch.Generator().manual_seed(_SEED)

    def inputs(height: int, width: int, count: int = 1) -> tuple[Tensor, ...]:
        image = torch.randint(
            0, 256, (count, height, width, 3), generator=generator, dtype=torch.uint8
        )
        state = (torch.zeros(count, 1, height, width),) if spec.memory else ()
        return (image, *state)

    with torch.no_grad(), warnings.catch_warnings():
        # of shapes that become constants, which is tested below, and that torch will drop it
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(engine, inputs(*size), check_trace=False)  # type: ignore[no-untyped-call]
    if not _agrees(engine, traced, inputs(*size)):
        raise ExportError(
            f"{config.model}: TorchScript answers otherwise than torch; use `convert`"
        )
    other = (size[0] + _STEP, size[1] + 2 * _STEP)
    free = _agrees(engine, traced, inputs(*other, count=2))
    about = {
        "model": spec.name,
        "task": spec.task,
        "classes": list(spec.classes),
        "size": list(size),
        "any_size": free,
        "memory": spec.memory,
        "preset": loaded.preset.name if loaded.preset else "",
    }
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(traced, data, _extra_files={"engine.json": json.dumps(about)})
    write_file(config.out, data.getvalue())
    sizes = f"any size in steps of {_STEP}" if free else f"{size[0]}x{size[1]} only"
    return [
        f"{config.out}: uint8 [N, H, W, 3] RGB, {sizes}; "
        f"{'alpha' if spec.task == 'person' else 'shares of ' + ', '.join(spec.classes)}"
    ]


def _agrees(engine: nn.Module, traced: torch.jit.ScriptModule, inputs: tuple[Tensor, ...]) -> bool:
    """Whether both give the same, but for rounding."""
    try:
        with torch.no_grad():
            wanted, found = engine(*inputs), traced(*inputs)
    except RuntimeError:
        return False
    first, second = (x[0] if isinstance(x, tuple) else x for x in (wanted, found))
    same = first.shape == second.shape
    return same and int((first.int() - second.int()).abs().max()) <= _OFF
