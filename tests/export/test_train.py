from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from export.board import overlays
from export.checkpoints import read_checkpoint, read_weights
from export.data.person import Library
from export.errors import ExportError
from export.models import find_model
from export.models.efficientnet_lite import EfficientNetLite0
from export.train import Teacher, TrainConfig, train
from tests.export.conftest import make_data


def _config(data: Path, out: Path, samples: int) -> TrainConfig:
    return TrainConfig("sinet", (data,), out, samples, batch=2, warmup_samples=2, checkpoint_s=0.0, workers=0)


def test_train_and_resume(data: Path, tmp_path: Path) -> None:
    weights = train(_config(data, tmp_path, 4))
    assert weights == tmp_path / "ema.safetensors"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "board",
        "ema.safetensors",
        "last.pt",
        "log.csv",
        "run.json",
    ]
    train(_config(data, tmp_path, 6), resume=True)
    seen = [int(line.split(",")[0]) for line in (tmp_path / "log.csv").read_text().split()]
    assert seen == [2, 4, 6]
    assert json.loads((tmp_path / "run.json").read_text())["resumed_at"] == 4
    train(_config(data, tmp_path, 6), resume=True)  # nothing left to do
    spec = find_model("sinet")
    averaged, kept = read_checkpoint(weights, spec), read_checkpoint(tmp_path / "last.pt", spec)
    torch.testing.assert_close(averaged["bn_2.weight"], kept["bn_2.weight"])


def test_board(data: Path, tmp_path: Path) -> None:
    train(_config(data, tmp_path, 4))
    events = b"".join(path.read_bytes() for path in (tmp_path / "board").iterdir())
    assert events.count(b"loss") == 2
    assert events.count(b"answers") == 2
    assert events.count(b"PNG") == 2
    image = torch.full((1, 4, 4, 3), 100, dtype=torch.uint8)
    logits = torch.zeros(1, 9, 2, 2)
    logits[:, 8, :, 1] = 9
    shown = overlays(image, logits)
    assert shown[0, 0, 0].tolist() == [100, 100, 100]
    assert shown[0, 0, 3].tolist() == [177, 177, 177]


def test_start_from_weights(data: Path, tmp_path: Path, network: nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "start.pth")
    (tmp_path / "run.json").write_text('{"spec": {}}')
    (tmp_path / "log.csv").write_text("64,0.5,0.001\n")
    train(_config(data, tmp_path / "run", 2), init=tmp_path / "start.pth")
    train(_config(data, tmp_path / "run", 4), resume=True)
    assert json.loads((tmp_path / "run/run.json").read_text())["init"]["seen"] == 64  # resuming forgets nothing
    after = read_checkpoint(tmp_path / "run" / "ema.safetensors", find_model("sinet"))
    torch.testing.assert_close(after["bn_2.weight"], network.state_dict()["bn_2.weight"], atol=0.02, rtol=0)


def test_nothing_to_resume(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nothing to resume"):
        train(_config(data, tmp_path / "run", 2), resume=True)
    assert not (tmp_path / "run").exists()


def test_damaged_state(data: Path, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"noise")
    with pytest.raises(ExportError, match="not the state of a sinet run"):
        train(_config(data, tmp_path, 2), resume=True)


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="none: no such folder; give one with --data"):
        train(_config(tmp_path / "none", tmp_path / "run", 2))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "task", "classes"),
    [("portraitnet", "", 2), ("portraitnet_face", "", 9), ("segformer_b0", "", 9), ("segformer_b0", "person", 2)],
)
def test_every_network_and_task(data: Path, tmp_path: Path, model: str, task: str, classes: int) -> None:
    config = replace(_config(data, tmp_path, 2), model=model, task=task, consistency=1.0 if task else 0.0)
    weights = read_weights(train(config))
    last = weights["decode_head.conv_seg.weight" if model == "segformer_b0" else "pred.weight"]
    assert len(last) == classes
    assert all(torch.isfinite(x).all() for x in weights.values())


