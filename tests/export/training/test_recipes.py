from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from export.data import published
from export.data.items import Sample
from export.data.readers.celeba import CelebAMaskHq
from export.data.whole import Whole
from export.engine.convert import open_checkpoint
from export.errors import ExportError
from export.models import TRAINED, find_model
from export.training.config import TrainConfig, as_begun
from export.training.loop import train
from export.training.objectives import (
    cross_entropy,
    divergence,
    each_class_alone,
    focal_edge,
    lovasz_hinge,
    with_band,
)
from export.training.optimisers import Plateau, optimiser_of
from export.training.recipes import RECIPES, Schedule, find_recipe, with_recipe
from export.weights.files import read_weights
from export.weights.record import record_of
from tests.export.tiny_sets import block, write


def _config(data: Path, out: Path, model: str, recipe: str) -> TrainConfig:
    """Ten steps."""
    side = 416 if model == "lraspp" else 64
    config = TrainConfig(
        model,
        (data,),
        out,
        samples=20,
        batch=2,
        size=(side, side),
        checkpoint_s=1e9,
        workers=0,
        recipe=recipe,
    )
    return with_recipe(config, {"samples", "batch", "size"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "model"),
    [
        ("easyportrait", "fastscnn"),
        ("easyportrait", "bisenetv2"),
        ("portraitnet", "portraitnet"),
        ("portraitnet", "portraitnet_prior"),
        ("sinet", "sinet"),
        ("extremec3", "extremec3"),
        ("celeba", "fastscnn"),
    ],
)
def test_ten_steps_of_every_recipe(data: Path, tmp_path: Path, recipe: str, model: str) -> None:
    config = _config(data, tmp_path, model, recipe)
    before = torch.get_rng_state()
    weights = train(config)
    record = record_of(weights)
    assert record is not None
    assert (record.seen, record.settings.recipe) == (20, recipe)
    assert record.draws == {"recipe": recipe}
    after = read_weights(weights)
    assert all(torch.isfinite(x).all() for x in after.values())
    torch.set_rng_state(before)
    loaded = open_checkpoint(model, weights)  # without what only training reads
    assert loaded.spec.pixels == record.network.pixels
    assert loaded.spec.gain == record.network.gain
    torch.manual_seed(config.seed)
    fresh = TRAINED[model].build().state_dict()
    learnt = [k for k, v in after.items() if k in fresh and v.ndim == 4]
    assert any(not torch.equal(after[key], fresh[key]) for key in learnt)


class _StopError(Exception):
    pass


