"""OpenVINO keeps the contract and agrees with ONNX Runtime."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tests.backends.conftest import missing
from tests.catalogues import spec_of, write_person_engine
from vcam.backends import make_backend
from vcam.backends.openvino import OpenVinoBackend
from vcam.catalogue import read_catalogue, shipped_engines
from vcam.errors import EngineError, UsageError
from vcam.matting.matter import Matter, small_rgb
from vcam.sources import make_source
from vcam.sources.base import SourceRequest


@pytest.fixture(autouse=True)
def openvino_is_here(request: pytest.FixtureRequest) -> None:
    if "absent" not in request.node.name and importlib.util.find_spec("openvino") is None:
        missing("openvino", "OpenVINO is not installed; pip install '.[openvino]'")


def test_an_absent_openvino_says_what_to_install(tmp_path: Path) -> None:
    if importlib.util.find_spec("openvino") is not None:
        pytest.skip("OpenVINO is installed")
    with pytest.raises(
        UsageError,
        match=r"--backend openvino cannot run .*pip install '\.\[openvino\]' in the folder",
    ):
        make_backend("openvino", spec_of(tmp_path / "x_fp32.onnx"))


@pytest.mark.parametrize("threads", [1, 2])
def test_it_runs_an_engine(tmp_path: Path, threads: int) -> None:
    path = tmp_path / "green_fp32.onnx"
    write_person_engine(path)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    with make_backend("openvino", spec_of(path), threads) as backend:
        assert backend.inputs == {"image": (1, 32, 32, 3)}
        assert backend.outputs == {"alpha": (1, 32, 32)}
        first = backend.run({"image": image})["alpha"]
        kept = first.copy()
        backend.run({"image": 255 - image})
        assert (first == kept).all(), "outputs belong to the caller"
        assert (first == image[..., 1]).all()
        assert backend.about() == {
            "backend": "openvino",
            "engine": "green_fp32",
            "threads": threads,
        }
        with pytest.raises(
            EngineError, match=r"green_fp32\.onnx: the run failed .*--backend onnxruntime"
        ) as caught:
            backend.run({"image": image[:, :8]})
        assert "\n" not in str(caught.value)
    backend.__exit__(None, None, None)


def test_it_agrees_with_onnx_runtime() -> None:
    for spec in read_catalogue(shipped_engines()):
        if (spec.precision, spec.task) != ("fp32", "person"):
            continue
        with make_source("demo", SourceRequest()) as source:
            frame = source.read()
        assert frame is not None
        picture = small_rgb(frame.planes, frame.matrix, spec.size)
        alphas = []
        for name in ("onnxruntime", "openvino"):
            with Matter(make_backend(name, spec)) as matter:
                alphas.append(matter.alpha(picture).astype(int))
        assert np.abs(alphas[0] - alphas[1]).max() <= 2, spec.name


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x12\x0bnot a graph", None])
def test_a_file_that_is_no_graph_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken_fp32.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        EngineError,
        match=r"broken_fp32\.onnx: (it is no ONNX file|OpenVINO cannot load it|No such file)",
    ) as caught:
        OpenVinoBackend(spec_of(path)).__enter__()
    assert "\n" not in str(caught.value)
