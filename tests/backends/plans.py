"""Plans of files, as tests make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vcam.backends.plan_builder import Plan, build_plan
from vcam.backends.tensorrt_api import TensorRt


def build_plan_of(trt: TensorRt, path: Path, **options: Any) -> Plan:
    """The plan of an ONNX file; options as `build_plan` takes them."""
    return build_plan(trt, path.name, path.read_bytes(), **options)
