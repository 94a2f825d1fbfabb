"""PortraitNet: a light encoder and a light decoder with skip connections.

Zhang, Dong, Li, Li, Yang, Jia, "PortraitNet: Real-time portrait segmentation network for mobile
device", Computers & Graphics 80, 2019; the encoder: Sandler et al., "MobileNetV2", CVPR 2018, arXiv
1801.04381 (with ReLU instead of ReLU6). Parameter names follow the authors' training files, so that
they load strictly. This project trains the same decoder, twice as wide at the end, on an
EfficientNet-Lite0 encoder, because ImageNet weights of that one can be had.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from export import processes
from export.models import efficientnet_lite
from export.models.outline import outline
from export.models.spec import PERSON, V1_CLASSES, Family, ModelSpec, Pixels, State

_STAGES = ((6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2))
"""MobileNetV2, table 2: expansion, width, blocks, stride of stages 2 to 6."""
_WIDTHS = (16, 24, 32, 96, 320)
"""Width of the encoder at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size."""
_LAST_WIDTH = 8
_LITE_LAST_WIDTH = 16
_FOCAL_POWER = 2.0
_OUTLINE_PX = 5


def _conv_norm(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(
        in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
    )
    return conv, nn.BatchNorm2d(out_channels)


class _InvertedResidual(nn.Module):
    """MobileNetV2 block: widen, filter each channel, narrow; a residual where size and width
    stay.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.conv = nn.Sequential(
            *_conv_norm(in_channels, wide),
            nn.ReLU(),
            *_conv_norm(wide, wide, kernel=3, stride=stride, groups=wide),
            nn.ReLU(),
            *_conv_norm(wide, out_channels),
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class _Transition(nn.Module):
    """Decoder block: two separable convolutions beside a 1x1 convolution, summed, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Sequential(
                *_conv_norm(in_channels, in_channels, kernel=3, groups=in_channels),
                nn.ReLU(),
                *_conv_norm(in_channels, out_channels),
                nn.ReLU(),
            ),
            *_conv_norm(out_channels, out_channels, kernel=3, groups=out_channels),
            nn.ReLU(),
            *_conv_norm(out_channels, out_channels),
        )
        self.residual = nn.Sequential(*_conv_norm(in_channels, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.block(x) + self.residual(x))


def _stage(in_channels: int, expansion: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = _InvertedResidual(in_channels, width, stride, expansion)
    return nn.Sequential(
        first, *(_InvertedResidual(width, width, 1, expansion) for _ in range(blocks - 1))
    )


def _enlarge(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)


class _Portrait(nn.Module):
    """The decoder and its heads; a subclass adds the encoder.

    Input: float32 [N, C, H, W], normalised, H and W multiples of 32; C is 3, or 4 where the last
        channel is the
    previous frame's probability of person (0 for the first frame). Output: float32 logits [N,
    classes, H, W]. With `edge`, training mode gives (logits, boundary logits [N, 2, H, W]);
    inference does not compute the boundary.

    Args:
        widths: of the encoder's planes at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size.
        last: channels of the decoder's last plane.
        classes: of the answer.
        edge: whether there is a boundary head.
    """

    def __init__(self, widths: tuple[int, ...], last: int, classes: int, edge: bool) -> None:
        super().__init__()
        outputs = (*widths[3::-1], last)
        for index, (width_in, width) in enumerate(zip(widths[::-1], outputs, strict=True), start=1):
            self.add_module(f"transit{index}", _Transition(width_in, width))
            self.add_module(f"deconv{index}", _enlarge(width))
        self.pred = nn.Conv2d(last, classes, 3, padding=1, bias=False)
        self.edge = nn.Conv2d(last, 2, 3, padding=1, bias=False) if edge else None

    def encode(self, x: Tensor) -> list[Tensor]:
        """The planes at 1/4, 1/8, 1/16 and 1/32 of the input's size."""
        raise NotImplementedError

    def _run(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.get_submodule(name)(x)
        return x

    def features(self, x: Tensor) -> Tensor:
        """What both heads read: float32 [N, last, H, W]."""
        quarter, eighth, sixteenth, y = self.encode(x)
        y = self._run(y, "transit1", "deconv1")
        y = self._run(y + sixteenth, "transit2", "deconv2")
        y = self._run(y + eighth, "transit3", "deconv3")
        y = self._run(y + quarter, "transit4", "deconv4")
        return self._run(y, "transit5", "deconv5")

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        features = self.features(x)
        logits: Tensor = self.pred(features)
        return (logits, self.edge(features)) if self.training and self.edge is not None else logits


class PortraitNet(_Portrait):
    """The authors' network, on MobileNetV2."""

    def __init__(self, classes: int = 2, channels: int = 3, edge: bool = False) -> None:
        super().__init__(_WIDTHS, _LAST_WIDTH, classes, edge)
        self.stage0 = nn.Sequential(*_conv_norm(channels, 32, kernel=3, stride=2), nn.ReLU())
        self.stage1 = _InvertedResidual(32, _WIDTHS[0], stride=1, expansion=1)
        width_in = _WIDTHS[0]
        for index, (expansion, width, blocks, stride) in enumerate(_STAGES, start=2):
            self.add_module(f"stage{index}", _stage(width_in, expansion, width, blocks, stride))
            width_in = width
        self.stage7 = _InvertedResidual(width_in, _WIDTHS[4], stride=1, expansion=6)

    def encode(self, x: Tensor) -> list[Tensor]:
        quarter = self._run(x, "stage0", "stage1", "stage2")
        eighth = self._run(quarter, "stage3")
        sixteenth = self._run(eighth, "stage4", "stage5")
        return [quarter, eighth, sixteenth, self._run(sixteenth, "stage6", "stage7")]


class PortraitNetLite(_Portrait):
    """The same decoder, wider at its end, on EfficientNet-Lite0."""

    def __init__(self, classes: int = 2, channels: int = 3, edge: bool = False) -> None:
        super().__init__(efficientnet_lite.WIDTHS, _LITE_LAST_WIDTH, classes, edge)
        self.encoder = efficientnet_lite.EfficientNetLite0(channels)

    def encode(self, x: Tensor) -> list[Tensor]:
        return self.encoder(x)[1:]  # type: ignore[no-any-return]


def boundary_loss(logits: Tensor, alpha: Tensor, valid: Tensor) -> Tensor:
    """Focal cross-entropy of the outline (section 3.3 of the paper, the boundary loss), four pixels
    wide.

    logits float [N, 2, H, W], alpha float [N, H, W] 0..1, valid float [N, H, W] 0 or 1; beside
    pixels that are not valid, whether there is an outline is not known.
    """
    score, target = logits[:, 1] - logits[:, 0], (outline(alpha, _OUTLINE_PX) > 0.5).float()
    valid = -functional.max_pool2d(-valid[:, None], _OUTLINE_PX, 1, _OUTLINE_PX // 2)[:, 0]
    entropy = functional.binary_cross_entropy_with_logits(score, target, reduction="none")
    missed = torch.abs(target - torch.sigmoid(score)) ** _FOCAL_POWER
    total = processes.summed((target * valid).sum()).clamp(min=1)
    return processes.summed((entropy * missed * valid).sum()) / total


_FIRST_CONV, _LITE_STEM = "stage0.0.weight", "encoder.stem.0.weight"


def _identify(state: State) -> str:
    lite = "_lite" if _LITE_STEM in state else ""
    if lite and _CLASSIFIER in state and state[_CLASSIFIER].shape[:1] > (2,):
        return "portraitnet_face"
    return f"portraitnet{lite}{'_prior' if _remembers(state) else ''}"


def _remembers(state: State) -> bool:
    return any(state[key].shape[1:2] == (4,) for key in (_FIRST_CONV, _LITE_STEM) if key in state)


def _variant(spec: ModelSpec, state: State) -> ModelSpec:
    """With the memory and the boundary head that the weights have."""
    options = {**spec.options, "edge": True} if "edge.weight" in state else {}
    return replace(spec, memory=_remembers(state), options=options)


_CLASSIFIER = "pred.weight"
# config/*.yaml there: blue, green, red; (x - mean) * 0.017
_AUTHORS = ModelSpec(
    "portraitnet",
    PortraitNet,
    (224, 224),
    PERSON,
    Pixels(mean=(123.68, 116.78, 103.94), std=(1 / 0.017, 1 / 0.017, 1 / 0.017), bgr=True),
    extra_loss=boundary_loss,
    fit="letterbox",
    card="portraitnet",
)
_LITE = ModelSpec(
    "portraitnet_lite",
    PortraitNetLite,
    (224, 320),  # of a 16:9 frame nearly the shape: outlines come closer than in a square
    PERSON,
    Pixels(mean=(127, 127, 127), std=(128, 128, 128)),
    # With all of it in half precision 0.9 % of a face's pixels change their class, so 0.1 %.
    single=3,
    engine="portraitnet",
    extra_loss=boundary_loss,
    card="portraitnet_lite",
)
_LITE_PRIOR = replace(_LITE, name="portraitnet_lite_prior", memory=True, engine="portraitnet_prior")
_FACE = replace(
    _LITE,
    name="portraitnet_face",
    size=(224, 224),
    classes=V1_CLASSES,
    engine="",
    card="portraitnet_face",
)
FAMILY = Family(
    mark="transit1.block.0.0.weight",
    specs=(
        _AUTHORS,
        replace(_AUTHORS, name="portraitnet_prior", memory=True),
        _LITE,
        _LITE_PRIOR,
        _FACE,
    ),
    trained=(
        replace(_AUTHORS, options={"edge": True}),
        replace(_AUTHORS, name="portraitnet_prior", memory=True, options={"edge": True}),
        replace(_LITE, options={"edge": True}),
        replace(_LITE_PRIOR, options={"edge": True}),
        _FACE,
    ),
    classifier=_CLASSIFIER,
    identify=_identify,
    variant=_variant,
)
