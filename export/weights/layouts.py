"""Identify a checkpoint by its tensors: network, variant and origin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from export.errors import ExportError
from export.models import FAMILIES, ModelSpec, Preset, family_of
from export.models.spec import State


def identify(state: State) -> str | None:
    """Identify the model by the names of its weights, if possible."""
    return next((family.name_of(state) for family in FAMILIES if family.knows(state)), None)


def is_weights_of(spec: ModelSpec, state: State) -> bool:
    """Whether the names are compatible with a model; it also stands for its variant with a
    memory.
    """
    return identify(state) in {None, spec.name, f"{spec.name}_prior"}


def resolve(path: Path, spec: ModelSpec, state: State, classes: str | None = None) -> ModelSpec:
    """Determine the variant of `spec` in a checkpoint: memory, heads, widths, classes.

    classes: comma-separated names, or their number; None: the usual names for the number in the
        file.

    Raises:
        ExportError: the number of classes has no usual names, or differs from that of `classes`.
    """
    family = family_of(spec.name)
    count = len(spec.classes)
    if is_weights_of(spec, state):
        spec = family.variant(spec, state)
        count = family.count(state, spec)
    if spec.named:
        count = len(spec.classes)
    elif count != len(spec.classes) or count in family.class_names:
        spec = replace(spec, classes=family.class_names.get(count, ()))
    spare = bool(family.counted) and family.counted not in state
    return _named(path, spec, classes, count, spare)


def origin_of(path: Path, spec: ModelSpec, state: State) -> Preset | None:
    """Determine the origin of weights without a record by their number of classes; None: the model
    has one origin.

    Raises:
        ExportError: several origins with different pixel formats are possible.
    """
    family = family_of(spec.name)
    for preset in family.presets:
        if preset.mark in state:
            return preset
    presets = [preset for preset in family.presets if preset.classes]
    fitting = [preset for preset in presets if len(spec.classes) in preset.classes]
    if presets and len(fitting) != 1:
        names = ", ".join(preset.name for preset in fitting or presets)
        raise ExportError(
            f"{path}: {len(spec.classes)} classes do not say who trained it, and so how it sees "
            "colours; "
            f"say it with --preset ({names})"
        )
    return fitting[0] if fitting else None


def _named(path: Path, spec: ModelSpec, classes: str | None, count: int, spare: bool) -> ModelSpec:
    """Apply the names in `classes`. spare: whether the file may contain additional classes."""
    if classes is not None and not classes.isdecimal():
        spec = replace(spec, classes=tuple(name.strip() for name in classes.split(",")))
    asked = int(classes) if classes is not None and classes.isdecimal() else len(spec.classes)
    if spare and classes is not None and classes.isdecimal():
        spec = replace(spec, classes=family_of(spec.name).class_names.get(asked, ()))
    if classes is not None and (asked > count or (asked < count and not spare)):
        raise ExportError(
            f"{path}: holds {count} classes, --classes says {asked}; name as many as it holds"
        )
    if not spec.classes:
        known = ", ".join(map(str, sorted(family_of(spec.name).class_names))) or "none"
        raise ExportError(
            f"{path}: holds {count} classes, which no known portrait or face checkpoint does "
            f"({known}); "
            "if it is one, name them all with --classes"
        )
    if "" in spec.classes or len(set(spec.classes)) < len(spec.classes):
        raise ExportError(f"--classes {classes!r}: an empty name or one that comes twice")
    return spec
