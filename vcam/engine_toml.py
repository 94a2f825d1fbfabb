"""The format of `engine.toml`: one definition for writers and readers.

Only `task`, `model`, `classes`, the input size and the files are needed to run an engine; the rest
documents its origin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vcam.errors import EngineError
from vcam.toml_file import Table, TomlError, read_toml

FORMAT = 1
TASKS = ("person", "face", "detect", "landmarks")
_OUTPUTS = {"person": "alpha", "face": "probs", "detect": "faces", "landmarks": "points"}
_STATE = {"input": "state_in", "output": "state_out", "start": 0}
_MOST_PX = 8192
FITS = ("stretch", "letterbox", "corner")


@dataclass(frozen=True, slots=True)
class EngineFile:
    """One ONNX file. name: without folders. precision: "fp32" or "fp16". bytes: file size.

    parity: the difference from the reference, measured during conversion.
    """

    name: str
    precision: str
    sha256: str
    engine: str = ""
    bytes: int = 0
    parity: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as a `[[file]]` table."""
        table: dict[str, Any] = {
            "engine": self.engine,
            "name": self.name,
            "precision": self.precision,
            "bytes": self.bytes,
            "sha256": self.sha256,
        }
        return table | ({"parity": dict(self.parity)} if self.parity else {})


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of the weights. preset: the matching published weights, or "".

    samples: training samples seen in this project; sets: names of the training sets.
    rights: of everything the weights have seen, "clear" or "unclear"; "": not known.
    """

    text: str = ""
    preset: str = ""
    samples: int = 0
    sets: tuple[str, ...] = ()
    rights: str = ""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """The input of the network inside an engine: `(x - mean) / std` of 0..255.

    order: "RGB" or "BGR"; mean and std are always in the order red, green, blue. The engine itself
    takes RGB and converts internally.
    """

    order: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EngineManifest:
    """An `engine.toml`. size: (height, width) of the input. network: the checkpoint's network.

    fit: how its authors put a picture into the input: "stretch", or with its shape kept "letterbox"
    (in the middle, grey beside it) or "corner" (top left, black beside it); vcam stretches.
    memory: whether it has `state_in` and `state_out`. threshold: the minimum score of a detector's
    box. quality: scores, one table each.
    """

    task: str
    model: str
    classes: tuple[str, ...]
    size: tuple[int, int]
    files: tuple[EngineFile, ...]
    network: str = ""
    licence: str = ""
    opset: int = 0
    batch: int = 1
    memory: bool = False
    threshold: float | None = None
    origin: Origin = field(default_factory=Origin)
    pixels: PixelFormat | None = None
    quality: tuple[Mapping[str, Any], ...] = ()
    fit: str = FITS[0]

    @property
    def output(self) -> str:
        """The name of the output tensor."""
        return _OUTPUTS[self.task]

    def to_dict(self) -> dict[str, Any]:
        """Return the document to write as TOML."""
        height, width = self.size
        table: dict[str, Any] = {
            "format": FORMAT,
            "task": self.task,
            "model": self.model,
            "network": self.network or self.model,
            "classes": list(self.classes),
            "licence": self.licence,
            "opset": self.opset,
            "input": {"name": "image", "batch": self.batch, "height": height, "width": width},
            "output": {"name": self.output},
        }
        if self.fit != FITS[0]:
            table["input"]["fit"] = self.fit
        if self.memory:
            table["state"] = dict(_STATE)
        if self.threshold is not None:
            table["detector"] = {"threshold": self.threshold}
        if self.pixels is not None:
            mean, std = list(self.pixels.mean), list(self.pixels.std)
            table["pixels"] = {"order": self.pixels.order, "mean": mean, "std": std}
        training = {"origin": self.origin.text, "samples": self.origin.samples}
        preset = {"preset": self.origin.preset} if self.origin.preset else {}
        rights = {"rights": self.origin.rights} if self.origin.rights else {}
        table["training"] = training | preset | {"sets": list(self.origin.sets)} | rights
        table["file"] = [file.to_dict() for file in self.files]
        return table | ({"quality": [dict(x) for x in self.quality]} if self.quality else {})


def read_engine_toml(path: Path) -> EngineManifest:
    """Read an `engine.toml`; every value in it is checked.

    Raises:
        EngineError: it cannot be read, is not TOML, or a value is missing or wrong.
    """
    try:
        return _manifest(Table(path, "", read_toml(path)))
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}; export the engine again") from error
    except TomlError as error:
        raise EngineError(f"{error}; export the engine again") from error


def _manifest(table: Table) -> EngineManifest:
    task = table.text("task")
    if task not in TASKS:
        raise table.wrong("task", f"one of {', '.join(TASKS)}")
    image = table.table("input")
    training, pixels = _optional(table, "training"), _optional(table, "pixels")
    detector = _optional(table, "detector")
    fit = _text(image, "fit") or FITS[0]
    if fit not in FITS:
        raise image.wrong("fit", f"one of {', '.join(FITS)}")
    return EngineManifest(
        task,
        _plain(table, "model"),
        table.texts("classes"),
        (image.integer("height", 1, _MOST_PX), image.integer("width", 1, _MOST_PX)),
        tuple(_file(entry) for entry in table.tables("file")),
        _plain(table, "network") if "network" in table.values else "",
        _text(table, "licence"),
        _integer(table, "opset"),
        image.integer("batch", 1, _MOST_PX) if "batch" in image.values else 1,
        "state" in table.values,
        detector.number("threshold") if detector else None,
        _origin(training) if training else Origin(),
        _pixels(pixels) if pixels else None,
        tuple(x.values for x in table.tables("quality")) if "quality" in table.values else (),
        fit,
    )


def _file(table: Table) -> EngineFile:
    sha256 = table.text("sha256")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise table.wrong("sha256", "64 hexadecimal digits")
    parity = _optional(table, "parity")
    return EngineFile(
        _plain(table, "name"),
        _plain(table, "precision"),
        sha256,
        _text(table, "engine"),
        _integer(table, "bytes"),
        parity.values if parity else {},
    )


def _origin(table: Table) -> Origin:
    sets = table.texts("sets") if "sets" in table.values else ()
    return Origin(
        _text(table, "origin"),
        _text(table, "preset"),
        _integer(table, "samples"),
        sets,
        _text(table, "rights"),
    )


def _pixels(table: Table) -> PixelFormat:
    return PixelFormat(table.text("order"), _three(table, "mean"), _three(table, "std"))


def _three(table: Table, key: str) -> tuple[float, ...]:
    values = table.values.get(key)
    if not isinstance(values, list) or len(values) != 3:
        raise table.wrong(key, "three numbers")
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in values):
        raise table.wrong(key, "three numbers")
    return tuple(float(x) for x in values)


def _optional(table: Table, key: str) -> Table | None:
    return table.table(key) if key in table.values else None


def _text(table: Table, key: str) -> str:
    return table.text(key) if table.values.get(key, "") != "" else ""


def _integer(table: Table, key: str) -> int:
    return table.integer(key, 0, 1 << 62) if key in table.values else 0


def _plain(table: Table, key: str) -> str:
    """Read a name: letters, digits, "_", "-" and ".", so that it cannot be a path."""
    name = table.text(key)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise table.wrong(key, "a name of letters, digits, _, - and .")
    return name