@pytest.mark.slow
def test_two_stages_go_on_where_they_were(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder learns first, alone; a run that was stopped in the second stage goes on in it."""
    first: list[dict[str, torch.Tensor]] = []

    def keep(run: Any, loss: float) -> None:
        if run.seen == 10:  # the last step of the first stage
            first.append({k: v.clone() for k, v in run.network.state_dict().items()})
            raise _StopError

    config = replace(_config(data, tmp_path / "a", "extremec3", "extremec3"), checkpoint_s=0.0)
    train(config)
    torch.manual_seed(config.seed)
    fresh = find_model("extremec3").build().state_dict()
    state = torch.load(tmp_path / "a/last.pt", weights_only=True)
    assert state["stage"] == 1
    monkeypatch.setattr("export.training.loop._save", keep)
    with pytest.raises(_StopError):
        train(replace(config, out=tmp_path / "b"))
    for name, value in fresh.items():
        if value.ndim == 4:
            encodes = name.startswith("encoder.")
            assert torch.equal(first[0][name], value) != encodes, name
    monkeypatch.undo()
    longer = replace(config, samples=24)
    train(longer, resume=True)
    log = (tmp_path / "a/log.csv").read_text().split()[1:]
    seen = [int(line.split(",")[0]) for line in log]
    assert seen == [2, 4, 6, 8, 10, *range(11, 25)]  # two thirds of a batch of 2, in the second


def test_a_recipe_settles_what_is_not_given(tmp_path: Path) -> None:
    config = TrainConfig("sinet", (tmp_path,), tmp_path, batch=8, recipe="sinet")
    wanted = with_recipe(config, {"batch"})
    assert (wanted.batch, wanted.rate, wanted.size, wanted.samples) == (8, 5e-4, (224, 224), 0)
    with pytest.raises(ExportError, match="--recipe sinet: not for fpn_r50, but for sinet"):
        with_recipe(replace(config, model="fpn_r50"), set())
    with pytest.raises(ExportError, match="--recipe none: unknown; give one of easyportrait, "):
        with_recipe(replace(config, recipe="none"), set())
    assert as_begun(wanted, {"batch"}) == wanted
    for recipe in RECIPES.values():
        for model in recipe.models:
            assert model in TRAINED
            assert find_recipe(recipe.name, model).name == recipe.name


def test_rates() -> None:
    poly = Schedule("poly", 0.9, warmup=10, warmup_from=0.1)
    assert poly.rate(0.0, 0) == pytest.approx(0.1)
    assert poly.rate(0.5, 10) == pytest.approx(0.5**0.9)
    assert Schedule("poly", 1.0, epochs=100).rate(0.019, 5) == pytest.approx(0.99)
    steps = Schedule("steps")
    assert [steps.rate(x, 0) for x in (0.4, 0.5, 0.8, 0.9)] == [1, 0.5, 0.5, 0.25]
    assert Schedule("decay").rate(0.025, 0) == pytest.approx(0.95**2)
    plateau = Plateau()
    for loss, factor in ((1.0, 1), (0.9, 1), (0.95, 1), (0.9, 0.1), (0.8, 0.1)):
        plateau.epoch(loss)
        assert plateau.factor == pytest.approx(factor)


def test_convolutions_of_one_channel_do_not_decay(tmp_path: Path) -> None:
    network = find_model("extremec3").build()
    recipe = RECIPES["extremec3"]
    config = with_recipe(TrainConfig("extremec3", (), tmp_path, recipe="extremec3"), set())
    groups = optimiser_of(config, network, recipe).param_groups
    names = dict(network.named_parameters())
    decays = {name: group["weight_decay"] for name, group in zip(names, groups, strict=True)}
    lone = next(k for k, v in names.items() if v.ndim == 4 and v.shape[1] == 1)
    full = next(k for k, v in names.items() if v.ndim == 4 and v.shape[1] > 1)
    flat = next(k for k, v in names.items() if v.ndim == 1)
    assert (decays[lone], decays[full], decays[flat]) == (0.0, 2e-4, pytest.approx(2e-6))


def test_lovasz_hinge_is_one_minus_iou_at_the_corners() -> None:
    """For errors of 0 or 1 the extension is the set function itself."""
    label = torch.tensor([[[1, 1, 1, 0, 0, 255]]])
    for wrong in ([], [0], [3], [0, 1, 4]):
        sign = torch.where(label == 1, 1.0, -1.0)
        score = sign.clone()
        for index in wrong:
            score[0, 0, index] *= 0  # an error of exactly 1
        missed = len([x for x in wrong if x < 3])
        extra = len(wrong) - missed
        iou = (3 - missed) / (3 + extra)
        assert float(lovasz_hinge(score[:, None], label)) == pytest.approx(1 - iou)
    assert float(lovasz_hinge(torch.ones(1, 1, 1, 6), torch.full((1, 1, 6), 255))) == 0


def test_losses_of_recipes() -> None:
    logits, label = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    label[0, 2:] = 1
    assert float(cross_entropy(logits, label)) == pytest.approx(math.log(2))
    label[0, 3] = 255  # a quarter of the pixels, which count as 0
    assert float(cross_entropy(logits, label)) == pytest.approx(0.75 * math.log(2))
    assert float(each_class_alone(logits, label)) == pytest.approx(0.75 * math.log(2))
    label[0, 3] = 1
    assert float(focal_edge(logits, label)) == pytest.approx(0.1 * 0.25 * math.log(2))
    assert float(divergence(logits, logits)) == 0
    plain = float(cross_entropy(logits, label))
    near = functional.max_pool2d((label == 1).float()[:, None], 3, 1, 1)[0, 0]
    band = float((near - (label[0] == 1).float()).sum()) + 4  # one row on each side
    banded = float(with_band(cross_entropy, logits, label, 3))
    assert banded == pytest.approx(plain + 0.5 * band / 16 * math.log(2))


def test_changes_of_pictures_keep_labels_and_sizes() -> None:
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    target = np.zeros((60, 90), np.uint8)
    target[10:50, 20:70] = 255
    valid = np.ones_like(target)
    for change in (published.easyportrait, published.portrait, published.celeba):
        for _ in range(20):
            sample = change(image, target, valid, (64, 64), rng)
            assert sample.image.shape == sample.clean.shape == (64, 64, 3)
            assert set(np.unique(sample.target)) <= {0, 255}
            assert set(np.unique(sample.valid)) <= {0, 1}
    padded = published.easyportrait(image, target, valid, (64, 64), rng)
    assert not padded.valid[43:].any()  # 60 of 90 rows: the rest is zeros that do not count
    assert padded.valid[:43].all()
    assert not padded.clean[43:].any()
    dropped = [published.celeba(image, target, valid, (64, 64), rng) for _ in range(20)]
    holes = [x for x in dropped if (x.image == 120).all(-1).sum() > 64 * 64 * 0.05]
    assert 3 < len(holes) < 18
    assert all(not x.target[(x.image == 120).all(-1)].any() for x in holes)


def test_the_prior_is_empty_the_label_or_near_it() -> None:
    rng = np.random.default_rng(2)
    target = np.zeros((96, 96), np.uint8)
    target[30:, 30:70] = 255
    image = np.repeat(target[..., None], 3, 2)
    sample = Sample(image, target, np.ones_like(target), image)
    kinds = {"empty": 0, "stays": 0, "spoilt": 0}
    for _ in range(200):
        seen, before = published.prior(sample, rng)
        if not before.any():
            kinds["empty"] += 1
        elif np.array_equal(before, target):
            kinds["stays"] += 1
            agreed = np.mean((seen.image[..., 0] > 127) == (seen.target > 127))
            assert agreed > 0.6  # picture and label move together
        else:
            kinds["spoilt"] += 1
            assert np.array_equal(seen.target, target)
            assert np.mean((before > 127) == (target > 127)) > 0.75
    assert 70 < kinds["empty"] < 130
    assert min(kinds.values()) > 20


def test_skin_without_glasses(tmp_path: Path) -> None:
    """Also what is seen through them, which the classes of a face call eyes."""
    parts = tmp_path / "CelebAMask-HQ-mask-anno/0"
    write(tmp_path / "CelebA-HQ-img/0.jpg")
    face = block()
    glasses, eye = np.zeros_like(face), np.zeros_like(face)
    glasses[5:7, 5:11], eye[5:7, 6:8] = 255, 255
    for name, plane in (("skin", face), ("eye_g", glasses), ("l_eye", eye)):
        write(parts / f"00000_{name}.png", plane)
    entry = next(iter(CelebAMaskHq(tmp_path).entries()))
    skin = CelebAMaskHq(tmp_path).skin(entry)
    assert not skin.alpha[glasses > 0].any()
    assert (skin.alpha[(face > 0) & (glasses == 0)] == 255).all()
    image, target, _ = Whole((tmp_path,), entry.split, "skin")[0]
    assert image.shape[:2] == target.shape
    np.testing.assert_array_equal(target, skin.alpha)


@pytest.mark.slow
def test_weights_for_the_encoder_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(
        _config(data, tmp_path / "run", "portraitnet", ""), samples=2, rate=0.0, weight_decay=0.0
    )
    network = find_model("portraitnet").build()
    encoder = {k: v for k, v in network.state_dict().items() if k.startswith("stage")}
    published_names = {f"features.{i}": v.clone() for i, v in enumerate(encoder.values())}
    published_names["classifier.weight"] = torch.zeros(1000, 1280)
    published_names = {
        k: v for k, v in published_names.items() if v.ndim or not k.startswith("features")
    }
    torch.save(published_names, tmp_path / "mobilenet.pth")
    weights = train(replace(config, encoder=tmp_path / "mobilenet.pth"))
    assert "tensors for stage, in order" in capsys.readouterr().out
    name = "stage3.0.conv.0.weight"
    torch.testing.assert_close(read_weights(weights)[name], encoder[name])
    record = record_of(weights)
    assert record is not None
    assert len(record.encoder_sha256) == 64
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ExportError, match=r"a \(3,\) stands where the encoder has stage0"):
        train(replace(config, out=tmp_path / "b", encoder=tmp_path / "other.pth"))
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ExportError, match="safetensors keeps no order"):
        train(replace(config, out=tmp_path / "b", encoder=tmp_path / "other.safetensors"))


def test_pictures_of_the_readers(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    for part in ("images", "masks"):
        shutil.copytree(data / "person/ccp" / part, folder / part)
    people = Whole((data, folder), "train", "person")
    image, target, valid = people[len(people) - 1]
    assert image.shape[:2] == target.shape == valid.shape
    assert set(np.unique(target)) <= {0, 255}
    faces = Whole((data,), "train", "face")
    assert set(np.unique(faces[0][1])) == set(range(9))
    with pytest.raises(ExportError, match="no labels of a face"):
        Whole((folder,), "train", "face")[0]
