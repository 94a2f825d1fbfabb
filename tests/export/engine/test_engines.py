"""Whole conversions of the networks other than SINet, from files in their authors' layouts to
engine folders.
"""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tomli_w
import torch

from export.engine.convert import ConvertConfig, convert
from export.engine.plan import plan
from export.engine.verify import VerifyConfig, verify
from export.errors import ExportError
from export.evaluation.engines import OnnxMatting, OnnxParsing, open_engine, open_onnx
from export.evaluation.scenes import own_pictures
from export.models import find_model
from tests.backends.plans import build_plan_of
from vcam.backends.tensorrt_api import load_tensorrt
from vcam.catalogue import read_catalogue

pytestmark = pytest.mark.slow

_SIZE = (64, 96)


@pytest.fixture(scope="module")
def stateful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stateful engine of batch 2, from a training file of random weights; it calls about half of
    a picture person.
    """
    torch.manual_seed(0)
    network = find_model("portraitnet_prior").build()
    network.train()
    network(torch.randn(4, 4, 64, 64))  # the averages of batch normalisation
    path = tmp_path_factory.mktemp("checkpoint") / "model_best.pth.tar"
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"epoch": 3, "minLoss": 0.1, "state_dict": state, "optimizer": {}}, path)
    out = tmp_path_factory.mktemp("engines") / "of_mine"
    return convert(ConvertConfig("portraitnet", path, out, _SIZE, batch=2, name="of_mine"))


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face engine from random weights in the layout of mmsegmentation."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("checkpoint") / "segformer.pth"
    torch.save({"meta": {}, "state_dict": find_model("segformer_b0").build().state_dict()}, path)
    return convert(
        ConvertConfig(
            "segformer_b0", path, tmp_path_factory.mktemp("engines") / "segformer_b0", _SIZE
        )
    )


def _document(engine: Path) -> dict[str, object]:
    return tomllib.loads((engine / "engine.toml").read_text())


def _tensors(path: Path) -> list[tuple[str, str, list[int]]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [(x.name, x.type, x.shape) for x in (*session.get_inputs(), *session.get_outputs())]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_state_goes_in_and_out(stateful: Path, precision: str) -> None:
    path = stateful / f"of_mine_{precision}.onnx"
    assert _tensors(path) == [
        ("image", "tensor(uint8)", [2, *_SIZE, 3]),
        ("state_in", "tensor(float)", [2, 1, *_SIZE]),
        ("alpha", "tensor(uint8)", [2, *_SIZE]),
        ("state_out", "tensor(float)", [2, 1, *_SIZE]),
    ]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = own_pictures(_SIZE, 2)
    state = np.zeros((2, 1, *_SIZE), np.float32)
    alpha, first = session.run(None, {"image": image, "state_in": state})
    _, second = session.run(None, {"image": image, "state_in": first})
    np.testing.assert_allclose(alpha / 255, first[:, 0], atol=0.003)
    assert not np.array_equal(first, second)


def test_documents(stateful: Path, face: Path) -> None:
    document = _document(stateful)
    assert (document["task"], document["model"], document["network"], document["licence"]) == (
        "person",
        "of_mine",
        "portraitnet",
        "unknown; ask the authors of the weights",
    )
    assert document["input"] == {
        "name": "image",
        "batch": 2,
        "height": 64,
        "width": 96,
        "fit": "letterbox",
    }
    assert document["state"] == {"input": "state_in", "output": "state_out", "start": 0}
    document = _document(face)
    assert (document["task"], document["output"]) == ("face", {"name": "probs"})
    assert "state" not in document
    assert len(document["classes"]) == 8  # type: ignore[arg-type]
    for engine in (stateful, face):
        card = (engine / "CARD.md").read_text()
        assert "$" not in card
        assert f"`{engine.name}_fp16.onnx` | fp16" in card
    assert "`state_in` and `state_out` float32 [2, 1, 64, 96]" in (stateful / "CARD.md").read_text()
    assert "Output `probs` uint8 [1, 8, 64, 96]" in (face / "CARD.md").read_text()


def test_the_runtime_reads_them(stateful: Path, face: Path) -> None:
    for engine in (stateful, face):
        specs = read_catalogue(engine.parent)
        assert [spec.name for spec in specs] == [f"{engine.name}_fp16", f"{engine.name}_fp32"]
        assert [spec.verify().name for spec in specs] == [f"{spec.name}.onnx" for spec in specs]


def test_quality_can_be_measured(stateful: Path, face: Path) -> None:
    picture = np.zeros((50, 70, 3), np.uint8)
    matting, parsing = open_engine(stateful), open_engine(face)
    assert isinstance(matting, OnnxMatting)
    assert isinstance(parsing, OnnxParsing)
    assert matting.alpha(picture).shape == (50, 70)
    labels = parsing.labels(picture)
    assert labels.shape == (50, 70)
    assert labels.max() < len(parsing.classes) == 8


def test_classes_without_names(face: Path) -> None:
    with pytest.raises(ExportError, match="8 classes, but 2 names"):
        open_onnx(face / "segformer_b0_fp32.onnx", ("room", "person"))


def test_verify_recomputes(stateful: Path, face: Path, pictures_folder: Path) -> None:
    lines = verify(VerifyConfig(stateful, images=pictures_folder))
    assert [line.split(":")[0] for line in lines] == [
        "of_mine_fp32",
        "of_mine_fp16",
        "fp16 against fp32",
    ]
    assert "iou" in lines[2]
    lines = verify(VerifyConfig(face))
    assert lines[2].startswith("fp16 against fp32: agreement 0.99")
    assert lines[2].endswith("16 pictures")


def test_verify_notices_other_weights(tmp_path: Path, face: Path) -> None:
    """Even where engine.toml was made to agree with the changed file."""
    shutil.copytree(face, tmp_path / "segformer_b0")
    path = tmp_path / "segformer_b0" / "segformer_b0_fp16.onnx"
    model = onnx.load(path)
    for item in model.graph.initializer:
        if item.name.endswith("conv_seg.weight_half"):
            values = onnx.numpy_helper.to_array(item)
            item.CopyFrom(onnx.numpy_helper.from_array(values[::-1].copy(), item.name))
    data = model.SerializeToString()
    path.write_bytes(data)
    document = _document(face)
    document["file"][1] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}  # type: ignore[index]
    (tmp_path / "segformer_b0" / "engine.toml").write_text(tomli_w.dumps(document))
    with pytest.raises(ExportError, match="float16 and float32 differ"):
        verify(VerifyConfig(tmp_path / "segformer_b0"))


@pytest.mark.gpu_build
def test_plans_build(stateful: Path, face: Path) -> None:
    """TensorRT takes all operators, states and uint8 on both sides, and keeps the precision; this
    needs no GPU.
    """
    pytest.importorskip(
        "tensorrt_rtx", reason="TensorRT-RTX is not installed; pip install '.[gpu-build]'"
    )
    for engine in (stateful, face):
        assert (
            build_plan_of(
                load_tensorrt(("tensorrt_rtx",)), engine / f"{engine.name}_fp16.onnx"
            ).half_share
            > 0.6
        )
        assert (
            build_plan_of(
                load_tensorrt(("tensorrt_rtx",)), engine / f"{engine.name}_fp32.onnx"
            ).half_share
            == 0
        )


def test_plan_needs_a_half_precision_file(tmp_path: Path, face: Path) -> None:
    with pytest.raises(ExportError, match=r"no <model>/engine\.toml"):
        list(plan(tmp_path))
    shutil.copytree(face, tmp_path / "segformer_b0")
    document = _document(face)
    document["file"] = document["file"][:1]  # type: ignore[index]
    (tmp_path / "segformer_b0" / "engine.toml").write_text(tomli_w.dumps(document))
    with pytest.raises(ExportError, match=r"no engine\.toml that names a fp16 file"):
        list(plan(tmp_path / "segformer_b0"))
