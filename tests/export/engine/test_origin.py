"""What a network reads of a picture belongs to the origin of its weights."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from export.engine.convert import (
    CHECKPOINTS,
    ConvertConfig,
    _training,
    convert,
    load_network,
    open_checkpoint,
)
from export.errors import ExportError
from export.models import find_model
from export.models.easyportrait import V1_PIXELS, V2_PIXELS
from export.models.layers import CLOVAAI_PIXELS
from export.weights.files import read_weights
from export.weights.record import as_metadata, record_of
from tests.export.models.test_zoo import _state as zoo_state


def test_nine_classes_of_easyportrait_see_what_their_authors_show_them(
    reference: Path, tmp_path: Path
) -> None:
    if not (reference / "zoo").is_dir():
        pytest.skip(f"no parity references in {reference.name}/zoo")
    torch.save(
        {"meta": {}, "state_dict": zoo_state(reference / "zoo", "ep1_segformer_b2")},
        tmp_path / "b2.pth",
    )
    answers = np.load(reference / "zoo/ep1_segformer_b2.npz")
    image = answers["image"].repeat(answers["repeat"], 0).repeat(answers["repeat"], 1)
    spec, network = load_network("segformer_b2", tmp_path / "b2.pth")
    assert spec.pixels == V1_PIXELS
    with torch.no_grad():
        logits = network(spec.normalise(torch.from_numpy(image[None])))
        logits = functional.interpolate(logits, image.shape[:2], mode="bilinear")
    assert np.mean(logits[0].argmax(0).numpy() == answers["argmax"]) >= 0.999
    spec, _ = load_network("segformer_b2", tmp_path / "b2.pth", "easyportrait_v2")
    assert spec.pixels == V2_PIXELS


def test_own_weights_see_what_they_were_trained_with(tmp_path: Path) -> None:
    """Nine classes, too, but EasyPortrait's second mean and deviation."""
    path = CHECKPOINTS / "segformer_b0.safetensors"
    loaded = open_checkpoint("segformer_b0", path)
    assert (loaded.spec.pixels, loaded.spec.size, loaded.preset) == (V2_PIXELS, (256, 256), None)
    record = record_of(path)
    assert record is not None
    other = replace(record, network=replace(record.network, mean=(1.0, 2.0, 3.0), bgr=True))
    save_file(read_weights(path), tmp_path / "other.safetensors", as_metadata(other))
    spec, _ = load_network("segformer_b0", tmp_path / "other.safetensors")
    assert spec.pixels == replace(V2_PIXELS, mean=(1.0, 2.0, 3.0), bgr=True)


@pytest.mark.slow
def test_it_stands_in_the_engine(tmp_path: Path, network: nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "tuned.pth")
    config = ConvertConfig(
        "sinet", tmp_path / "tuned.pth", tmp_path / "sinet", (64, 96), preset="clovaai"
    )
    document = tomllib.loads((convert(config) / "engine.toml").read_text())
    assert document["training"]["preset"] == "clovaai"
    assert document["training"]["origin"].startswith("taken for weights of clovaai/ext_portrait")
    assert document["pixels"]["order"] == "BGR"
    assert document["pixels"]["mean"] == list(CLOVAAI_PIXELS.mean)
    assert document["licence"] == "unknown; ask the authors of the weights"
    card = (tmp_path / "sinet/CARD.md").read_text()
    assert "132.357" in card
    assert "Apache-2.0" not in card.split("## Intended use")[0]


def test_only_shipped_weights_have_a_licence_unsaid(tmp_path: Path) -> None:
    path = CHECKPOINTS / "sinet.safetensors"
    loaded = open_checkpoint("sinet", path)
    shipped = ConvertConfig("sinet", path, tmp_path)
    assert _training(shipped, loaded).licence == "Apache-2.0"
    save_file(read_weights(path), tmp_path / "own.safetensors", as_metadata(record_of(path)))
    own = replace(shipped, checkpoint=tmp_path / "own.safetensors")
    training = _training(own, open_checkpoint("sinet", own.checkpoint))
    assert training.origin.startswith("trained with this project's")
    assert training.licence.startswith("not stated")
    stated = _training(replace(own, licence="CC BY-SA 4.0"), loaded)
    assert stated.licence == "CC BY-SA 4.0"


def test_a_preset_of_another_network(tmp_path: Path) -> None:
    save_file(find_model("portraitnet").build().state_dict(), tmp_path / "p.safetensors")
    with pytest.raises(ExportError, match="unknown preset 'clovaai' for portraitnet; known: none"):
        load_network("portraitnet", tmp_path / "p.safetensors", "clovaai")
