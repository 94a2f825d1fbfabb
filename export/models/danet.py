"""DANet on ResNet-50: attention over places beside attention over channels.

Fu, Liu, Tian, Li, Bao, Fang, Lu, "Dual Attention Network for Scene Segmentation", CVPR 2019, arXiv
1809.02983. Parameter names follow mmsegmentation 0.x, so that its checkpoints load strictly; the
classifiers of the single branches, which only training reads, are left out.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from export.models import resnet
from export.models.blocks import ConvNorm
from export.models.easyportrait import CLASS_NAMES, CLASSIFIER, PRESETS, V2_PIXELS
from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec

_WIDTH = 512
_KEYS = 64


class _Scale(nn.Module):
    """A learnt factor, 0 before training."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class _PlaceAttention(nn.Module):
    """Each place is a mean of all places, weighted by how alike they are; the products unscaled."""

    def __init__(self) -> None:
        super().__init__()
        self.query_project = nn.Conv2d(_WIDTH, _KEYS, 1)
        self.key_project = nn.Conv2d(_WIDTH, _KEYS, 1)
        self.value_project = nn.Conv2d(_WIDTH, _WIDTH, 1)
        self.gamma = _Scale()

    def forward(self, x: Tensor) -> Tensor:
        query = self.query_project(x).flatten(2).transpose(1, 2)
        weights = torch.softmax(query @ self.key_project(x).flatten(2), dim=-1)
        y = self.value_project(x).flatten(2) @ weights.transpose(1, 2)
        return self.gamma(y.reshape(x.shape)) + x  # type: ignore[no-any-return]


class _ChannelAttention(nn.Module):
    """Each channel is a mean of all channels, weighted by how unlike they are."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = _Scale()

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        weights = torch.softmax(energy.amax(dim=-1, keepdim=True) - energy, dim=-1)
        return self.gamma((weights @ flat).reshape(x.shape)) + x  # type: ignore[no-any-return]


class _Head(nn.Module):
    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.pam_in_conv = ConvNorm(in_channels, _WIDTH, 3)
        self.pam = _PlaceAttention()
        self.pam_out_conv = ConvNorm(_WIDTH, _WIDTH, 3)
        self.cam_in_conv = ConvNorm(in_channels, _WIDTH, 3)
        self.cam = _ChannelAttention()
        self.cam_out_conv = ConvNorm(_WIDTH, _WIDTH, 3)
        self.conv_seg = nn.Conv2d(_WIDTH, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        places = self.pam_out_conv(self.pam(self.pam_in_conv(x)))
        channels = self.cam_out_conv(self.cam(self.cam_in_conv(x)))
        return self.conv_seg(places + channels)  # type: ignore[no-any-return]


class DaNetResNet50(nn.Module):
    """Semantic segmentation.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 8. Output: float32 logits
    [N, classes, H/8, W/8].
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = resnet.ResNet50(deep_stem=True, dilated=True)
        self.decode_head = _Head(resnet.CHANNELS[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x)[-1])  # type: ignore[no-any-return]


_SPEC = ModelSpec(
    "danet_r50",
    DaNetResNet50,
    (384, 384),
    V2_CLASSES,
    V2_PIXELS,
    products=True,
    about="DANet (Fu et al., CVPR 2019, arXiv 1809.02983) on ResNet-50.",
)
FAMILY = Family(
    mark="decode_head.pam.gamma.scale",
    specs=(_SPEC,),
    trained=(replace(_SPEC, classes=V1_CLASSES),),
    classifier=CLASSIFIER,
    class_names=CLASS_NAMES,
    presets=PRESETS,
    training_only=(
        "auxiliary_head.",
        "decode_head.pam_conv_seg.",
        "decode_head.cam_conv_seg.",
    ),
)
