"""From a frame to a matte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.catalogues import spec_of, write_person_engine
from vcam.backends import make_backend
from vcam.backends.fake import FakeBackend
from vcam.backends.onnxruntime import OnnxRuntimeBackend
from vcam.colour import from_rgb
from vcam.errors import EngineError, UsageError
from vcam.frame import Frame, Matrix
from vcam.matting.matter import Matter, small_rgb
from vcam.matting.pyramid import Pyramid


def _colours(matrix: Matrix, size: tuple[int, int] = (1280, 720)) -> Frame:
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (220, 30, 30)
    picture[: height // 2, width // 2 :] = (30, 200, 60)
    picture[height // 2 :, : width // 2] = (40, 60, 210)
    picture[height // 2 :, width // 2 :] = (200, 170, 150)
    return from_rgb(picture, matrix)


@pytest.mark.parametrize("matrix", list(Matrix))
@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (96, 64), (1920, 1080)])
def test_the_network_sees_the_right_colours(matrix: Matrix, size: tuple[int, int]) -> None:
    frame = _colours(matrix, size)
    small = small_rgb(frame.planes, matrix, (64, 96))
    assert small.shape == (64, 96, 3)
    for (row, column), rgb in {
        (16, 24): (220, 30, 30),
        (16, 72): (30, 200, 60),
        (48, 24): (40, 60, 210),
        (48, 72): (200, 170, 150),
    }.items():
        assert np.abs(small[row, column].astype(int) - rgb).max() <= 4, (row, column)


def test_a_real_graph_runs_in_onnx_runtime(tmp_path: Path) -> None:
    path = tmp_path / "green_fp32.onnx"
    write_person_engine(path, size=(32, 48))
    with Matter(make_backend("onnxruntime", spec_of(path))) as matter:
        frame = _colours(Matrix.BT601)
        alpha = matter.matte(frame, Pyramid.of(frame)).alpha
        single = matter.matte_of_picture(np.full((7, 5, 3), (1, 99, 3), np.uint8)).alpha
    assert alpha.shape == (32, 48)
    assert abs(int(alpha[8, 36]) - 200) <= 4
    assert (single == 99).all()


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x12\x0bnot a graph", None])
def test_a_file_that_is_no_graph_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken_fp32.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        EngineError,
        match=r"broken_fp32\.onnx: (it is no ONNX file|No such file|ONNX Runtime cannot load it)",
    ) as caught:
        OnnxRuntimeBackend(spec_of(path)).__enter__()
    assert "\n" not in str(caught.value)


def test_an_engine_of_another_task_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face_fp32.onnx"
    write_person_engine(path, bad_output=True)
    with pytest.raises(EngineError, match="not a person engine"):
        Matter(make_backend("onnxruntime", spec_of(path))).__enter__()


def test_an_unknown_backend_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown backend 'abacus'; known: onnxruntime"):
        make_backend("abacus", spec_of(tmp_path / "x_fp32.onnx"))


def test_opening_warms_up_and_closing_closes() -> None:
    backend = FakeBackend()
    with Matter(backend):
        assert backend.runs == 1
        assert backend.open
    assert not backend.open
