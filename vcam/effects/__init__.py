"""Effects by name, their parameters, and their text form: NAME[:key=value,...]."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vcam.effects.params import COLORS, Param, strength
from vcam.errors import UsageError
from vcam.plugins import Plugins

if TYPE_CHECKING:  # the names alone cost no OpenCV
    from vcam.effects.base import Effect


@dataclass(frozen=True, slots=True)
class EffectSpec:
    """One effect, declared once for the command line, the settings file, the page and all checks.

    target: the class, or "module:Class"; its parameters are passed by name. label: for people, at
    most two words. The first of `params` may be written without its name (`blur:0.8`). about_room:
    for effects of other packages, whether the effect handles the room; see `Effect.about_room`.
    """

    target: str | Callable[..., Effect]
    label: str
    about: str
    params: tuple[Param, ...] = ()
    about_room: bool = False

    @property
    def required(self) -> bool:
        """Whether the effect needs a value."""
        return any(param.required for param in self.params)

    @property
    def help(self) -> str:
        """One line with the parameters, for `--help`."""
        return "; ".join([self.about, *(_line(param) for param in self.params)])

    def schema(self) -> dict[str, Any]:
        """Return it as a JSON Schema object (draft 2020-12)."""
        return {
            "type": "object",
            "title": self.label,
            "description": self.about,
            "properties": {param.name: param.schema() for param in self.params},
            "required": [param.name for param in self.params if param.required],
            "additionalProperties": False,
        }


def _line(param: Param) -> str:
    match param.kind:
        case "number":
            values = f"{param.least:g}..{param.most:g}{f' {param.unit}' if param.unit else ''}"
        case "color":
            values = f"{', '.join(param.names)} or #rrggbb"
        case "choice":
            values = ", ".join(param.names)
        case _:
            values = param.help
    default = "" if param.default is None else f", default {param.default}"
    return f"{param.name} {values}{default}"


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
_BROW_COLORS = {
    "auburn": "#6b3a24",
    "black": "#1c1713",
    "blond": "#9a7448",
    "brown": "#4a3223",
    "gray": "#6d6a66",
    "grey": "#6d6a66",
}
_BLUSH_COLORS = {
    "berry": "#b04a68",
    "coral": "#e5796a",
    "peach": "#ec9a7c",
    "pink": "#e58a9c",
    "rose": "#d4707c",
}
_SHADOW_COLORS = {
    "blue": "#50709c",
    "bronze": "#8c5f3c",
    "brown": "#6e4a3a",
    "champagne": "#d8b892",
    "gold": "#b8924a",
    "gray": "#6c6c72",
    "green": "#5d7a5c",
    "grey": "#6c6c72",
    "plum": "#704462",
    "rose": "#b87880",
}
_ROOM_COLOR = Param("color", "color", "the colour", "green", names=COLORS)
_PATH = Param("path", "file", "a file")


EFFECTS = {
    "none": EffectSpec(
        "vcam.effects.room:NoEffect", "Real room", "the picture as it is, room and all"
    ),
    "blur": EffectSpec("vcam.effects.room:Blur", "Blur", "blur the room", (strength(0.6),)),
    "image": EffectSpec(
        "vcam.effects.room:Image", "Picture", "a picture as the room, cropped to fill it", (_PATH,)
    ),
    "video": EffectSpec(
        "vcam.effects.clip:Clip",
        "Video",
        "a looping video or GIF as the room, cropped to fill it",
        (_PATH,),
    ),
    "color": EffectSpec(
        "vcam.effects.room:Color", "Colour", "one colour as the room", (_ROOM_COLOR,)
    ),
    "remove": EffectSpec(
        "vcam.effects.room:Remove",
        "Cut-out",
        "no room: transparent in .png, .webp, .webm and .mov files, elsewhere a colour",
        (_ROOM_COLOR,),
    ),
    "teeth": EffectSpec("vcam.effects.teeth:Teeth", "Teeth", "whiter teeth", (strength(0.5),)),
    "skin": EffectSpec("vcam.effects.skin:Skin", "Skin", "smoother skin", (strength(0.5),)),
    "eyes": EffectSpec(
        "vcam.effects.eyes:Eyes",
        "Eyes",
        "eyes of another colour",
        (Param("color", "color", "of the iris", example="blue", names=_EYE_COLORS), strength(0.6)),
    ),
    "redeye": EffectSpec(
        "vcam.effects.redeye:RedEye", "Red eyes", "no red pupils", (strength(1.0),)
    ),
    "lips": EffectSpec(
        "vcam.effects.lips:Lips",
        "Lips",
        "tinted lips",
        (Param("color", "color", "of the lips", example="rose", names=_LIP_COLORS), strength(0.5)),
    ),
    "brows": EffectSpec(
        "vcam.effects.makeup:Brows",
        "Brows",
        "tinted brows",
        (
            Param("color", "color", "of the brows", example="brown", names=_BROW_COLORS),
            strength(0.4),
        ),
    ),
    "blush": EffectSpec(
        "vcam.effects.makeup:Blush",
        "Blush",
        "colour on the cheeks",
        (
            Param("color", "color", "of the cheeks", example="peach", names=_BLUSH_COLORS),
            strength(0.4),
        ),
    ),
    "eyeshadow": EffectSpec(
        "vcam.effects.makeup:EyeShadow",
        "Eye shadow",
        "colour on the upper lids",
        (
            Param("color", "color", "of the lids", example="bronze", names=_SHADOW_COLORS),
            strength(0.4),
        ),
    ),
    "concealer": EffectSpec(
        "vcam.effects.makeup:Concealer",
        "Concealer",
        "less dark under the eyes",
        (strength(0.5),),
    ),
}
FACE_EFFECTS = (
    *("teeth", "skin", "eyes", "redeye", "lips"),
    *("brows", "blush", "eyeshadow", "concealer"),
)
"""The effects in EFFECTS that change faces; the others change the room."""


PLUGINS: Plugins[EffectSpec] = Plugins("vcam.effects")
"""Effects of other packages."""


def register_effect(name: str, spec: EffectSpec) -> None:
    """Add an effect for this process, as the entry point group "vcam.effects" does.

    Raises:
        UsageError: the name is taken or invalid.
    """
    PLUGINS.register(name, spec, taken=name in EFFECTS)


def find_effect(name: str) -> EffectSpec:
    """Find an effect by name.

    Raises:
        UsageError: there is none; the message lists the known ones.
    """
    spec = EFFECTS.get(name) or PLUGINS.find(name)
    if spec is None:
        raise UsageError(
            f"unknown effect {name!r}; known: {', '.join([*EFFECTS, *PLUGINS.names()])}"
        )
    return spec


def all_effects() -> dict[str, EffectSpec]:
    """All effects by name; those of other packages that cannot be imported are left out."""
    known = dict(EFFECTS)
    for name in PLUGINS.names():
        with suppress(UsageError):
            known[name] = find_effect(name)
    return known


def is_about_room(name: str) -> bool:
    """Whether the effect of that name decides how much of the room is visible.

    Raises:
        UsageError: there is no such effect.
    """
    return name not in FACE_EFFECTS if name in EFFECTS else find_effect(name).about_room


def parse_effect(text: str) -> tuple[str, dict[str, Any]]:
    """Parse an effect as users write it: (name, values). Values are JSON values; only those in the
    text are included.

    Raises:
        UsageError: the effect or a key is unknown, or a value is invalid; the message lists what
            is known.
    """
    name, _, rest = text.partition(":")
    params = {param.name: param for param in find_effect(name).params}
    texts = _parse_values(name, params, rest)
    values = {key: params[key].plain(value) for key, value in texts.items()}
    for param in params.values():
        if param.required and param.name not in values:
            raise UsageError(
                f"effect {name!r} needs a {param.name}; write {name}:{param.name.upper()}"
            )
    return name, values


def build_effect(name: str, values: Mapping[str, Any]) -> Effect:
    """Make an effect from values, not opened yet; missing values get their defaults.

    Raises:
        UsageError: a value is invalid.
    """
    spec = find_effect(name)
    made = {param.name: param.parse(values.get(param.name, param.default)) for param in spec.params}
    target = spec.target
    if isinstance(target, str):
        module, _, attribute = target.partition(":")
        target = getattr(importlib.import_module(module), attribute)
    effect: Effect = target(**made)
    return effect


def make_effect(text: str) -> Effect:
    """Make the effect that `text` describes, not opened yet.

    Raises:
        UsageError: the effect or a key is unknown, or a value is invalid; the message lists what
            is known.
    """
    return build_effect(*parse_effect(text))


def make_effects(effects: Sequence[str | Effect]) -> list[Effect]:
    """Make the effects of a run: face effects first, then room effects, each in the given order.

    If no effect handles the room, blur is added, so the raw room is shown only if the user writes
    `none`. Faces come first so that no face effect paints on the new background.

    Args:
        effects: text as users write it, or objects.

    Raises:
        UsageError: see `make_effect`.
    """

    def of_room(effect: str | Effect) -> bool:
        if isinstance(effect, str):
            return is_about_room(effect.partition(":")[0])
        return effect.about_room

    effects = effects if any(map(of_room, effects)) else [*effects, "blur"]
    return [
        make_effect(effect) if isinstance(effect, str) else effect
        for effect in sorted(effects, key=of_room)
    ]


def _parse_values(name: str, params: Mapping[str, Param], text: str) -> dict[str, str]:
    """Split `key=value,...`; a part without a key continues the value before it (paths contain
    commas).
    """
    texts: dict[str, str] = {}
    last = next(iter(params), None)
    for part in text.split(",") if text else []:
        key, equals, value = part.partition("=")
        if equals and re.fullmatch(r"[a-z_]+", key):
            if key not in params:
                known = ", ".join(params) or "none"
                raise UsageError(f"effect {name!r} has no key {key!r}; known: {known}")
            texts[key], last = value, key
        elif last is None:
            raise UsageError(f"effect {name!r} takes no value, got {part!r}; write --effect {name}")
        else:
            texts[last] = f"{texts[last]},{part}" if last in texts else part
    return texts
