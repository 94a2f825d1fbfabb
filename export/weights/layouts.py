"""What a checkpoint's own tensors say of it: which network they belong to, and which variant of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from export.errors import ExportError
from export.models import TRAINED, V1_CLASSES, V2_CLASSES, ModelSpec

_MARKS = {
    "context_gate.conv.weight": "selfie",
    "level2_C.conv.weight": "sinet",
    "Fine.0.conv.weight": "extremec3",
    "transit1.block.0.0.weight": "portraitnet",
    "decode_head.fusion_conv.conv.weight": "segformer",
}
_SELFIE_STEM = "stem.conv.weight"
_FIRST_CONV = "stage0.0.weight"
_LITE_STEM = "encoder.stem.0.weight"
_PREDICTION = "pred.weight"
_CLASSIFIER = "decode_head.conv_seg.weight"
_EMBED = "backbone.layers.0.0.projection.weight"
_DEEP = "backbone.layers.2.1.39.norm1.weight"  # block 40 of stage 3: only the largest has it

SEGFORMER_CLASSES = {
    2: ("background", "person"),
    8: V2_CLASSES,
    9: V1_CLASSES,
}
"""EasyPortrait's: portraits of version 2, face parsing of version 2, version 1."""


def identify(state: Mapping[str, Tensor]) -> str | None:
    """The network whose weights these are, as far as their names tell."""
    family = next((name for key, name in _MARKS.items() if key in state), None)
    if family == "portraitnet" and len(state.get(_PREDICTION, ())) > 2:
        return "portraitnet_face"
    if family == "portraitnet" and any(
        len(state[key][0]) == 4 for key in (_FIRST_CONV, _LITE_STEM) if key in state
    ):
        return "portraitnet_prior"
    if family == "selfie" and len(state[_SELFIE_STEM][0]) == 4:
        return "selfie_prior"
    if family != "segformer" or _EMBED not in state:
        return family
    small = len(state[_EMBED]) == 32
    return "segformer_b0" if small else "segformer_b5" if _DEEP in state else "segformer_b2"


def is_weights_of(spec: ModelSpec, state: Mapping[str, Tensor]) -> bool:
    """Whether the names do not speak against it; `portraitnet` stands for both of its variants."""
    found = identify(state)
    return found in {None, spec.name} or (found, spec.name) == ("portraitnet_prior", "portraitnet")


def resolve(
    path: Path, spec: ModelSpec, state: Mapping[str, Tensor], classes: str | None = None
) -> ModelSpec:
    """The variant of `spec` that a checkpoint holds: prior channel and boundary head, classes, width of the decoder.

    classes: names with commas between, or their number; None takes the usual ones for the number in the file.

    Raises:
        ExportError: the number of classes has no usual names, or is not that of `classes`.
    """
    if spec.name.startswith("portraitnet"):
        spec = _portraitnet(spec, state)
        return _named(path, spec, classes, len(state.get(_PREDICTION, spec.classes)))
    if spec.name.startswith("segformer") and _CLASSIFIER in state and is_weights_of(spec, state):
        count, head = state[_CLASSIFIER].shape[:2]
        spec = replace(
            spec, classes=SEGFORMER_CLASSES.get(count, ()), options=(*spec.options, ("head", head))
        )
        return _named(path, spec, classes, count)
    return _named(path, spec, classes, len(spec.classes))


def _portraitnet(spec: ModelSpec, state: Mapping[str, Tensor]) -> ModelSpec:
    if spec.task == "person" and _LITE_STEM in state:
        spec = replace(TRAINED[spec.name], options=())
    options = dict(spec.options)
    if spec.task == "person" and identify(state) == "portraitnet_prior":
        options["channels"] = 4
    if "edge.weight" in state:
        options["edge"] = True
    return replace(spec, options=tuple(options.items()))


def _named(path: Path, spec: ModelSpec, classes: str | None, count: int) -> ModelSpec:
    if classes is not None and not classes.isdecimal():
        spec = replace(spec, classes=tuple(name.strip() for name in classes.split(",")))
    asked = int(classes) if classes is not None and classes.isdecimal() else len(spec.classes)
    if classes is not None and asked != count:
        raise ExportError(
            f"{path}: holds {count} classes, --classes says {asked}; name as many as it holds"
        )
    if not spec.classes:
        known = ", ".join(map(str, SEGFORMER_CLASSES))
        raise ExportError(
            f"{path}: holds {count} classes, which no known portrait or face checkpoint does ({known}); "
            "if it is one, name them all with --classes"
        )
    if "" in spec.classes or len(set(spec.classes)) < len(spec.classes):
        raise ExportError(f"--classes {classes!r}: an empty name or one that comes twice")
    return spec
