from __future__ import annotations

from pathlib import Path

import pytest

from export.engine.info import info, lines_of
from export.errors import ExportError
from vcam.catalogue import shipped_engines


def test_a_shipped_engine() -> None:
    found = info(shipped_engines() / "sinet")
    assert (found["network"], found["task"], found["input"]) == (
        "sinet",
        "person",
        "352x256, 1 a run",
    )
    single, half = found["files"]
    assert (single["precision"], half["precision"]) == ("fp32", "fp16")
    assert half["parameters"] == pytest.approx(87_000, rel=0.02)
    assert half["multiply_adds"] > 50e6
    lines = lines_of(found)
    assert "licence   Apache-2.0" in lines
    assert lines[-1].startswith("sinet_fp16.onnx: 0.22 MB, 212 nodes, 0.088 million numbers, ")
    alone = info(shipped_engines() / "sinet/sinet_fp32.onnx")
    assert alone["files"][0]["multiply_adds"] == single["multiply_adds"]


def test_what_is_no_engine(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"engine\.toml: No such file"):
        info(tmp_path)
    (tmp_path / "x.onnx").write_bytes(b"<html>")
    with pytest.raises(ExportError, match=r"x\.onnx: no ONNX file"):
        info(tmp_path / "x.onnx")
    with pytest.raises(ExportError, match=r"y\.onnx: cannot be read \(No such file"):
        info(tmp_path / "y.onnx")
