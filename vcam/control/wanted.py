"""The desired state of a run, and changes to it. Imports no picture library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vcam.catalogue import AUTO_ENGINE
from vcam.effects import all_effects, find_effect, is_about_room, parse_effect
from vcam.effects.params import Param
from vcam.errors import UsageError

Plain = float | str | bool
"""A JSON value."""
Changes = Mapping[str, object]
"""Requested changes, by key: "blur.strength": 0.7, "teeth": "on", "mirror": True, "order":
["teeth", "blur"].
"""

GROW = Param(
    "grow",
    "number",
    "widen the person; negative: narrow",
    0.0,
    least=-64,
    most=64,
    step=0.5,
    unit="px",
)
FEATHER = Param(
    "feather", "number", "soften the person's edge", 0.0, least=0, most=64, step=0.5, unit="px"
)
SETTINGS = {
    "source": Param("source", "text", "the camera, or another source", "webcam"),
    "engine": Param("engine", "text", "the network that finds the person", AUTO_ENGINE),
    "mirror": Param("mirror", "switch", "flip left and right", False),
    "grow": GROW,
    "feather": FEATHER,
    "paused": Param("paused", "switch", "show a card and switch the camera off", False),
}
"""Settings other than effects."""

_SWITCH = Param("on", "switch", "on or off", False)


@dataclass(frozen=True, slots=True)
class Worn:
    """One effect of the chain. name: a key of EFFECTS; values: JSON values, by parameter."""

    name: str
    values: Mapping[str, Plain] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Format as users write it: NAME[:KEY=VALUE,...]."""
        spec = find_effect(self.name)
        said = [
            f"{p.name}={_text(self.values[p.name])}" for p in spec.params if p.name in self.values
        ]
        return f"{self.name}:{','.join(said)}" if said else self.name


