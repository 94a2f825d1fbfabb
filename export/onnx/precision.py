"""The float16 file of an engine: as many layers in half precision as the parity check allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from export.models import ModelSpec
from export.onnx.half import convolutions, to_half
from export.onnx.parity import Graph, HalfDiffersError, HalfParity, check_half, half_agrees

_SHARES = (0.25, 0.5, 0.75, 0.9)
"""Shares of the convolutions, the first ones: later layers amplify their rounding."""
_FEW = 2


def half_graph(
    plain: onnx.ModelProto,
    single: Graph,
    spec: ModelSpec,
    images: NDArray[np.uint8],
    say: Callable[[str], None],
) -> tuple[onnx.ModelProto, HalfParity]:
    """Make a float16 copy of an engine, with its difference from the float32 file.

    The model defines how many of the first convolutions stay float32. If the outputs then differ
    too much, more of them do, step by step; the result contains the number. say: called with a line
    for each step.

    Raises:
        ExportError: as `check_half`.
    """
    count = convolutions(plain)
    steps = (spec.single, *(int(count * share) for share in _SHARES))
    least, *more = [step for index, step in enumerate(steps) if not index or step > steps[0]]
    half = to_half(plain, least, products=spec.products)
    kept = least
    for step in more:
        say(f"fp16 against fp32, the first {kept} of {count} convolutions in float32")
        if half_agrees(single, half, images[: _FEW * single.batch]):
            try:
                return half, replace(check_half(single, half, images), single=kept)
            except HalfDiffersError:
                pass
        half, kept = to_half(plain, step, products=spec.products), step
    return half, replace(check_half(single, half, images), single=kept)
