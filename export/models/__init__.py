"""The networks that this project trains and exports, by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from export.errors import ExportError


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """How a network sees pixels: `(x - mean) / std` of RGB 0..255, input `size` (height, width), its classes.

    `bgr`: the network was trained on blue, green, red; `mean` and `std` stay in the order red, green, blue.
    """

    name: str
    size: tuple[int, int]
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    def build(self) -> nn.Module:
        """A new network with random weights."""
        if self.name == "sinet":
            from export.models.sinet import SINet

            return SINet(len(self.classes))
        raise ExportError(f"model {self.name!r} has no network")

    def normalise(self, image: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB to float32 [N, 3, H, W] as the network wants it."""
        mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (self.mean, self.std))
        pixels = (image.permute(0, 3, 1, 2).float() - mean) / std
        return pixels.flip(1) if self.bgr else pixels

    def fold(self, network: nn.Module, size: tuple[int, int]) -> nn.Module | None:
        """The same network rewritten for speed, or None: float32 [1, 3, H, W] RGB 0..255 to logits [1, H, W]."""
        if self.name != "sinet":
            return None
        from export.models.sinet import SINet
        from export.models.sinet_folded import FoldedSINet

        assert isinstance(network, SINet)
        return FoldedSINet(network, torch.tensor(self.mean), torch.tensor(self.std), self.bgr, size)


MODELS = {
    "sinet": ModelSpec(
        name="sinet",
        size=(224, 224),
        classes=("room", "person"),
        mean=(127.5, 127.5, 127.5),
        std=(63.75, 63.75, 63.75),
    ),
}


@dataclass(frozen=True, slots=True)
class Preset:
    """Published weights that see pixels in another way than our own training of the same network."""

    spec: ModelSpec
    sha256: str
    source: str
    licence: str


PRESETS = {
    # etc/Visualize_video.py there: blue, green, red; (x - mean) / std and after that / 255
    "clovaai": Preset(
        spec=replace(
            MODELS["sinet"],
            mean=(132.35703, 115.69884, 107.304565),
            std=(255 * 68.29726, 255 * 65.1337, 255 * 63.97182),
            bgr=True,
        ),
        sha256="d164a9643c6e6765fc6dd4ec73f6018ad2526c21336911b4484715f33e6981a4",
        source="clovaai/ext_portrait_segmentation@9bc1bad, result/SINet/",
        licence="MIT",
    ),
}


def find_model(name: str) -> ModelSpec:
    """The model of that name.

    Raises:
        ExportError: there is none; the message lists the known ones.
    """
    if name not in MODELS:
        raise ExportError(f"unknown model {name!r}; known: {', '.join(sorted(MODELS))}")
    return MODELS[name]


def find_preset(name: str, model: str) -> Preset:
    """The published weights of that name for that model.

    Raises:
        ExportError: there are none; the message lists the known ones.
    """
    known = sorted(key for key, preset in PRESETS.items() if preset.spec.name == model)
    if name not in known:
        raise ExportError(f"unknown preset {name!r} for {model}; known: {', '.join(known) or 'none'}")
    return PRESETS[name]
