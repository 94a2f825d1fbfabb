from __future__ import annotations

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.torch import save_file
from torch import nn

from export.engine.card import Training, card
from export.engine.convert import CHECKPOINTS, ConvertConfig, convert
from export.engine.verify import VerifyConfig, verify
from export.errors import ExportError
from export.evaluation.scenes import pictures
from export.models import TRAINED, find_model
from export.onnx.graph import engine_graph
from export.onnx.half import to_half
from export.onnx.parity import check_parity
from export.weights.files import read_weights, write_half
from export.weights.record import record_of

pytestmark = pytest.mark.slow

_SIZE = (96, 160)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, network: nn.Module) -> Path:
    path = tmp_path_factory.mktemp("run") / "ema.safetensors"
    save_file({k: v.clone() for k, v in network.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def engine(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, pictures_folder: Path, data: Path
) -> Path:
    out = tmp_path_factory.mktemp("engines") / "sinet"
    return convert(
        ConvertConfig("sinet", checkpoint, out, _SIZE, images=pictures_folder, data=data)
    )


def test_contract(engine: Path) -> None:
    session = onnxruntime.InferenceSession(
        engine / "sinet_fp32.onnx", providers=["CPUExecutionProvider"]
    )
    tensors = [(x.name, x.type, x.shape) for x in (*session.get_inputs(), *session.get_outputs())]
    assert tensors == [
        ("image", "tensor(uint8)", [1, *_SIZE, 3]),
        ("alpha", "tensor(uint8)", [1, *_SIZE]),
    ]
    alpha = session.run(None, {"image": np.zeros((1, *_SIZE, 3), np.uint8)})[0]
    assert alpha.dtype == np.uint8


def test_engine_toml(engine: Path) -> None:
    document = tomllib.loads((engine / "engine.toml").read_text())
    assert (document["task"], document["model"], document["classes"]) == (
        "person",
        "sinet",
        ["room", "person"],
    )
    assert document["input"] == {"name": "image", "batch": 1, "height": 96, "width": 160}
    single, half = document["file"]
    assert (single["engine"], half["engine"]) == ("sinet_fp32", "sinet_fp16")
    assert (single["parity"]["reference"], single["parity"]["images"]) == ("torch", 9)
    assert single["parity"]["logit_max"] < 1e-4
    assert single["parity"]["output_max"] <= 1
    assert (half["parity"]["reference"], half["parity"]["metric"]) == ("fp32", "iou")
    assert 0.985 <= half["parity"]["mean"] <= 1
    assert half["bytes"] < single["bytes"]
    assert [(x["set"], x["metric"]) for x in document["quality"]][:2] == [
        ("person/ccp", "iou"),
        ("person/ccp", "miou"),
    ]
    assert not [x for x in document["quality"] if "condition" in x]  # those are in the card


def test_verify(engine: Path, checkpoint: Path, pictures_folder: Path) -> None:
    lines = verify(VerifyConfig(engine, images=pictures_folder, checkpoint=checkpoint))
    size = (engine / "sinet_fp32.onnx").stat().st_size
    assert lines[0] == f"sinet_fp32: sinet_fp32.onnx, {size} bytes, opset 18, input 96x160, runs"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "sinet_fp16",
        "fp32 against torch",
        "fp16 against fp32",
    ]


def test_verify_against_weights_kept_in_half_precision(
    engine: Path, checkpoint: Path, pictures_folder: Path, tmp_path: Path
) -> None:
    """Rounded weights pass by what they answer; other weights do not."""
    write_half(checkpoint, tmp_path / "half.safetensors")
    config = VerifyConfig(engine, pictures_folder, checkpoint=tmp_path / "half.safetensors")
    line = next(x for x in verify(config) if x.startswith("fp32 against torch"))
    assert "iou " in line
    assert "half.safetensors keeps weights in half precision" in line
    weights = read_weights(tmp_path / "half.safetensors")
    weights["classifier.1.weight"] = -weights["classifier.1.weight"]
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(ExportError, match="torch and float32 differ: mean iou"):
        verify(replace(config, checkpoint=tmp_path / "other.safetensors"))


def test_cpu_graph_has_no_slow_operators(engine: Path) -> None:
    kinds = {node.op_type for node in onnx.load(engine / "sinet_fp32.onnx").graph.node}
    assert not kinds & {"PRelu", "Softmax", "BatchNormalization"}


def test_card(engine: Path) -> None:
    text = (engine / "CARD.md").read_text()
    assert "$" not in text
    assert "| person/ccp | 2 | 0." in text
    assert "87 thousand parameters" in text
    assert "Input of 96x160 pixels" in text


def test_a_card_claims_of_other_weights_nothing_that_was_found_of_the_shipped_ones(
    engine: Path,
) -> None:
    text = (engine / "CARD.md").read_text()
    assert "is not known" in text
    for claim in (
        "None of these pictures was trained on",
        "Wanted were",
        "Seen in",
        "women",
        "by this project",
    ):
        assert claim not in text


_SHIPPED = [
    name
    for name, spec in TRAINED.items()
    if (CHECKPOINTS / f"{spec.engine_name}.safetensors").is_file()
    and name != "portraitnet"  # the engine of that name is of portraitnet_lite
]


@pytest.mark.parametrize("name", _SHIPPED)
def test_a_card_of_shipped_weights_says_what_was_found(name: str) -> None:
    spec = TRAINED[name]
    record = record_of(CHECKPOINTS / f"{spec.engine_name}.safetensors")
    training = Training("trained by this project", "Apache-2.0", record, True)
    text = card(spec, spec.size, 1, 3_311_376, training, [], [])
    assert "$" not in text
    assert text.index("## How far training went\n\nWanted were") < text.index("## Files")
    assert text.index("## Weaknesses\n\nSeen in ") < text.index("## Data")
    assert "3.3 million parameters" in " ".join(text.split())
    assert "\n\n\n" not in text


def test_same_weights_same_bytes(engine: Path, network: nn.Module) -> None:
    model = engine_graph(network, find_model("sinet"), _SIZE)
    assert model.SerializeToString(deterministic=True) == (engine / "sinet_fp32.onnx").read_bytes()


def test_plain_form_answers_alike(engine: Path, network: nn.Module, pictures_folder: Path) -> None:
    spec = find_model("sinet")
    plain = engine_graph(network, spec, _SIZE, fold=False)
    assert (
        to_half(plain).SerializeToString(deterministic=True)
        == (engine / "sinet_fp16.onnx").read_bytes()
    )
    assert "PRelu" in {node.op_type for node in plain.graph.node}
    parity = check_parity(network, spec, plain, pictures(pictures_folder, _SIZE, 9))
    assert parity.logit_max < 1e-4


def test_parity_needs_pictures(network: nn.Module, engine: Path, pictures_folder: Path) -> None:
    model = onnx.load(engine / "sinet_fp32.onnx")
    with pytest.raises(ExportError, match="at least 8 pictures, got 7"):
        check_parity(network, find_model("sinet"), model, pictures(pictures_folder, _SIZE, 7))


def test_parity_refuses_other_weights(engine: Path, pictures_folder: Path) -> None:
    model = onnx.load(engine / "sinet_fp32.onnx")
    spec = find_model("sinet")
    with pytest.raises(ExportError, match="ONNX is off by"):
        check_parity(spec.build().eval(), spec, model, pictures(pictures_folder, _SIZE, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (100, 160)}, "multiples of 32"),
        ({"images": Path("nosuch")}, r"nosuch: no \.jpg or \.png pictures"),
        ({"classes": "3"}, "holds 2 classes, --classes says 3"),
        ({"model": "nosuch"}, "unknown model 'nosuch'; known: bisenetv2, danet_r50, "),
        ({"model": "segformer_b0"}, "not the weights of segformer_b0 but of sinet: "),
        ({"preset": "nosuch"}, "unknown preset 'nosuch' for sinet; known: clovaai"),
        ({"checkpoint": Path("nosuch.pth")}, "cannot be read"),
    ],
)
def test_failure_leaves_nothing(
    tmp_path: Path, checkpoint: Path, pictures_folder: Path, change: dict[str, object], message: str
) -> None:
    settings: dict[str, object] = {
        "model": "sinet",
        "checkpoint": checkpoint,
        "out": tmp_path / "sinet",
        "images": pictures_folder,
    }
    with pytest.raises(ExportError, match=message):
        convert(ConvertConfig(**(settings | change)))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_late_failure_keeps_the_old_engine(
    tmp_path: Path, checkpoint: Path, pictures_folder: Path
) -> None:
    (tmp_path / "sinet").mkdir()
    (tmp_path / "sinet" / "engine.toml").write_text("old")
    config = ConvertConfig(
        "sinet", checkpoint, tmp_path / "sinet", (32, 32), images=pictures_folder, data=tmp_path
    )
    with pytest.raises(ExportError, match="manifest"):
        convert(config)
    assert [path.name for path in tmp_path.rglob("*")] == ["sinet", "engine.toml"]
    assert (tmp_path / "sinet" / "engine.toml").read_text() == "old"


def test_verify_notices_changes(tmp_path: Path, engine: Path) -> None:
    shutil.copytree(engine, tmp_path / "sinet")
    path = tmp_path / "sinet" / "sinet_fp32.onnx"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ExportError, match=r"not the file that engine\.toml describes"):
        verify(VerifyConfig(tmp_path / "sinet"))
    path.unlink()
    with pytest.raises(ExportError, match="cannot be read"):
        verify(VerifyConfig(tmp_path / "sinet"))
    (tmp_path / "sinet" / "engine.toml").write_text("format = 1")
    with pytest.raises(ExportError, match=r"engine\.toml: task is missing"):
        verify(VerifyConfig(tmp_path / "sinet"))
