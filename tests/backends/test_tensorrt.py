"""The TensorRT backend on a machine made of memory: plans, memory, graphs, refusals."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.backends.fake_gpu import FakeGpuMachine
from tests.catalogues import spec_of
from vcam.backends.gpu_stack import EnginePlans
from vcam.backends.tensorrt import TensorRtBackend
from vcam.backends.tensorrt_api import load_tensorrt
from vcam.catalogue import EngineSpec
from vcam.errors import EngineError


def engine(
    tmp_path: Path, content: bytes = b"\x12\x07a graph", name: str = "green_fp16.onnx"
) -> EngineSpec:
    path = tmp_path / name
    path.write_bytes(content)
    return spec_of(path)


def picture(value: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[..., 1] = value
    return image


@pytest.mark.parametrize("graphs", [True, False])
def test_it_builds_keeps_and_runs_a_plan(tmp_path: Path, graphs: bool) -> None:
    machine = FakeGpuMachine(graphs=graphs)
    spec, stack = engine(tmp_path), machine.stack(tmp_path / "plans")
    shares: list[float] = []
    with TensorRtBackend(spec, stack=stack, on_progress=shares.append) as backend:
        assert backend.inputs == {"image": (1, 32, 32, 3)}
        assert backend.outputs == {"alpha": (1, 32, 32)}
        results = [backend.run({"image": picture(value)})["alpha"] for value in (7, 9)]
        about = backend.about()
    assert [int(x.max()) for x in results] == [7, 9], "outputs belong to the caller"
    assert shares == [0.5, 1.0]
    assert about["cuda"] == "fake cuda"
    assert about["cuda_graph"] is graphs
    assert about["runtime"] == "tensorrt 11.4.0"
    assert about["half_share"] == 0.9
    assert str(about["plan"]).startswith("built in")
    with TensorRtBackend(spec, stack=stack, may_build=False) as backend:
        assert backend.about()["plan"] == "from the cache"
    assert machine.builds == 1
    assert machine.memory == {}, "all memory is given back"


def test_one_run_is_one_launch_where_there_are_graphs(tmp_path: Path) -> None:
    machine = FakeGpuMachine()
    with TensorRtBackend(engine(tmp_path), stack=machine.stack(tmp_path)) as backend:
        warm_up = ["open", "upload", "execute", "download", "synchronize"]
        recorded = ["upload", "execute", "download"]
        assert machine.cuda.calls == warm_up + recorded
        machine.cuda.calls.clear()
        backend.run({"image": picture(1)})
    assert machine.cuda.calls == ["launch", "synchronize", "close"]


def test_a_graph_that_cannot_be_recorded_is_no_failure(tmp_path: Path) -> None:
    machine = FakeGpuMachine()
    machine.capture_fails = True
    with TensorRtBackend(engine(tmp_path), stack=machine.stack(tmp_path)) as backend:
        assert backend.about()["cuda_graph"] is False
        assert backend.run({"image": picture(5)})["alpha"].max() == 5


def test_another_version_or_card_needs_another_plan(tmp_path: Path) -> None:
    machine = FakeGpuMachine()
    spec, stack = engine(tmp_path), machine.stack(tmp_path / "plans")
    for builds, (version, capability) in enumerate(
        [("11.4.0", (8, 9)), ("11.5.0", (8, 9)), ("11.5.0", (8, 6))], 1
    ):
        machine.version, machine.capability = version, capability
        for _ in range(2):
            with TensorRtBackend(spec, stack=stack):
                pass
        assert machine.builds == builds
    changed = engine(tmp_path, b"\x12\x0danother graph")
    with TensorRtBackend(changed, stack=stack):
        assert machine.builds == 4


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_plan_that_does_not_load_is_built_again(tmp_path: Path, damage: str) -> None:
    machine = FakeGpuMachine()
    spec, stack = engine(tmp_path), machine.stack(tmp_path / "plans")
    with TensorRtBackend(spec, stack=stack):
        pass
    (path,) = (tmp_path / "plans").iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        _, _, store, key = EnginePlans(spec, stack).look()
        store.save(key, b"a whole plan of another world")
    with TensorRtBackend(spec, stack=stack) as backend:
        assert backend.run({"image": picture(3)})["alpha"].max() == 3
    assert machine.builds == 2


def test_a_card_that_refuses_a_fresh_plan_is_remembered(tmp_path: Path) -> None:
    machine = FakeGpuMachine()
    machine.refuses = True
    spec, stack = engine(tmp_path), machine.stack(tmp_path / "plans")
    with pytest.raises(
        EngineError, match=r"does not load its plan \(The engine cannot run on this GPU\)"
    ):
        TensorRtBackend(spec, stack=stack).__enter__()
    assert not machine.cuda.is_open
    assert "vcam engines build green_fp16" in TensorRtBackend.why_not(spec, stack)
    machine.refuses = False
    EnginePlans(spec, stack).build()
    assert TensorRtBackend.why_not(spec, stack) == ""


def test_without_a_gpu_tensorrt_is_not_touched(tmp_path: Path) -> None:
    spec, stack = engine(tmp_path), FakeGpuMachine(has_gpu=False).stack(tmp_path)
    assert TensorRtBackend.why_not(spec, stack) == "fake: no GPU here"
    with pytest.raises(EngineError, match="fake: no GPU here"):
        TensorRtBackend(spec, stack=stack).__enter__()


def test_half_precision_is_asserted_where_the_name_promises_it(tmp_path: Path) -> None:
    stack = FakeGpuMachine(half_share=0.0).stack(tmp_path / "plans")
    with pytest.raises(EngineError, match=r"green_fp16\.onnx: only 0% of it is half precision"):
        TensorRtBackend(engine(tmp_path), stack=stack).__enter__()
    with TensorRtBackend(engine(tmp_path, name="green_fp32.onnx"), stack=stack) as backend:
        assert backend.about()["half_share"] == 0.0


def test_a_graph_that_does_not_parse_is_one_line(tmp_path: Path) -> None:
    spec, stack = (
        engine(tmp_path, b"\x12\x0bnot a graph"),
        FakeGpuMachine().stack(tmp_path / "plans"),
    )
    with pytest.raises(
        EngineError, match=r"does not parse it \(Invalid Node - fake at line 1\); export"
    ) as caught:
        TensorRtBackend(spec, stack=stack).__enter__()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "plans").exists()


def test_building_stops_when_asked(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    plans = EnginePlans(engine(tmp_path), FakeGpuMachine().stack(tmp_path / "plans"))
    with pytest.raises(EngineError, match="was stopped"):
        plans.build(cancel=cancel)
    assert plans.load() is None


@pytest.mark.parametrize(
    "inputs", [{}, {"image": np.zeros((1, 2, 2, 3), np.uint8)}, {"image": np.zeros((1, 32, 32, 3))}]
)
def test_a_wrong_input_is_one_line(tmp_path: Path, inputs: dict[str, np.ndarray]) -> None:
    stack = FakeGpuMachine().stack(tmp_path)
    with (
        TensorRtBackend(engine(tmp_path), stack=stack) as backend,
        pytest.raises(EngineError, match=r"the input image must be uint8 \(1, 32, 32, 3\), not"),
    ):
        backend.run(inputs)


def test_closing_twice_and_running_closed(tmp_path: Path) -> None:
    backend = TensorRtBackend(engine(tmp_path), stack=FakeGpuMachine().stack(tmp_path))
    with backend:
        pass
    backend.__exit__(None, None, None)
    with pytest.raises(EngineError, match="not open"):
        backend.run({"image": picture(0)})
    gc.collect()


def test_a_thousand_runs_do_not_grow(tmp_path: Path) -> None:
    machine = FakeGpuMachine()
    with TensorRtBackend(engine(tmp_path), stack=machine.stack(tmp_path)) as backend:
        blocks = len(machine.memory)
        for value in range(1000):
            backend.run({"image": picture(value % 256)})
        assert len(machine.memory) == blocks == 2


def test_the_first_tensorrt_that_loads_serves() -> None:
    class Module:
        __version__ = "1.7"

    def only_rtx(name: str) -> type[Module]:
        if name == "tensorrt":
            raise ModuleNotFoundError(name)
        return Module

    def broken(name: str) -> type[Module]:
        raise ImportError("libnvonnxparser.so.11: cannot open shared object file\nmore")

    def none(name: str) -> type[Module]:
        raise ModuleNotFoundError(name)

    assert load_tensorrt(load=only_rtx).flavour == "tensorrt_rtx"
    with pytest.raises(
        EngineError, match=r"^tensorrt is installed but does not load \(libnvonnxparser[^\n]*\)$"
    ):
        load_tensorrt(load=broken)
    with pytest.raises(
        EngineError,
        match=(
            r"^TensorRT is not installed; pip install '\.\[gpu\]' in the folder of vcam's source$"
        ),
    ):
        load_tensorrt(load=none)
