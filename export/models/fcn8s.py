"""FCN-8s on VGG-16, as published for faces.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, arXiv
1411.4038; for faces: Nirkin, Masi, Tran, Hassner, Medioni, "On Face Segmentation, Face Swapping,
and Face Perception", FG 2018, arXiv 1704.06729. Parameter names are those of the layers in the
authors' Caffe file, which its port to PyTorch kept.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.easyportrait import CLASS_NAMES
from export.models.spec import V1_CLASSES, Family, ModelSpec, Pixels, Preset, State

_VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_MARGIN = 100
"""Padding of the first convolution, so that small pictures still give 7x7 places for `fc6`."""
_WIDE = 4096
_CROPS = (5, 9, 31)
"""Where the parts that are added, and the answer, begin in the larger plane: it undoes the
margin.
"""


class _Scale(nn.Module):
    """One learnt factor per channel, Caffe's `Scale` without bias."""

    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(-1, 1, 1)


def _crop(x: Tensor, size: tuple[int, int], offset: int) -> Tensor:
    """The part of x of that size (height, width) from `offset`, or from less if it would end
    outside.
    """
    for axis, length in zip((2, 3), size, strict=True):
        x = x.narrow(axis, min(offset, x.shape[axis] - length), length)
    return x


def _enlarge(classes: int, factor: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(classes, classes, 2 * factor, factor, bias=False)


def joined(logits: Tensor) -> Tensor:
    """Of a background and several parts the background and the largest: float [N, 2, H, W]."""
    return torch.cat([logits[:, :1], logits[:, 1:].amax(1, keepdim=True)], dim=1)


class Fcn8s(nn.Module):
    """Semantic segmentation.

    Input: float32 [N, 3, H, W], normalised, any size. Output: float32 logits [N, classes, H, W].
    `outputs`: of the network, if it has more than the two classes: all but the first are the face,
    which is the largest of them, as the port to PyTorch takes it.
    """

    def __init__(self, classes: int, outputs: int = 0) -> None:
        super().__init__()
        self._joined = outputs > classes
        outputs = outputs or classes
        in_channels = 3
        for stage, widths in enumerate(_VGG, start=1):
            for index, width in enumerate(widths, start=1):
                padding = _MARGIN if in_channels == 3 else 1
                conv = nn.Conv2d(in_channels, width, 3, padding=padding)
                self.add_module(f"conv{stage}_{index}", conv)
                in_channels = width
        self.fc6 = nn.Conv2d(in_channels, _WIDE, 7)
        self.fc7 = nn.Conv2d(_WIDE, _WIDE, 1)
        self.drop = nn.Dropout(0.5)
        self.score_fr = nn.Conv2d(_WIDE, outputs, 1)
        self.upscore2 = _enlarge(outputs, 2)
        self.scale_pool4 = _Scale(512, 0.01)
        self.score_pool4 = nn.Conv2d(512, outputs, 1)
        self.upscore_pool4 = _enlarge(outputs, 2)
        self.scale_pool3 = _Scale(256, 0.0001)
        self.score_pool3 = nn.Conv2d(256, outputs, 1)
        self.upscore8 = _enlarge(outputs, 8)

    def forward(self, x: Tensor) -> Tensor:
        pools, y = [], x
        for stage, widths in enumerate(_VGG, start=1):
            for index in range(1, len(widths) + 1):
                y = torch.relu(self.get_submodule(f"conv{stage}_{index}")(y))
            y = functional.max_pool2d(y, 2)
            pools.append(y)
        y = self.drop(torch.relu(self.fc6(y)))
        y = self.drop(torch.relu(self.fc7(y)))
        y = self.upscore2(self.score_fr(y))
        side = self.score_pool4(self.scale_pool4(pools[3]))
        y = self.upscore_pool4(y + _crop(side, (y.shape[2], y.shape[3]), _CROPS[0]))
        side = self.score_pool3(self.scale_pool3(pools[2]))
        y = self.upscore8(y + _crop(side, (y.shape[2], y.shape[3]), _CROPS[1]))
        y = _crop(y, (x.shape[2], x.shape[3]), _CROPS[2])
        return joined(y) if self._joined else y


_CLASSIFIER = "score_fr.weight"
_PUBLISHED_OUTPUTS = 21
_FACE = ("background", "face")


def _variant(spec: ModelSpec, state: State) -> ModelSpec:
    """Of 21 outputs a face and its background; of two a person and the room."""
    rows = state[_CLASSIFIER].shape[:1] if _CLASSIFIER in state else (_PUBLISHED_OUTPUTS,)
    if rows == (_PUBLISHED_OUTPUTS,):
        options = {"outputs": _PUBLISHED_OUTPUTS}
        return replace(spec, classes=_FACE, named=True, options=options)
    return replace(spec, classes=(), named=False, options={})


_PIXELS = Pixels(mean=(122.67892, 116.66877, 104.00699), std=(1.0, 1.0, 1.0), bgr=True)
_SPEC = ModelSpec(
    "fcn8s",
    Fcn8s,
    (512, 512),
    _FACE,
    _PIXELS,
    options={"outputs": _PUBLISHED_OUTPUTS},
    named=True,
    about="FCN-8s on VGG-16 (Long et al., CVPR 2015, arXiv 1411.4038).",
)
FAMILY = Family(
    mark="score_pool4.weight",
    specs=(_SPEC,),
    trained=(replace(_SPEC, classes=V1_CLASSES, named=False, options={}),),
    classifier=_CLASSIFIER,
    class_names=CLASS_NAMES,
    variant=_variant,
    presets=(
        Preset(
            "face_segmentation_pytorch",
            _PIXELS,
            "YuvalNirkin/face_segmentation, or its port andres-fr/face_segmentation_pytorch",
            "Apache-2.0",
            mark=_CLASSIFIER,
        ),
    ),
)
