"""The networks that this project trains and exports, by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from export.errors import ExportError

_NETWORKS = {
    "sinet": "export.models.sinet:SINet",
    "extremec3": "export.models.extremec3:ExtremeC3Net",
    "portraitnet": "export.models.portraitnet:PortraitNet",
    "portraitnet_prior": "export.models.portraitnet:PortraitNet",
    "portraitnet_lite": "export.models.portraitnet:PortraitNetLite",
    "selfie": "export.models.selfie:Selfie",
    "selfie_prior": "export.models.selfie:Selfie",
    "segformer_b0": "export.models.segformer:SegFormer",
    "segformer_b2": "export.models.segformer:SegFormer",
    "segformer_b5": "export.models.segformer:SegFormer",
}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """How a network sees pixels: `(x - mean) / std` of RGB 0..255, input `size` (height, width), its classes.

    `bgr`: the network was trained on blue, green, red; `mean` and `std` stay in the order red, green, blue.
    `options`: what else its constructor takes. `gain`: alpha is the sigmoid of `gain` times the logit.
    `network`: which network it is, where that is not its name. `single`: how many of its first convolutions stay
    float32 in half precision.
    """

    name: str
    size: tuple[int, int]
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    gain: float = 1.0
    network: str = ""
    single: int = 0

    @property
    def task(self) -> str:
        """Two classes separate a person from the room; more are the parts of a face."""
        return "person" if len(self.classes) == 2 else "face"

    @property
    def stateful(self) -> bool:
        """Whether the network also reads its previous answer."""
        return dict(self.options).get("channels") == 4

    def build(self) -> nn.Module:
        """A new network with random weights."""
        module, _, name = _NETWORKS[self.network or self.name].partition(":")
        network: nn.Module = getattr(importlib.import_module(module), name)(
            **({"classes": len(self.classes)} | dict(self.options))
        )
        return network

    def normalise(self, image: Tensor, *state: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB to float32 [N, 3, H, W] as the network wants it.

        state: of a stateful network, float32 [N, 1, H, W], the previous share of person, 0..1; it is the last channel.
        """
        mean, std = (
            torch.tensor(x, device=image.device).view(1, 3, 1, 1) for x in (self.mean, self.std)
        )
        pixels = (
            image.float().permute(0, 3, 1, 2) - mean
        ) / std  # in this order: TensorRT moves no uint8
        pixels = pixels.flip(1) if self.bgr else pixels
        return torch.cat([pixels, *state], dim=1) if state else pixels

    def score(self, logits: Tensor) -> Tensor:
        """What the last sigmoid or softmax reads. logits: float32 [N, K, h, w].

        Person: float32 [N, 1, h, w], person minus room. Face: the logits themselves.
        """
        if self.task == "face":
            return logits
        score = logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits
        return score if self.gain == 1 else score * self.gain

    def fold(self, network: nn.Module, size: tuple[int, int]) -> nn.Module | None:
        """The same network rewritten for speed, or None: float32 [1, 3, H, W] RGB 0..255 to logits [1, H, W]."""
        if self.name != "sinet":
            return None
        from export.models.sinet import SINet
        from export.models.sinet_folded import FoldedSINet

        assert isinstance(network, SINet)
        return FoldedSINet(network, torch.tensor(self.mean), torch.tensor(self.std), self.bgr, size)


# etc/Visualize_video.py there: blue, green, red; (x - mean) / std and after that / 255
_CLOVAAI_MEAN = (132.35703, 115.69884, 107.304565)
_CLOVAAI_STD = (255 * 68.29726, 255 * 65.1337, 255 * 63.97182)
PERSON = ("room", "person")
V2_CLASSES = (
    "background",
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "lips",
    "teeth",
)
V1_CLASSES = ("background", "person", *V2_CLASSES[1:])
"""EasyPortrait's classes, version 1 and 2. Left is the left side of the picture."""

