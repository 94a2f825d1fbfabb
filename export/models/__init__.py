"""The networks that this project trains and exports, by name.

A family is a module with a `FAMILY` (see `export.models.spec`); listing it here is all that makes
it known.
"""

from __future__ import annotations

from export.errors import ExportError
from export.models import (
    bisenetv2,
    danet,
    deeplabv3,
    ehanet,
    extremec3,
    fastscnn,
    fcn,
    fcn8s,
    fpn,
    lraspp,
    portraitnet,
    segformer,
    segnext,
    selfie,
    sinet,
    unet,
)
from export.models.spec import PERSON, V1_CLASSES, V2_CLASSES, Family, ModelSpec, Pixels, Preset

__all__ = [
    "CLEAR_PRESETS",
    "FAMILIES",
    "MODELS",
    "PERSON",
    "PRESETS",
    "TRAINED",
    "V1_CLASSES",
    "V2_CLASSES",
    "Family",
    "ModelSpec",
    "Pixels",
    "Preset",
    "family_of",
    "find_model",
    "find_preset",
    "model_of",
]

FAMILIES = (
    sinet.FAMILY,
    extremec3.FAMILY,
    portraitnet.FAMILY,
    segformer.FAMILY,
    selfie.FAMILY,
    lraspp.FAMILY,
    fcn.FAMILY,
    fpn.FAMILY,
    bisenetv2.FAMILY,
    segnext.FAMILY,
    danet.FAMILY,
    deeplabv3.FAMILY,
    fastscnn.FAMILY,
    fcn8s.FAMILY,
    unet.FAMILY,
    ehanet.FAMILY,
)
MODELS = {spec.name: spec for family in FAMILIES for spec in family.specs}
TRAINED = {spec.name: spec for family in FAMILIES for spec in family.trained}
"""What `train` trains: the variants of `MODELS` that this project ships."""
PRESETS = {preset.name: preset for family in FAMILIES for preset in family.presets}
CLEAR_PRESETS = tuple(name for name, preset in PRESETS.items() if preset.clear)
"""Published weights that may be trained on under `--licence clear`."""


def find_model(name: str) -> ModelSpec:
    """The model of that name.

    Raises:
        ExportError: there is none; the message lists the known ones.
    """
    if name not in MODELS:
        raise ExportError(f"unknown model {name!r}; known: {', '.join(sorted(MODELS))}")
    return MODELS[name]


def family_of(name: str) -> Family:
    """The family of a model that is in `MODELS`."""
    return next(family for family in FAMILIES if name in {spec.name for spec in family.specs})


def model_of(preset: str) -> str:
    """The first model that a preset is for."""
    return next(
        family.specs[0].name for family in FAMILIES if preset in {x.name for x in family.presets}
    )


def find_preset(name: str, model: str) -> Preset:
    """The published weights of that name for that model.

    Raises:
        ExportError: there are none; the message lists the known ones.
    """
    known = {preset.name: preset for preset in family_of(model).presets}
    if name not in known:
        raise ExportError(
            f"unknown preset {name!r} for {model}; known: {', '.join(sorted(known)) or 'none'}"
        )
    return known[name]
