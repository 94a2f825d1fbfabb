"""Published networks against what their authors' code answers, with weights made by a rule."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.engine.convert import ConvertConfig, convert
from export.errors import ExportError
from export.models import (
    PERSON,
    V1_CLASSES,
    V2_CLASSES,
    bisenetv2,
    danet,
    deeplabv3,
    fastscnn,
    fcn,
    fcn8s,
    find_model,
    fpn,
    lraspp,
    portraitnet,
    segformer,
    segnext,
)
from export.weights.files import fit_weights, training_only
from export.weights.layouts import identify, origin_of, resolve

pytestmark = pytest.mark.slow

_TRAINING_ONLY = ("auxiliary_head.", "aux_classifier.", ".pam_conv_seg.", ".cam_conv_seg.")


@dataclass(frozen=True)
class _Case:
    """noise: of the authors' network in float32 against float64; five times that is allowed."""

    network: Callable[[], nn.Module]
    noise: float = 2e-5
    rename: tuple[str, str] = ("", "")

    @property
    def limit(self) -> float:
        return max(1e-4, 5 * self.noise)


_CASES = {
    "ep1_lraspp_mnv3s": _Case(partial(lraspp.LrasppMobileNetV3, 9), 5e-5),
    "ep1_fcn_mnv2": _Case(partial(fcn.FcnMobileNetV2, 9), 3e-5),
    "ep2_fcn_mnv2_fp": _Case(partial(fcn.FcnMobileNetV2, 8), 3e-5),
    "ep1_fpn_r50": _Case(partial(fpn.FpnResNet50, 9), 4e-4),
    "ep2_fpn_r50_fp": _Case(partial(fpn.FpnResNet50, 8), 4e-4),
    "ep1_bisenetv2": _Case(partial(bisenetv2.BiSeNetV2, 19), 3e-5),
    "ep2_bisenetv2_fp": _Case(partial(bisenetv2.BiSeNetV2, 19), 3e-5),
    "ep1_segnext_mscan_t": _Case(partial(segnext.SegNeXt, 9)),
    "ep1_segformer_b2": _Case(partial(segformer.SegFormer, 9, "b2")),
    "ep2_danet_r50_fp": _Case(partial(danet.DaNetResNet50, 8), 1e-3),
    "ep2_deeplabv3_r50_fp": _Case(partial(deeplabv3.DeepLabV3ResNet50, 8), 6e-4),
    "ash_deeplabv3_r50": _Case(
        partial(deeplabv3.TorchvisionDeepLabV3, 1), 5e-4, ("deep_lab_v3.", "")
    ),
    "ep2_fastscnn_fp": _Case(partial(fastscnn.FastScnn, 8)),
    "fcn8s_face": _Case(partial(fcn8s.Fcn8s, 21), 3e-5),
    "portraitnet_edge": _Case(partial(portraitnet.PortraitNet, 2, edge=True)),
    "portraitnet_prior": _Case(partial(portraitnet.PortraitNet, 2, channels=4)),
}


@pytest.fixture
def zoo(reference: Path) -> Path:
    folder = reference / "zoo"
    if not folder.is_dir():
        pytest.skip(f"no parity references in {reference.name}/zoo")
    return folder


