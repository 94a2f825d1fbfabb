"""Which backend runs which file of an engine, and what is said about those that do not."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import pytest

from tests.backends.fake_gpu import FakeGpuMachine
from tests.catalogues import write_catalogue
from vcam.backends import BACKENDS, make_backend, runs_as, why_not
from vcam.backends.base import Backend
from vcam.backends.gpu_stack import EnginePlans
from vcam.catalogue import EngineSpec, find_engine
from vcam.errors import EngineError, UsageError

IMAGE = {"image": np.full((1, 32, 32, 3), 9, np.uint8)}


@pytest.fixture
def half(tmp_path: Path) -> EngineSpec:
    return find_engine(
        "green_fp16", [write_catalogue(tmp_path / "engines", precisions=("fp32", "fp16"))]
    )


def refused(backend: Backend) -> dict[str, str]:
    reasons = backend.about()["refused"]
    assert isinstance(reasons, dict)
    return reasons


def test_without_a_gpu_the_cpu_runs_the_single_precision_file(
    half: EngineSpec, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vcam")
    with make_backend("auto", half, stack=FakeGpuMachine(has_gpu=False).stack(tmp_path)) as backend:
        about = backend.about()
        assert backend.run(IMAGE)["alpha"].max() == 9
    assert (about["backend"], about["engine"]) == ("onnxruntime", "green_fp32")
    assert about["refused"] == {
        "tensorrt": "fake: no GPU here",
        "onnxruntime-cuda": "fake: no GPU here",
    }
    assert caplog.messages == [
        "green_fp32 by onnxruntime; not tensorrt: fake: no GPU here; not onnxruntime-cuda: fake: no"
        " GPU here"
    ]


def test_with_a_gpu_a_patient_caller_gets_tensorrt(half: EngineSpec, tmp_path: Path) -> None:
    with make_backend("auto", half, stack=FakeGpuMachine().stack(tmp_path / "plans")) as backend:
        assert (backend.about()["backend"], backend.about()["engine"]) == ("tensorrt", "green_fp16")
        assert "provider" in refused(backend)["onnxruntime-cuda"]


def test_with_a_gpu_an_impatient_caller_is_served_at_once(half: EngineSpec, tmp_path: Path) -> None:
    machine = FakeGpuMachine()
    stack = machine.stack(tmp_path / "plans")
    with make_backend("auto", half, stack=stack, patient=False) as backend:
        assert backend.name == "onnxruntime"
        deadline = time.monotonic() + 10
        while backend.name != "tensorrt" and time.monotonic() < deadline:
            assert backend.run(IMAGE)["alpha"].max() == 9
        assert backend.name == "tensorrt"
        assert backend.run(IMAGE)["alpha"].max() == 9
    assert machine.builds == 1
    with make_backend("auto", half, stack=stack, patient=False) as backend:
        assert backend.name == "tensorrt"
    assert machine.builds == 1


def test_a_card_that_refuses_leaves_the_cpu_serving_and_is_not_asked_again(
    half: EngineSpec, tmp_path: Path
) -> None:
    machine = FakeGpuMachine()
    machine.refuses = True
    stack = machine.stack(tmp_path / "plans")
    with make_backend("auto", half, stack=stack, patient=False) as backend:
        deadline = time.monotonic() + 10
        while (
            "cannot run on this GPU" not in refused(backend)["tensorrt"]
            and time.monotonic() < deadline
        ):
            backend.run(IMAGE)
        assert backend.name == "onnxruntime"
    for patient in (True, False):
        with make_backend("auto", half, stack=stack, patient=patient) as backend:
            assert backend.name == "onnxruntime"
            assert "cannot run on this GPU" in refused(backend)["tensorrt"]
    assert machine.builds == 1


def test_a_plan_that_does_not_build_is_a_reason_for_a_patient_caller(
    half: EngineSpec, tmp_path: Path
) -> None:
    stack = FakeGpuMachine(half_share=0.0).stack(tmp_path / "plans")
    with make_backend("auto", half, stack=stack) as backend:
        assert backend.name == "onnxruntime"
        assert "only 0% of it is half precision" in refused(backend)["tensorrt"]


def test_a_single_precision_engine_is_not_run_by_tensorrt_unless_asked(
    half: EngineSpec, tmp_path: Path
) -> None:
    single = runs_as("onnxruntime", half)
    stack = FakeGpuMachine().stack(tmp_path / "plans")
    with make_backend("auto", single, stack=stack) as backend:
        assert backend.name == "onnxruntime"
        assert "--engine green_fp16" in refused(backend)["tensorrt"]
    with make_backend("tensorrt", single, stack=stack) as backend:
        assert backend.about()["engine"] == "green_fp32"


def test_a_backend_that_is_forced_and_cannot_is_one_line(half: EngineSpec, tmp_path: Path) -> None:
    stack = FakeGpuMachine(has_gpu=False).stack(tmp_path)
    for name in ("tensorrt", "onnxruntime-cuda"):
        with pytest.raises(
            UsageError, match=f"^--backend {name} cannot run green_fp16 here: fake: no GPU here$"
        ):
            make_backend(name, half, stack=stack)
    stack = FakeGpuMachine().stack(tmp_path)
    with pytest.raises(
        UsageError, match="no CUDA provider; install onnxruntime-gpu in place of onnxruntime"
    ):
        make_backend("onnxruntime-cuda", half, stack=stack)


def test_every_backend_answers_why_not(half: EngineSpec, tmp_path: Path) -> None:
    stack = FakeGpuMachine(has_gpu=False).stack(tmp_path)
    reasons = {name: why_not(name, half, stack) for name in BACKENDS}
    assert reasons["onnxruntime"] == ""
    missing = "OpenVINO is not installed; pip install '.[openvino]' in the folder of vcam's source"
    assert reasons["openvino"] in ("", missing)


def test_without_a_single_precision_file_the_cpu_runs_what_there_is(tmp_path: Path) -> None:
    only = find_engine("green_fp16", [write_catalogue(tmp_path / "engines", precisions=("fp16",))])
    assert runs_as("onnxruntime", only) == only


def test_a_damaged_file_is_refused_before_it_is_opened(half: EngineSpec, tmp_path: Path) -> None:
    single = runs_as("onnxruntime", half)
    single.path.write_bytes(b"")
    with pytest.raises(EngineError, match="sha256"):
        make_backend("auto", half, stack=FakeGpuMachine(has_gpu=False).stack(tmp_path))
    half.path.write_bytes(b"")
    with pytest.raises(EngineError, match="sha256"):
        EnginePlans(half, FakeGpuMachine().stack(tmp_path)).build()