@dataclass(frozen=True, slots=True)
class Wanted:
    """The desired state of a run.

    effects: the chain in order, face effects first. asleep: the last values of effects that are
    off, by name.
    source, engine: as on the command line. grow, feather: pixels of the output.
    """

    effects: tuple[Worn, ...]
    source: str
    engine: str
    mirror: bool = False
    grow: float = 0.0
    feather: float = 0.0
    paused: bool = False
    asleep: Mapping[str, Mapping[str, Plain]] = field(default_factory=dict)

    def ids(self) -> dict[str, int]:
        """The index of each effect in the chain; the second one of a name is called NAME2."""
        places: dict[str, int] = {}
        for place, worn in enumerate(self.effects):
            count = sum(other.name == worn.name for other in self.effects[:place])
            places[worn.name if not count else f"{worn.name}{count + 1}"] = place
        return places

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; `effects` lists every known effect, active ones with their
        index in the chain.
        """
        on = [
            {
                "id": name,
                "name": self.effects[place].name,
                "on": True,
                "values": dict(self.effects[place].values),
            }
            for name, place in self.ids().items()
        ]
        worn = {effect.name for effect in self.effects}
        off = [
            {"id": name, "name": name, "on": False, "values": dict(self.asleep.get(name, {}))}
            for name in all_effects()
            if name not in worn
        ]
        rest = {name: getattr(self, name) for name in SETTINGS}
        return {"effects": [*on, *off], **rest}

    def options(self) -> dict[str, Any]:
        """Return it as a table [run] of the settings file."""
        return {
            "effect": [worn.text for worn in self.effects],
            "source": self.source,
            "engine": self.engine,
            "mirror": self.mirror,
            "grow": self.grow,
            "feather": self.feather,
        }


def wanted_of(options: Mapping[str, Any]) -> Wanted:
    """Convert the options of `vcam run`: "effect", a list of texts, "source", "engine", "mirror",
    "grow", "feather".

    Raises:
        UsageError: an effect or value is invalid.
    """
    texts = options.get("effect") or ("blur",)
    texts = [texts] if isinstance(texts, str) else list(texts)
    worn = [Worn(*parse_effect(text)) for text in texts]
    rest = {name: param.plain(options.get(name, param.default)) for name, param in SETTINGS.items()}
    return _checked(Wanted(effects=tuple(worn), **rest))


def changed(wanted: Wanted, changes: Changes) -> Wanted:
    """Apply changes, all of them or none; return the new state.

    Raises:
        UsageError: a key is unknown, a value is invalid, or no effect would be left to hide the
            room.
    """
    room_before = {w.name for w in wanted.effects if is_about_room(w.name)}
    ordered = dict(
        sorted(changes.items(), key=lambda item: item[0] == "order")
    )  # of what is on by then
    for key, value in ordered.items():
        wanted = _changed(wanted, key, value)
    wanted = _only_one_way(wanted, room_before)
    if "effects" not in changes and not any(is_about_room(worn.name) for worn in wanted.effects):
        raise UsageError(
            "the room would be left as it is; switch another effect on first, or write none=on to"
            " show it"
        )
    return _checked(wanted)


def _changed(wanted: Wanted, key: str, value: object) -> Wanted:
    if key in SETTINGS:
        return replace(wanted, **{key: SETTINGS[key].plain(value)})
    if key == "order":
        return _in_order(wanted, value)
    if key == "effects":
        return _all_new(wanted, value)
    name, _, param_name = key.partition(".")
    place = wanted.ids().get(name)
    if place is None and name not in all_effects():
        known = ", ".join([*all_effects(), *SETTINGS])
        raise UsageError(f"unknown setting {key!r}; known: {known}")
    kind = name if place is None else wanted.effects[place].name
    spec = find_effect(kind)
    if param_name:
        return _with_value(wanted, kind, place, param_name, value)
    word = value.lower() if isinstance(value, str) else value
    if spec.params and not (
        isinstance(word, bool) or word in ("on", "off", "true", "false", "yes", "no")
    ):
        return _with_value(wanted, kind, place, spec.params[0].name, value)
    return _switched(wanted, kind, place, _SWITCH.plain(value))


def _switched(wanted: Wanted, kind: str, place: int | None, on: bool) -> Wanted:
    if on == (place is not None):
        return wanted
    if place is not None:
        gone = wanted.effects[place]
        left = wanted.effects[:place] + wanted.effects[place + 1 :]
        return replace(wanted, effects=left, asleep={**wanted.asleep, kind: gone.values})
    values = dict(wanted.asleep.get(kind, {}))
    for param in find_effect(kind).params:
        if param.required and param.name not in values:
            raise UsageError(
                f"effect {kind!r} needs a {param.name}; write"
                f" {kind}.{param.name}={param.name.upper()}"
            )
    return replace(wanted, effects=(*wanted.effects, Worn(kind, values)))


def _with_value(wanted: Wanted, kind: str, place: int | None, name: str, value: object) -> Wanted:
    """Set a parameter of an effect, which also switches the effect on."""
    params = {param.name: param for param in find_effect(kind).params}
    if name not in params:
        known = ", ".join(params) or "none"
        raise UsageError(f"effect {kind!r} has no parameter {name!r}; known: {known}")
    plain = params[name].plain(value)
    if place is None:
        asleep = {**wanted.asleep, kind: {**wanted.asleep.get(kind, {}), name: plain}}
        return _switched(replace(wanted, asleep=asleep), kind, None, True)
    worn = wanted.effects[place]
    new = replace(worn, values={**worn.values, name: plain})
    return replace(wanted, effects=(*wanted.effects[:place], new, *wanted.effects[place + 1 :]))


def _in_order(wanted: Wanted, value: object) -> Wanted:
    names = value.split(",") if isinstance(value, str) else value
    places = wanted.ids()
    if not isinstance(names, Sequence) or sorted(map(str, names)) != sorted(places):
        raise UsageError(f"order {value!r} does not name each effect once; now: {','.join(places)}")
    return replace(wanted, effects=tuple(wanted.effects[places[str(name)]] for name in names))


def _all_new(wanted: Wanted, value: object) -> Wanted:
    """Replace all effects, given as texts."""
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not all(isinstance(t, str) for t in value)
    ):
        raise UsageError(
            f"effects {value!r} is no list of effects; for instance ['blur:0.7', 'teeth']"
        )
    worn = tuple(Worn(*parse_effect(text)) for text in value)
    return replace(
        wanted, effects=worn, asleep={**wanted.asleep, **{w.name: w.values for w in wanted.effects}}
    )


def _only_one_way(wanted: Wanted, room_before: set[str]) -> Wanted:
    """`none` shows the room and other effects hide it: the one switched on last wins."""
    room = {w.name for w in wanted.effects if is_about_room(w.name)}
    if "none" not in room or len(room) == 1:
        return wanted
    gone = {"none"} if "none" in room_before else room - {"none"}
    asleep = {**wanted.asleep, **{w.name: w.values for w in wanted.effects if w.name in gone}}
    return replace(
        wanted, effects=tuple(w for w in wanted.effects if w.name not in gone), asleep=asleep
    )


def _checked(wanted: Wanted) -> Wanted:
    """Order face effects first; switching the last room effect off never shows the room."""
    if not any(is_about_room(worn.name) for worn in wanted.effects):
        asleep = {name: values for name, values in wanted.asleep.items() if name != "blur"}
        blur = Worn("blur", wanted.asleep.get("blur", {}))
        wanted = replace(wanted, effects=(*wanted.effects, blur), asleep=asleep)
    return replace(
        wanted, effects=tuple(sorted(wanted.effects, key=lambda worn: is_about_room(worn.name)))
    )


def _text(value: Plain) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