def _state(zoo: Path, name: str) -> dict[str, Tensor]:
    """The weights that the reference's own rule makes."""
    found = importlib.util.spec_from_file_location("zoo_weights", zoo / "weights.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    state: dict[str, Tensor] = module.state_dict(zoo / f"{name}.keys.csv")
    return state


def _input(answers: Any) -> Tensor:
    """float32 [1, C, H, W], as the reference's README says to make it."""
    image = answers["image"].repeat(answers["repeat"], 0).repeat(answers["repeat"], 1)
    if str(answers["order"]) == "BGR":
        image = image[..., ::-1]
    pixels = (image.astype(np.float32) - answers["mean"]) / answers["std"]
    planes = [pixels.transpose(2, 0, 1)]
    if "prior" in answers:
        planes.append(answers["prior"].reshape(1, *image.shape[:2]))
    return torch.from_numpy(np.concatenate(planes).astype(np.float32)[None])


@pytest.mark.timeout(600)  # one network has 134 million weights to draw
@pytest.mark.parametrize("name", _CASES)
def test_answers_like_the_authors_code(zoo: Path, name: str) -> None:
    case = _CASES[name]
    old, new = case.rename
    state = {
        key.replace(old, new, 1): value
        for key, value in _state(zoo, name).items()
        if not any(part in key for part in _TRAINING_ONLY)
    }
    network = case.network().eval()
    network.load_state_dict(state)
    del state
    answers = np.load(zoo / f"{name}.npz")
    if isinstance(network, segnext.SegNeXt):
        network.decode_head.hamburger.ham.bases.copy_(torch.from_numpy(answers["ham_rand"]))
    x = _input(answers)
    with torch.no_grad():
        logits = network(x)
        if logits.shape[2:] != x.shape[2:]:
            logits = functional.interpolate(logits, x.shape[2:], mode="bilinear")
    actual = logits[0].numpy()
    step = int(answers["logits_step"])
    np.testing.assert_allclose(
        actual[:, ::step, ::step], answers["logits"], rtol=0, atol=case.limit
    )
    labels = actual.argmax(0) if len(actual) > 1 else actual[0] > 0
    assert np.mean(labels == answers["argmax"]) >= 0.999
    if "face_prob" in answers:
        face = torch.softmax(fcn8s.joined(logits), dim=1)[0, 1:]
        step = int(answers["face_prob_step"])
        np.testing.assert_allclose(face[:, ::step, ::step], answers["face_prob"], atol=1e-4)


_FILES = {
    "ep1_lraspp_mnv3s": ("lraspp", V1_CLASSES, "easyportrait_v1", 0),
    "ep1_fcn_mnv2": ("fcn_mobilenetv2", V1_CLASSES, "easyportrait_v1", 8),
    "ep2_fcn_mnv2_fp": ("fcn_mobilenetv2", V2_CLASSES, "easyportrait_v2", 8),
    "ep1_fpn_r50": ("fpn_r50", V1_CLASSES, "easyportrait_v1", 0),
    "ep2_fpn_r50_fp": ("fpn_r50", V2_CLASSES, "easyportrait_v2", 0),
    "ep1_bisenetv2": ("bisenetv2", V1_CLASSES, "easyportrait_v1", 56),
    "ep2_bisenetv2_fp": ("bisenetv2", V2_CLASSES, "easyportrait_v2", 56),
    "ep1_segnext_mscan_t": ("segnext_t", V1_CLASSES, "easyportrait_v1", 0),
    "ep1_segformer_b2": ("segformer_b2", V1_CLASSES, "easyportrait_v1", 0),
    "ep2_danet_r50_fp": ("danet_r50", V2_CLASSES, "easyportrait_v2", 12),
    "ep2_deeplabv3_r50_fp": ("deeplabv3_r50", V2_CLASSES, "easyportrait_v2", 8),
    "ash_deeplabv3_r50": ("deeplabv3_r50", ("background", "face"), "face_segmentation", 8),
    "ep2_fastscnn_fp": ("fastscnn", V2_CLASSES, "easyportrait_v2", 16),
    "fcn8s_face": ("fcn8s", ("background", "face"), "face_segmentation_pytorch", 0),
    "portraitnet_edge": ("portraitnet", PERSON, None, 0),
    "portraitnet_prior": ("portraitnet_prior", PERSON, None, 0),
}
"""Of each layout: model, classes, origin, and how many tensors are left out."""
_PATH = Path("some.pth")


def _layout(zoo: Path, name: str) -> dict[str, Tensor]:
    """Tensors of the names and shapes in a published file, without its numbers."""
    state = {}
    for line in (zoo / f"{name}.keys.csv").read_text().splitlines()[1:]:
        key, shape, dtype, _ = line.split(",")
        lengths = [int(length) for length in shape.split("x") if length]
        state[key.removeprefix("deep_lab_v3.")] = torch.zeros(lengths, dtype=getattr(torch, dtype))
    return state


@pytest.mark.parametrize("name", _FILES)
def test_a_file_says_what_it_is(zoo: Path, name: str) -> None:
    model, classes, origin, left_out = _FILES[name]
    state = _layout(zoo, name)
    assert identify(state) == model
    spec = resolve(_PATH, find_model(model), state)
    assert spec.classes == classes
    assert spec.task == ("person" if len(classes) == 2 else "face")
    preset = origin_of(_PATH, spec, state)
    assert (preset and preset.name) == origin
    assert len(training_only(spec, state)) == left_out
    assert len(fit_weights(_PATH, spec, state)) == len(state) - left_out
    other = "fastscnn" if model != "fastscnn" else "lraspp"
    with pytest.raises(ExportError, match=rf"not the weights of {other} but of {model}: "):
        fit_weights(_PATH, resolve(_PATH, find_model(other), state), state)


@pytest.mark.parametrize(
    "name", [name for name, (_, _, origin, _) in _FILES.items() if origin and "easy" in origin]
)
def test_portraits_have_two_classes(zoo: Path, name: str) -> None:
    """The files of portrait segmentation differ in the numbers of classes alone."""
    model, classes, _, _ = _FILES[name]
    state = _layout(zoo, name)
    for key, value in state.items():
        if "conv_seg" in key and len(value) == len(classes):
            state[key] = value[:2]
    spec = resolve(_PATH, find_model(model), state)
    assert (spec.classes, spec.task) == (("background", "person"), "person")
    preset = origin_of(_PATH, spec, state)
    assert preset is not None
    assert preset.name == "easyportrait_v2"
    network = spec.build().eval()
    network.load_state_dict(fit_weights(_PATH, spec, state))
    side = max(32, spec.smallest)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, side, side)).shape[1] == 2


