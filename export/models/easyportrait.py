"""Common parts of EasyPortrait's networks: structure, classes, and pixel formats."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec, Pixels, Preset

V1_PIXELS = Pixels(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""Branch EasyPortrait_v1 @ ea28019, pipelines/local_configs/easy_portrait_experiments/:
ImageNet's.
"""
V2_PIXELS = Pixels(
    mean=(143.55267075, 132.96705975, 126.94924335), std=(60.2625333, 60.32740275, 59.30988645)
)
"""Branch main @ 1b3d3e5, pipelines/local_configs/easyportrait_experiments_v2/: its own."""
CLASSIFIER = "decode_head.conv_seg.weight"
"""Of all its networks: the tensor with one row for each class."""
CLASS_NAMES = {2: ("background", "person"), 8: V2_CLASSES, 9: V1_CLASSES}
"""Portraits of version 2, face parsing of version 2, version 1."""
PRESETS = (
    Preset(
        "easyportrait_v1",
        V1_PIXELS,
        "EasyPortrait, version 1 (hukenovs/easyportrait)",
        classes=(9,),
        fit="corner",
    ),
    Preset(
        "easyportrait_v2",
        V2_PIXELS,
        "EasyPortrait, version 2 (hukenovs/easyportrait)",
        classes=(2, 8),
    ),
)


class BackboneAndHead(nn.Module):
    """Semantic segmentation by a backbone and a head, which determine input and output."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x))  # type: ignore[no-any-return]


def family_of(spec: ModelSpec, mark: str) -> Family:
    """The family of one network with an auxiliary head; here it is trained with version 1's
    classes.

    mark: the tensor that identifies its checkpoints.
    """
    return Family(
        mark=mark,
        specs=(spec,),
        trained=(replace(spec, classes=V1_CLASSES),),
        classifier=CLASSIFIER,
        class_names=CLASS_NAMES,
        presets=PRESETS,
        training_only=("auxiliary_head.",),
    )