_SINET = ModelSpec(
    "sinet",
    (256, 352),  # 1.8 times the authors' pixels, nearer to the shape of a webcam's frame
    PERSON,
    mean=(127.5, 127.5, 127.5),
    std=(63.75, 63.75, 63.75),
)
# Trained with a Lovász hinge loss, which asks of a logit no more than 1 or less than -1. A plain sigmoid of that is
# 0.73 or 0.27: a ghost of the room everywhere. Times 6, the margins are 0.9975 and 0.0025.
_EXTREMEC3 = ModelSpec(
    "extremec3",
    (224, 224),
    PERSON,
    _CLOVAAI_MEAN,
    _CLOVAAI_STD,
    bgr=True,
    options=(("classes", 1),),
    gain=6.0,
)
# config/*.yaml there: blue, green, red; (x - mean) * 0.017
_PORTRAITNET = ModelSpec(
    "portraitnet",
    (224, 224),
    PERSON,
    mean=(123.68, 116.78, 103.94),
    std=(1 / 0.017, 1 / 0.017, 1 / 0.017),
    bgr=True,
)
_OWN_PORTRAITNET = ModelSpec(
    "portraitnet",
    (224, 320),  # of a 16:9 frame nearly the shape: outlines come closer than in a square
    PERSON,
    mean=(127, 127, 127),
    std=(128, 128, 128),
    network="portraitnet_lite",
    single=3,  # with all of it in half precision, 0.9 % of a face's pixels change their class; so, 0.1 %
)
# pixels 0..1, as the published graph takes them
_SELFIE = ModelSpec(
    "selfie", (160, 288), PERSON, mean=(0, 0, 0), std=(255, 255, 255), options=(("classes", 1),)
)
# pipelines/local_configs/easyportrait_experiments_v2/ of EasyPortrait
_SEGFORMER = ModelSpec(
    "segformer_b0",
    (384, 384),
    V2_CLASSES,
    mean=(143.55267075, 132.96705975, 126.94924335),
    std=(60.2625333, 60.32740275, 59.30988645),
    options=(("encoder", "b0"),),
)

MODELS = {
    spec.name: spec
    for spec in (
        _SELFIE,
        replace(_SELFIE, name="selfie_prior", options=(*_SELFIE.options, ("channels", 4))),
        _SINET,
        _EXTREMEC3,
        _PORTRAITNET,
        replace(_PORTRAITNET, name="portraitnet_prior", options=(("channels", 4),)),
        replace(_OWN_PORTRAITNET, name="portraitnet_face", size=(224, 224), classes=V1_CLASSES),
        _SEGFORMER,
        replace(_SEGFORMER, name="segformer_b2", options=(("encoder", "b2"),)),
        replace(_SEGFORMER, name="segformer_b5", options=(("encoder", "b5"),)),
    )
}


TRAINED = {
    spec.name: spec
    for spec in (
        _SELFIE,
        replace(_SELFIE, name="selfie_prior", options=(*_SELFIE.options, ("channels", 4))),
        _SINET,
        replace(_OWN_PORTRAITNET, options=(("edge", True),)),
        replace(
            _OWN_PORTRAITNET, name="portraitnet_prior", options=(("edge", True), ("channels", 4))
        ),
        MODELS["portraitnet_face"],
        replace(_SEGFORMER, size=(256, 256), classes=V1_CLASSES),
    )
}
"""What `train` trains: the variants of `MODELS` that this project ships."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Published weights, known by their sha256; they may see pixels in another way than our own training."""

    spec: ModelSpec
    sha256: str
    source: str
    licence: str


PRESETS = {
    "clovaai": Preset(
        spec=replace(_SINET, size=(224, 224), mean=_CLOVAAI_MEAN, std=_CLOVAAI_STD, bgr=True),
        sha256="d164a9643c6e6765fc6dd4ec73f6018ad2526c21336911b4484715f33e6981a4",
        source="clovaai/ext_portrait_segmentation@9bc1bad, result/SINet/",
        licence="MIT",
    ),
    "mediapipe_landscape": Preset(
        spec=replace(_SELFIE, size=(144, 256)),
        sha256="4aafe6223bb8dac6fac8ca8ed56852870a33051ef3f6238822d282a109962894",
        source="google-ai-edge/mediapipe@8b57bf8, selfie_segmentation_landscape.tflite",
        licence="Apache-2.0",
    ),
    "mediapipe_square": Preset(
        spec=replace(_SELFIE, size=(256, 256)),
        sha256="8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27",
        source="google-ai-edge/mediapipe@8b57bf8, selfie_segmentation.tflite",
        licence="Apache-2.0",
    ),
    "clovaai_extremec3": Preset(
        spec=_EXTREMEC3,
        sha256="52ff1681c7f65899f203106a64562c3a709172f3a65aa1ad5bef7bb9a22a39db",
        source="clovaai/ext_portrait_segmentation@9bc1bad, result/ExtremeC3/",
        licence="MIT",
    ),
}

CLEAR_PRESETS = ("mediapipe_landscape", "mediapipe_square")
"""Published weights that may be trained on under `--licence clear`: their authors state a licence for them."""


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
        raise ExportError(
            f"unknown preset {name!r} for {model}; known: {', '.join(known) or 'none'}"
        )
    return PRESETS[name]