def test_outputs_without_a_class_need_a_word(zoo: Path) -> None:
    """Without its auxiliary heads BiSeNetV2 does not say how many of 19 outputs were trained."""
    state = {k: v for k, v in _layout(zoo, "ep1_bisenetv2").items() if "auxiliary" not in k}
    spec = find_model("bisenetv2")
    with pytest.raises(ExportError, match="holds 19 classes, which no known"):
        resolve(_PATH, spec, state)
    assert resolve(_PATH, spec, state, "9").classes == V1_CLASSES
    assert resolve(_PATH, spec, state, "wall,me").classes == ("wall", "me")
    with pytest.raises(ExportError, match="holds 19 classes, --classes says 20"):
        resolve(_PATH, spec, state, "20")


def test_a_published_layout_becomes_an_engine(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two classes, the whole way: both files pass their gates, and what is left out is said."""
    state = {
        key: value[[0, 3]] if "conv_seg" in key else value
        for key, value in _state(zoo, "ep2_fastscnn_fp").items()
    }
    file = tmp_path / "fastscnn.pth"
    torch.save({"meta": {}, "state_dict": state}, file)
    engine = convert(ConvertConfig("fastscnn", file, tmp_path / "engine", (96, 128)))
    document = tomllib.loads((engine / "engine.toml").read_text())
    assert (document["task"], document["network"]) == ("person", "fastscnn")
    assert document["training"]["preset"] == "easyportrait_v2"
    assert document["pixels"]["mean"] == pytest.approx([143.55267, 132.96706, 126.94924])
    assert [file["precision"] for file in document["file"]] == ["fp32", "fp16"]
    assert document["file"][1]["parity"]["mean"] >= 0.985
    said = "auxiliary_head (16 tensors)"
    assert said in capsys.readouterr().err
    assert said in (engine / "CARD.md").read_text()
