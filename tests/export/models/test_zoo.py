"""Published networks against what their authors' code answers, with weights made by a rule."""

from __future__ import annotations

import importlib.util
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

from export.models import (
    bisenetv2,
    danet,
    deeplabv3,
    fastscnn,
    fcn,
    fcn8s,
    fpn,
    lraspp,
    portraitnet,
    segformer,
    segnext,
)

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
