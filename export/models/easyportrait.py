"""What the networks of EasyPortrait have in common: classes, and what they read of a picture."""

from __future__ import annotations

from export.models.spec import V1_CLASSES, V2_CLASSES, Pixels, Preset

V1_PIXELS = Pixels(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""Branch EasyPortrait_v1 @ ea28019, pipelines/local_configs/easy_portrait_experiments/: ImageNet's."""
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
