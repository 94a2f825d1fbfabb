"""Effects by name, and how users write them: NAME[:key=value,...]."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcam.errors import UsageError

if TYPE_CHECKING:  # the names alone cost no OpenCV
    from vcam.effects.base import Effect


@dataclass(frozen=True, slots=True)
class EffectSpec:
    """Where an effect lives and what it takes. The first key may be written without its name (`blur:0.8`)."""

    target: str
    help: str
    keys: dict[str, Callable[[str], Any]]
    required: bool = False


def _strength(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"strength {text!r} is not a number from 0 to 1; try 0.6")
    return value


_COLORS = {
    "black": "#000000",
    "blue": "#0000ff",
    "gray": "#808080",
    "green": "#00ff00",
    "grey": "#808080",
    "magenta": "#ff00ff",
    "red": "#ff0000",
    "white": "#ffffff",
}


_EYE_COLORS = {
    "amber": "#a8752f",
    "blue": "#5682ab",
    "brown": "#6b4226",
    "gray": "#7d8a94",
    "green": "#66895c",
    "grey": "#7d8a94",
    "hazel": "#8a7440",
    "violet": "#7a5fb0",
}
_LIP_COLORS = {
    "berry": "#8a1f4b",
    "coral": "#d9604f",
    "nude": "#b9776a",
    "pink": "#cf5b7c",
    "plum": "#6a2346",
    "red": "#b01c2e",
    "rose": "#b8505f",
}


def parse_color(text: str, names: Mapping[str, str] = _COLORS) -> tuple[int, int, int]:
    """(R, G, B) of "#rrggbb" or a name.

    Raises:
        UsageError: it is neither.
    """
    code = names.get(text.lower(), text)
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", code):
        raise UsageError(
            f"color {text!r} is not #rrggbb and none of {', '.join(names)}; try '{next(iter(names))}'"
        )
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def _face_effect(
    target: str, help_text: str, default: float, colors: Mapping[str, str] | None = None
) -> EffectSpec:
    """A face effect: every one takes a strength, those with a colour need it."""
    keys: dict[str, Callable[[str], Any]] = {"strength": _strength}
    if colors is not None:
        keys = {"color": partial(parse_color, names=colors), **keys}
        help_text += f", of {', '.join(colors)} or #rrggbb"
    return EffectSpec(
        target, f"{help_text}; strength 0..1, default {default}", keys, required=colors is not None
    )


EFFECTS = {
    "none": EffectSpec("vcam.effects.room:NoEffect", "the picture as it is, room and all", {}),
    "blur": EffectSpec(
        "vcam.effects.room:Blur",
        "blur the room; strength 0..1, default 0.6",
        {"strength": _strength},
    ),
    "image": EffectSpec(
        "vcam.effects.room:Image",
        "a picture as the room, cropped to fill it",
        {"path": Path},
        required=True,
    ),
    "video": EffectSpec(
        "vcam.effects.clip:Clip",
        "a looping video or GIF as the room, cropped to fill it",
        {"path": Path},
        required=True,
    ),
    "color": EffectSpec(
        "vcam.effects.room:Color",
        f"one colour as the room, of {', '.join(_COLORS)} or #rrggbb; default green",
        {"color": parse_color},
    ),
    "remove": EffectSpec(
        "vcam.effects.room:Remove",
        "no room: transparent in .png, .webp, .webm and .mov files, elsewhere a colour as with `color`; default green",
        {"color": parse_color},
    ),
    "teeth": _face_effect("vcam.effects.teeth:Teeth", "whiter teeth", 0.5),
    "skin": _face_effect("vcam.effects.skin:Skin", "smoother skin", 0.5),
    "eyes": _face_effect("vcam.effects.eyes:Eyes", "eyes of another colour", 0.6, _EYE_COLORS),
    "redeye": _face_effect("vcam.effects.redeye:RedEye", "no red pupils", 1.0),
    "lips": _face_effect("vcam.effects.lips:Lips", "tinted lips", 0.5, _LIP_COLORS),
}
FACE_EFFECTS = ("teeth", "skin", "eyes", "redeye", "lips")
"""Those of EFFECTS that change faces; the others change the room."""


def make_effect(text: str) -> Effect:
    """The effect that `text` describes, not opened yet.

    Raises:
        UsageError: unknown effect or key, or a value that does not fit; the message says what is known.
    """
    name, _, rest = text.partition(":")
    if name not in EFFECTS:
        raise UsageError(f"unknown effect {name!r}; known: {', '.join(EFFECTS)}")
    spec = EFFECTS[name]
    values = _parse_values(name, spec, rest)
    key = next(iter(spec.keys), "")
    if spec.required and key not in values:
        raise UsageError(f"effect {name!r} needs a {key}; write {name}:{key.upper()}")
    module, _, attribute = spec.target.partition(":")
    effect: Effect = getattr(importlib.import_module(module), attribute)(**values)
    return effect


def make_effects(texts: Sequence[str]) -> list[Effect]:
    """The effects of a run: those of faces, then those of the room, each in order; the room is blurred where none is.

    So the raw room leaves only where somebody wrote `none`, and a face in the room is not painted on what replaces it.

    Raises:
        UsageError: see `make_effect`.
    """

    def is_about_room(text: str) -> bool:
        return text.partition(":")[0] not in FACE_EFFECTS

    texts = texts if any(map(is_about_room, texts)) else [*texts, "blur"]
    return [make_effect(text) for text in sorted(texts, key=is_about_room)]


def _parse_values(name: str, spec: EffectSpec, text: str) -> dict[str, Any]:
    """The values of `key=value,...`; a part without a key belongs to the value before it (paths have commas)."""
    texts: dict[str, str] = {}
    last = next(iter(spec.keys), None)
    for part in text.split(",") if text else []:
        key, equals, value = part.partition("=")
        if equals and re.fullmatch(r"[a-z_]+", key):
            if key not in spec.keys:
                known = ", ".join(spec.keys) or "none"
                raise UsageError(f"effect {name!r} has no key {key!r}; known: {known}")
            texts[key], last = value, key
        elif last is None:
            raise UsageError(f"effect {name!r} takes no value, got {part!r}; write --effect {name}")
        else:
            texts[last] = f"{texts[last]},{part}" if last in texts else part
    return {key: spec.keys[key](value) for key, value in texts.items()}
