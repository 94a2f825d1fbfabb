"""Heads that only training reads: they look at planes inside a network and answer what it answers.

Widths and weights are those of EasyPortrait's configurations (hukenovs/easyportrait@1b3d3e5); names
of tensors are mmsegmentation's, so that files have its layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.models.blocks import ConvNorm


@dataclass(frozen=True, slots=True)
class Tap:
    """A head. place: the module whose answer it reads; name: of the head in the network.

    channels, width: of the plane and of the head; convs: how many 3x3 convolutions, 0: the plane is
    classified at once. joined: whether the plane goes in again before the last one. norm: whether
    convolutions are normalised. weight: of its loss.
    """

    place: str
    name: str
    channels: int
    width: int
    convs: int = 1
    joined: bool = False
    norm: bool = True
    weight: float = 0.4


_BISENET = ((16, 16), (32, 64), (64, 256), (128, 1024))
_OF_R50 = Tap("backbone.layer3", "auxiliary_head", 1024, 256)
TAPS: Mapping[str, tuple[Tap, ...]] = {
    "fcn_mobilenetv2": (Tap("backbone.layer5", "auxiliary_head", 96, 256),),
    "deeplabv3_r50": (_OF_R50,),
    "danet_r50": (
        _OF_R50,
        Tap("decode_head.pam_out_conv", "decode_head.pam_conv_seg", 512, 512, 0, weight=1.0),
        Tap("decode_head.cam_out_conv", "decode_head.cam_conv_seg", 512, 512, 0, weight=1.0),
    ),
    "bisenetv2": tuple(
        Tap(
            f"backbone.semantic.stage{index}",
            f"auxiliary_head.{index - 1}",
            channels,
            width,
            2,
            weight=1.0,
        )
        for index, (channels, width) in enumerate(_BISENET, start=1)
    ),
    "fastscnn": tuple(
        Tap("backbone", f"auxiliary_head.{index}", 128, 32, 2, True, norm=False, weight=1.0)
        for index in range(2)
    ),
}
"""By network; others have none."""


class _Head(nn.Module):
    """Input: float32 [N, C, H, W]. Output: float32 logits [N, classes, H, W]."""

    def __init__(self, tap: Tap, classes: int) -> None:
        super().__init__()
        befores = (tap.channels, *[tap.width] * (tap.convs - 1))
        self.convs = nn.Sequential(
            *(ConvNorm(before, tap.width, 3, norm=tap.norm) for before in befores)
        )
        self.conv_cat = (
            ConvNorm(tap.channels + tap.width, tap.width, 3, norm=tap.norm) if tap.joined else None
        )
        self.conv_seg = nn.Conv2d(tap.width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs(x)
        if self.conv_cat is not None:
            y = self.conv_cat(torch.cat([x, y], dim=1))
        return self.conv_seg(y)  # type: ignore[no-any-return]


def add_heads(network: nn.Module, taps: tuple[Tap, ...], classes: int) -> None:
    """Put the heads into the network, which does not run them by itself."""
    for tap in taps:
        head = _Head(tap, classes) if tap.convs else nn.Conv2d(tap.width, classes, 1)
        parent, _, name = tap.name.rpartition(".")
        if parent == "auxiliary_head" and not hasattr(network, parent):
            network.add_module(parent, nn.ModuleDict())
        network.get_submodule(parent).add_module(name, head)


class Watched(nn.Module):
    """A network with heads: (its own answer, the answers of the heads in the order of `taps`)."""

    def __init__(self, network: nn.Module, taps: tuple[Tap, ...]) -> None:
        super().__init__()
        self.network, self._taps = network, taps
        self._seen: dict[str, Tensor] = {}
        for place in {tap.place for tap in taps}:
            network.get_submodule(place).register_forward_hook(self._keep(place))

    def _keep(self, place: str):  # type: ignore[no-untyped-def]
        def keep(_module: nn.Module, _inputs: object, answer: Tensor) -> None:
            self._seen[place] = answer

        return keep

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        answer = self.network(pixels)
        heads = [self.network.get_submodule(tap.name)(self._seen[tap.place]) for tap in self._taps]
        self._seen.clear()
        return answer, heads
