"""What some tests need and not every machine has. VCAM_REQUIRE=gpu,gpu-build turns their skips into
failures.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from vcam.backends.gpu_stack import GpuStack
from vcam.backends.plans import PlanStore
from vcam.backends.tensorrt_api import TensorRt, load_tensorrt
from vcam.errors import EngineError


def missing(what: str, reason: str) -> NoReturn:
    """Skip, or fail where VCAM_REQUIRE names it."""
    if what in os.environ.get("VCAM_REQUIRE", "").split(","):
        pytest.fail(f"VCAM_REQUIRE names {what}, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def gpu_stack(tmp_path_factory: pytest.TempPathFactory) -> GpuStack:
    """The real GPU with plans in a folder of its own; the probe's reason where there is none."""
    folder = tmp_path_factory.mktemp("plans")
    stack = GpuStack(plans=lambda: PlanStore(folder))
    try:
        stack.gpu()
    except EngineError as error:
        missing("gpu", str(error))
    return stack


@pytest.fixture(scope="session")
def tensorrt_rtx() -> TensorRt:
    """TensorRT-RTX, which builds plans without a GPU."""
    try:
        return load_tensorrt(("tensorrt_rtx",))
    except EngineError:
        missing("gpu-build", "TensorRT-RTX is not installed; pip install '.[gpu-build]'")
