"""The network of MediaPipe's selfie segmentation, read off its published graph (Apache-2.0, The
MediaPipe Authors).

A MobileNetV3-small encoder (Howard et al., ICCV 2019) down to a sixteenth of the picture, and a
decoder of 1x1 convolutions that weighs the channels of each skip connection by a global average.
106 thousand parameters. There are no normalisation layers: the published file has them folded into
the convolutions.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.errors import ExportError
from export.models.spec import PERSON, Family, ModelSpec, Pixels, Preset, State
from export.weights.tflite import TfliteGraph

_BLOCKS = (
    # kernel, stride, width inside, channels out, squeezed channels (0: no squeeze), hard swish
    (3, 2, 16, 16, 8, False),
    (3, 2, 72, 24, 0, False),
    (3, 1, 88, 24, 0, False),
    (5, 2, 96, 32, 24, True),
    (5, 1, 128, 32, 32, True),
    (5, 1, 128, 32, 32, True),
    (5, 1, 96, 32, 24, True),
    (5, 1, 96, 32, 24, True),
)
_SKIPS = (0, 2)
"""The blocks whose output the decoder reads, besides the stem's."""


class _Conv(nn.Module):
    """A convolution padded as TensorFlow's "same": at stride 2 the odd row and column go below and
    to the right.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        self._pad = (before, after, before, after)
        if before == after:
            self.conv.padding = (before, before)
            self._pad = (0, 0, 0, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, self._pad) if any(self._pad) else x)  # type: ignore[no-any-return]


class _Gate(nn.Module):
    """Weights of channels, 0..1, from their global averages: float [N, C, H, W] to float [N, C, 1,
    1].
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = _Conv(channels, squeezed)
        self.expand = _Conv(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(
            self.expand(functional.relu(self.reduce(x.mean((2, 3), keepdim=True))))
        )


class _Block(nn.Module):
    def __init__(
        self,
        inputs: int,
        kernel: int,
        stride: int,
        inside: int,
        outputs: int,
        squeezed: int,
        swish: bool,
    ) -> None:
        super().__init__()
        self.expand = _Conv(inputs, inside)
        self.depthwise = _Conv(inside, inside, kernel, stride, groups=inside)
        self.gate = _Gate(inside, squeezed) if squeezed else None
        self.project = _Conv(inside, outputs)
        self._act = functional.hardswish if swish else functional.relu
        self._adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self._act(self.depthwise(self._act(self.expand(x))))
        if self.gate is not None:
            y = y * self.gate(y)
        y = self.project(y)
        return x + y if self._adds else y


class _Decoder(nn.Module):
    """One step up: what comes from below is enlarged and joined with a skip connection."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.project = _Conv(inputs, channels)
        self.gate = _Gate(channels, channels)
        self.mix = _Conv(channels, channels)
        self.depthwise = _Conv(channels, channels, 3, groups=channels)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        # the published graph enlarges first; both are linear and the weights of bilinear sampling
        # add up to 1, so the answer is the same for a quarter of the work
        x = functional.interpolate(
            self.project(below), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        y = functional.relu(self.mix(skip * self.gate(skip + x) + x))
        return y + functional.relu(self.depthwise(y))


class Selfie(nn.Module):
    """float [N, 3, H, W] RGB 0..1, sides multiples of 16, to the logit of a person, float [N, 1, H,
    W].

    channels: of the input; 4 with the matte of the frame before as the last.
    """

    def __init__(self, classes: int = 1, channels: int = 3) -> None:
        super().__init__()
        if classes != 1:
            raise ValueError(f"{classes} classes: the network has one logit")
        self.stem = _Conv(channels, 16, 3, 2)
        blocks, inputs = [], 16
        for kernel, stride, inside, outputs, squeezed, swish in _BLOCKS:
            blocks.append(_Block(inputs, kernel, stride, inside, outputs, squeezed, swish))
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.context = _Conv(inputs, 128)
        self.context_gate = _Conv(inputs, 128)
        self.decoders = nn.ModuleList([_Decoder(128, 24), _Decoder(24, 16), _Decoder(16, 16)])
        self.head = nn.ConvTranspose2d(16, 1, 2, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan = module.weight[0].numel()
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan))
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = functional.hardswish(self.stem(x))
        skips = [x]
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in _SKIPS:
                skips.append(x)
        weight = torch.sigmoid(self.context_gate(x.mean((2, 3), keepdim=True)))
        x = functional.relu(self.context(x)) * weight
        for decoder, skip in zip(self.decoders, reversed(skips), strict=True):
            x = decoder(x, skip)
        return self.head(x)  # type: ignore[no-any-return]


_WEIGHTED = {
    # how each kind of operator stores its weights, as the axes of torch's layout
    "CONV_2D": (0, 3, 1, 2),
    "DEPTHWISE_CONV_2D": (3, 0, 1, 2),
    "Convolution2DTransposeBias": (3, 0, 1, 2),
}


def from_published(graph: TfliteGraph, name: str) -> dict[str, Tensor]:
    """The state of a `Selfie` in a published model, landscape or square; `name` is for messages.

    Raises:
        ExportError: it is another network.
    """
    found = [
        (
            graph.tensors[operator.inputs[1]].data,
            graph.tensors[operator.inputs[2]].data,
            _WEIGHTED[operator.kind],
        )
        for operator in graph.operators
        if operator.kind in _WEIGHTED and len(operator.inputs) >= 3 and min(operator.inputs) >= 0
    ]
    wanted = Selfie().state_dict()
    layers = [key.removesuffix(".weight") for key in wanted if key.endswith(".weight")]
    state: dict[str, Tensor] = {}
    for layer, (weight, bias, axes) in zip(layers, found, strict=False):
        if weight is None or bias is None or weight.ndim != len(axes):
            break
        state[f"{layer}.weight"] = torch.from_numpy(weight.transpose(axes).astype("float32"))
        state[f"{layer}.bias"] = torch.from_numpy(bias.astype("float32"))
    shapes = {key: value.shape for key, value in state.items()}
    if len(found) != len(layers) or shapes != {key: value.shape for key, value in wanted.items()}:
        raise ExportError(
            f"{name}: not MediaPipe's selfie segmentation; give selfie_segmentation.tflite or "
            "selfie_segmentation_landscape.tflite"
        )
    return state


_STEM = "stem.conv.weight"


def _identify(state: State) -> str:
    return "selfie_prior" if _STEM in state and state[_STEM].shape[1:2] == (4,) else "selfie"


_SELFIE = ModelSpec(
    "selfie",
    Selfie,
    (192, 320),
    PERSON,
    Pixels(mean=(0, 0, 0), std=(255, 255, 255)),  # 0..1, as the published graph takes them
    options={"classes": 1},
    card="selfie",
)
_PRIOR = replace(_SELFIE, name="selfie_prior", memory=True)
_PUBLISHED = Preset(
    "mediapipe_landscape",
    _SELFIE.pixels,
    source="google-ai-edge/mediapipe@8b57bf8, selfie_segmentation_landscape.tflite",
    licence="Apache-2.0",
    sha256="4aafe6223bb8dac6fac8ca8ed56852870a33051ef3f6238822d282a109962894",
    size=(144, 256),
    clear=True,
)
FAMILY = Family(
    mark="context_gate.conv.weight",
    specs=(_SELFIE, _PRIOR),
    trained=(_SELFIE, _PRIOR),
    identify=_identify,
    variant=lambda spec, state: replace(spec, memory=_identify(state) == "selfie_prior"),
    presets=(
        _PUBLISHED,
        replace(
            _PUBLISHED,
            name="mediapipe_square",
            source="google-ai-edge/mediapipe@8b57bf8, selfie_segmentation.tflite",
            sha256="8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27",
            size=(256, 256),
        ),
    ),
)