def test_another_head_starts_from_the_same_encoder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(replace(_config(data, tmp_path / "first", 2), model="segformer_b0", task="person"))
    second = train(replace(_config(data, tmp_path / "second", 2), model="segformer_b0", rate=0.0), init=first)
    assert "has no decode_head of segformer_b0" in capsys.readouterr().out
    before, after = read_weights(first), read_weights(second)
    name = "backbone.layers.2.1.0.ffn.layers.0.weight"
    torch.testing.assert_close(after[name], before[name])


def test_published_encoder(data: Path, tmp_path: Path) -> None:
    """The names of the PyTorch port of EfficientNet-Lite0's ImageNet weights."""
    encoder = EfficientNetLite0()
    theirs = {".expand.0.": "._expand_conv.", ".expand.1.": "._bn0.", ".spatial.0.": "._depthwise_conv."}
    theirs |= {".spatial.1.": "._bn1.", ".project.0.": "._project_conv.", ".project.1.": "._bn2."}
    theirs |= {"stem.0.": "_conv_stem.", "stem.1.": "_bn0.", "blocks.": "_blocks."}
    weights = {}
    for key, value in encoder.state_dict().items():
        name = key
        for ours, published in theirs.items():
            name = name.replace(ours, published)
        weights[name] = value
    torch.save(weights | {"_fc.weight": torch.zeros(1000, 1280)}, tmp_path / "lite0.pth")
    config = replace(_config(data, tmp_path / "run", 2), model="portraitnet", rate=0.0)
    after = read_weights(train(config, init=tmp_path / "lite0.pth"))
    for key, value in encoder.named_parameters():
        torch.testing.assert_close(after[f"encoder.{key}"], value.detach())


def test_a_teacher_is_heard(data: Path, tmp_path: Path) -> None:
    save_file(find_model("portraitnet").build().state_dict(), tmp_path / "teacher.safetensors")
    teacher = Teacher("portraitnet", tmp_path / "teacher.safetensors")
    alpha = teacher.alpha(torch.zeros(2, 64, 96, 3, dtype=torch.uint8))
    assert alpha.shape == (2, 64, 96)
    assert 0 <= alpha.min() <= alpha.max() <= 1
    alone = read_weights(train(_config(data, tmp_path / "alone", 2)))
    config = replace(_config(data, tmp_path / "taught", 2), teacher=tmp_path / "teacher.safetensors")
    taught = read_weights(train(config))
    assert not torch.equal(alone["bn_2.weight"], taught["bn_2.weight"])


def test_a_face_network_cannot_teach(data: Path, tmp_path: Path) -> None:
    save_file(find_model("portraitnet_face").build().state_dict(), tmp_path / "teacher.safetensors")
    config = replace(_config(data, tmp_path, 2), teacher=tmp_path / "teacher.safetensors")
    with pytest.raises(ExportError, match="portraitnet_face cannot teach; give a person network"):
        train(replace(config, teacher_model="portraitnet_face"))


def test_what_is_not_trained(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="extremec3: only sinet, portraitnet, portraitnet_face, segformer_b0 are"):
        train(replace(_config(data, tmp_path, 2), model="extremec3"))
    with pytest.raises(ExportError, match="--task face: sinet learns person or person"):
        train(replace(_config(data, tmp_path, 2), task="face"))


def test_start_from_another_network(data: Path, tmp_path: Path, network: nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "sinet.pth")
    with pytest.raises(ExportError, match="weights of another network"):
        train(replace(_config(data, tmp_path / "run", 2), model="portraitnet"), init=tmp_path / "sinet.pth")


def test_public_sets_join(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(data / "person/ccp/images", folder / "images")
    shutil.copytree(data / "person/ccp/masks", folder / "masks")
    config = _config(data, tmp_path / "run", 2)
    train(replace(config, data=(folder,)))
    train(replace(config, data=(data, folder)))
    with pytest.raises(ExportError, match="a second folder with person/"):
        train(replace(config, data=(data, make_data(tmp_path / "again"))))


def test_licence_filter(data: Path, tmp_path: Path) -> None:
    library = Library.read(data, "train", licence="clear")
    assert not library.photos
    assert library.cutouts
    train(replace(_config(data, tmp_path / "run", 2), licence="clear"))
    with pytest.raises(ExportError, match="--licence 'free': give one of"):
        train(replace(_config(data, tmp_path / "other", 2), licence="free"))
