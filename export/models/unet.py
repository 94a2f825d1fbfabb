"""U-Net: an encoder that halves, a decoder that doubles, planes of one size joined.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015, arXiv 1505.04597, figure 1. Two departures: convolutions are padded, so that the answer
has the picture's size, and batch normalisation follows each, so that it trains with the others'
settings.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from export.models.easyportrait import CLASS_NAMES, V2_PIXELS
from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec

_WIDTHS = (64, 128, 256, 512, 1024)


def _twice(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (in_channels, out_channels):
        layers += [
            nn.Conv2d(before, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Semantic segmentation.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 16. Output: float32 logits
    [N, classes, H, W].
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        befores = (3, *_WIDTHS[:-1])
        self.down = nn.ModuleList(_twice(*pair) for pair in zip(befores, _WIDTHS, strict=True))
        self.pool = nn.MaxPool2d(2)
        pairs = list(zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(*pair, 2, 2) for pair in pairs)
        self.up = nn.ModuleList(_twice(*pair) for pair in pairs)
        self.classifier = nn.Conv2d(_WIDTHS[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        planes = []
        for index, block in enumerate(self.down):
            x = block(self.pool(x) if index else x)
            planes.append(x)
        for enlarge, block, plane in zip(self.enlarge, self.up, planes[-2::-1], strict=True):
            x = block(torch.cat([plane, enlarge(x)], dim=1))
        return self.classifier(x)  # type: ignore[no-any-return]


_SPEC = ModelSpec(
    "unet",
    UNet,
    (256, 256),
    V2_CLASSES,
    V2_PIXELS,
    about="U-Net (Ronneberger et al., MICCAI 2015, arXiv 1505.04597), padded and with batch "
    "normalisation.",
)
FAMILY = Family(
    mark="enlarge.0.weight",
    specs=(_SPEC,),
    trained=(replace(_SPEC, classes=V1_CLASSES),),
    classifier="classifier.weight",
    class_names=CLASS_NAMES,
)
