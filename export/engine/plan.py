"""Build TensorRT plans of an engine folder ahead of their first use, through the runtime's own
backend.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from export.errors import ExportError


def plan(folder: Path) -> Iterator[str]:
    """Build the plan of every half precision file of an engine folder; one line per plan, as it is
    ready.

    Raises:
        ExportError: the folder is no engine or has no such file, there is no GPU or no TensorRT, or
            a build fails.
    """
    from vcam.backends.gpu_stack import EnginePlans, GpuStack
    from vcam.catalogue import read_catalogue
    from vcam.errors import VcamError

    folder = folder.resolve()
    try:
        specs = [
            x
            for x in read_catalogue(folder.parent)
            if x.path.parent == folder and x.precision == "fp16"
        ]
        if not specs:
            raise ExportError(
                f"{folder}: no engine.toml that names a fp16 file; convert a checkpoint first"
            )
        for spec in specs:
            start = time.monotonic()
            made = EnginePlans(spec, GpuStack()).build()
            yield (
                f"{spec.name}: {len(made.data)} bytes, {made.half_share:.0%} of the layers in "
                "half precision, "
                f"built in {time.monotonic() - start:.1f} s"
            )
    except VcamError as error:
        raise ExportError(f"{folder}: {error}") from error
