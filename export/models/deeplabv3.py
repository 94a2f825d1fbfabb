"""DeepLabV3 on ResNet-50: parallel convolutions of several dilations beside the picture's mean.

Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation",
arXiv 1706.05587. Two layouts: mmsegmentation 0.x (EasyPortrait's files) and torchvision
(face_segmentation's); the checkpoints of each load strictly into the class of that name.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from export.models import resnet
from export.models.blocks import ConvNorm, size_of
from export.models.easyportrait import CLASS_NAMES, CLASSIFIER, PRESETS, V1_PIXELS, V2_PIXELS
from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec, Preset, State

_RATES = (12, 24, 36)
_MM_WIDTH = 512
_TV_WIDTH = 256


class _MmHead(nn.Module):
    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        width = _MM_WIDTH
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvNorm(in_channels, width))
        self.aspp_modules = nn.ModuleList(
            [
                ConvNorm(in_channels, width),
                *(ConvNorm(in_channels, width, 3, dilation=rate) for rate in _RATES),
            ]
        )
        self.bottleneck = ConvNorm((len(_RATES) + 2) * width, width, 3)
        self.conv_seg = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.image_pool(x).expand(-1, -1, *size_of(x))
        joined = torch.cat([mean, *(branch(x) for branch in self.aspp_modules)], dim=1)
        return self.conv_seg(self.bottleneck(joined))  # type: ignore[no-any-return]


class DeepLabV3ResNet50(nn.Module):
    """Semantic segmentation in mmsegmentation's layout.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 8. Output: float32 logits
    [N, classes, H/8, W/8].
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = resnet.ResNet50(deep_stem=True, dilated=True)
        self.decode_head = _MmHead(resnet.CHANNELS[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x)[-1])  # type: ignore[no-any-return]


def _conv_norm(in_channels: int, out_channels: int, rate: int = 0) -> list[nn.Module]:
    """Of 1x1, or of 3x3 if `rate`, its dilation, is given."""
    kernel, dilation = (3, rate) if rate else (1, 1)
    conv = nn.Conv2d(
        in_channels, out_channels, kernel, 1, kernel // 2 * dilation, dilation, bias=False
    )
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]


class _Aspp(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(*_conv_norm(in_channels, _TV_WIDTH, rate)) for rate in (0, *_RATES)
        )
        pooled = [nn.AdaptiveAvgPool2d(1), *_conv_norm(in_channels, _TV_WIDTH)]
        self.convs.append(nn.Sequential(*pooled))
        self.project = nn.Sequential(
            *_conv_norm(len(self.convs) * _TV_WIDTH, _TV_WIDTH), nn.Dropout(0.5)
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = [conv(x) for conv in self.convs]
        branches[-1] = branches[-1].expand(-1, -1, *size_of(x))
        return self.project(torch.cat(branches, dim=1))  # type: ignore[no-any-return]


class TorchvisionDeepLabV3(nn.Module):
    """The same network in torchvision's layout: one 7x7 convolution first, half the head's width.

    Input and output: as `DeepLabV3ResNet50`; with `outputs` = 1 there is one logit, for the second
    of two classes.
    """

    def __init__(self, classes: int, outputs: int = 0) -> None:
        super().__init__()
        self.backbone = resnet.ResNet50(deep_stem=False, dilated=True)
        self.classifier = nn.Sequential(
            _Aspp(resnet.CHANNELS[-1]),
            *_conv_norm(_TV_WIDTH, _TV_WIDTH, 1),
            nn.Conv2d(_TV_WIDTH, outputs or classes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.backbone(x)[-1])  # type: ignore[no-any-return]


_TV_MARK = "classifier.0.convs.0.0.weight"
_TV_CLASSIFIER = "classifier.4.weight"
_FACE_SEGMENTATION = Preset(
    "face_segmentation",
    V1_PIXELS,
    "ashimatyuk/face_segmentation@cc47f43, model.py",
    size=(512, 512),
    mark=_TV_MARK,
)
"""Its face is skin without glasses; its demo paints where the logit is above 0.1."""


def _variant(spec: ModelSpec, state: State) -> ModelSpec:
    """In the layout of the weights; with one logit, its class and the background."""
    if _TV_MARK not in state:
        return spec
    rows = state[_TV_CLASSIFIER].shape[:1] if _TV_CLASSIFIER in state else ()
    spec = replace(spec, network=TorchvisionDeepLabV3)
    if rows != (1,):
        return spec
    return replace(spec, classes=("background", "face"), named=True, options={"outputs": 1})


_SPEC = ModelSpec(
    "deeplabv3_r50",
    DeepLabV3ResNet50,
    (384, 384),
    V2_CLASSES,
    V2_PIXELS,
    about="DeepLabV3 (Chen et al., arXiv 1706.05587) on ResNet-50.",
)
FAMILY = Family(
    mark="decode_head.aspp_modules.0.conv.weight",
    specs=(_SPEC,),
    trained=(replace(_SPEC, classes=V1_CLASSES),),
    classifier=(CLASSIFIER, _TV_CLASSIFIER),
    class_names=CLASS_NAMES,
    variant=_variant,
    presets=(*PRESETS, _FACE_SEGMENTATION),
    others=(_TV_MARK,),
    training_only=("auxiliary_head.", "aux_classifier."),
)
