"""The engines: what `engine.toml` says about them, and verification of their files.

A catalogue is a folder with one folder per model: `<model>/engine.toml`,
`<model>/<model>_<precision>.onnx`. One is part of the package; `--engines DIR` and VCAM_ENGINES
add others.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from vcam.engine_toml import read_engine_toml
from vcam.errors import EngineError, UsageError
from vcam.files import read_bounded
from vcam.onnx_bytes import has_external_data

_log = logging.getLogger(__name__)
AUTO_ENGINE = "auto"
"""The engine name for the best person engine that this machine can run fast enough."""
DEFAULT_ENGINE = "selfie_fp32"
DEFAULT_FACE_ENGINE = "portraitnet_face_fp32"
DEFAULT_FACE_MESH = "face_mesh_fp32"
DETECTORS = ("face_detector_fp32", "face_detector_far_fp32")
"""The face detectors: for near faces and for far ones."""
NO_MESH = "none"
"""The mesh name for no mesh: the parser detects and tracks faces by itself."""
_MOST_BYTES = 1 << 30
_NOT_ABOUT = ("file", "model", "task", "classes")
_BEST_FIRST = ("fp32", "fp16")
"""The order in which precisions are tried if only a model is named."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine: a model at one precision.

    name: `<model>_<precision>`. task: "person", "face", "detect" or "landmarks". path: the ONNX
        file. sha256: the checksum of its bytes.
    size: (height, width) of the input. classes: in the order of the outputs.
    about: the rest of `engine.toml` (licence, training data, quality, parity).
    """

    name: str
    model: str
    precision: str
    task: str
    path: Path
    sha256: str
    size: tuple[int, int]
    classes: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)

    def read(self) -> bytes:
        """Read the ONNX file once and verify it: its sha256, and that it needs no other file.
        Backends get these bytes and never open the file by its name.

        Raises:
            EngineError: the file is missing, is outside its folder, is not the one that
                `engine.toml` describes, or refers to another file.
        """
        again = "reinstall vcam or export the engine again"
        try:
            if self.path.resolve().parent != self.path.parent.resolve():
                raise EngineError(
                    f"{self.path}: it is a link to a file outside its folder; copy the file there"
                )
            content = read_bounded(self.path, _MOST_BYTES)
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links; a null byte
            said = getattr(error, "strerror", None) or str(error)
            raise EngineError(f"{self.path}: {said}; {again}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise EngineError(
                f"{self.path}: sha256 is {found[:12]}..., engine.toml says {self.sha256[:12]}...; "
                f"the file is damaged or changed: {again}"
            )
        try:
            is_whole = not has_external_data(content)
        except ValueError as error:
            raise EngineError(f"{self.path}: it is no ONNX file; {again}") from error
        if not is_whole:
            raise EngineError(
                f"{self.path}: a part of it is in another file, which no checksum covers; export "
                "the engine again, as one file"
            )
        return content

    def verify(self) -> Path:
        """Return the path after verifying the file; see `read`.

        Raises:
            EngineError: see `read`.
        """
        self.read()
        return self.path


def shipped_engines() -> Path:
    """Return the folder of the engines in the package."""
    return Path(next(iter(importlib.import_module("vcam.engines").__path__)))


def engine_folders(extra: Iterable[Path]) -> list[Path]:
    """List the catalogues to search: the user's, the shipped one, that of vcam-engines."""
    return [*extra, shipped_engines(), *_more_engines()]


def _where_more_are() -> str:
    is_source = (shipped_engines().parent / "pyproject.toml").exists()
    return "" if is_source or _more_engines() else "; more: pip install 'vcam-background[engines]'"


def _more_engines() -> list[Path]:
    """List the folder of the package vcam-engines, if it is installed."""
    spec = importlib.util.find_spec("vcam_engines")
    return [Path(folder) for folder in (spec.submodule_search_locations if spec else None) or ()]


def read_catalogue(folder: Path) -> list[EngineSpec]:
    """Read all engines of one catalogue folder, sorted by name.

    Raises:
        EngineError: the folder is not a catalogue, or an `engine.toml` in it cannot be read.
    """
    if not folder.is_dir():
        raise EngineError(
            f"{folder}: no such folder; --engines wants the folder that holds <model>/engine.toml"
        )
    files = sorted(folder.glob("*/engine.toml"))
    if not files:
        raise EngineError(
            f"{folder}: no <model>/engine.toml in it; --engines wants the folder above the models"
        )
    specs = sorted((spec for file in files for spec in _read(file)), key=lambda spec: spec.name)
    for one, other in pairwise(specs):
        if one.name == other.name:
            raise EngineError(
                f"{folder}: two engines are called {one.name}, {one.path} and {other.path}; "
                "remove one of them"
            )
    return specs


def all_engines(extra: Iterable[Path]) -> list[EngineSpec]:
    """List every engine of those catalogues.

    Raises:
        EngineError: a folder is not a catalogue.
    """
    return [spec for folder in engine_folders(extra) for spec in read_catalogue(folder)]


def _read(file: Path) -> list[EngineSpec]:
    manifest = read_engine_toml(file)
    about = {k: v for k, v in manifest.to_dict().items() if k not in _NOT_ABOUT}
    return [
        EngineSpec(
            name=f"{manifest.model}_{entry.precision}",
            model=manifest.model,
            precision=entry.precision,
            task=manifest.task,
            path=file.parent / entry.name,
            sha256=entry.sha256,
            size=manifest.size,
            classes=manifest.classes,
            about=about,
        )
        for entry in manifest.files
    ]


def find_engine(name: str, folders: Iterable[Path], task: str | None = None) -> EngineSpec:
    """Find an engine by name, in the first folder that has it.

    Args:
        name: `<model>_<precision>`, or `<model>` for its first precision in `_BEST_FIRST`.
        folders: catalogues.
        task: the required task, such as "person" or "face"; None: any.

    Raises:
        UsageError: no folder has it, or it has another task; the message lists known names.
        EngineError: a folder is not a catalogue.
    """
    known: set[str] = set()
    for folder in folders:
        specs = {spec.name: spec for spec in read_catalogue(folder)}
        spec = next(
            (
                specs[each]
                for each in (name, *(f"{name}_{p}" for p in _BEST_FIRST))
                if each in specs
            ),
            None,
        )
        if spec is not None and task in (None, spec.task):
            return spec
        if spec is not None:
            raise UsageError(
                f"{name} is a {spec.task} engine, and a {task} engine is wanted; see `vcam engines`"
            )
        known |= {each.name for each in specs.values() if task in (None, each.task)}
    listed = (
        ", ".join(sorted(known))
        or f"no {task} engine at all; name a folder that has one with --engines"
    )
    raise UsageError(f"unknown engine {name!r}; known: {listed}{_where_more_are()}")


def person_engines(folders: Iterable[Path], precision: str) -> list[EngineSpec]:
    """List one engine per person model, at that precision or else the next best.

    Engines whose quality was never measured are left out if others were measured.

    Raises:
        EngineError: a folder is not a catalogue.
    """
    wanted = (precision, *_BEST_FIRST)
    models: dict[str, list[EngineSpec]] = {}
    for folder in folders:
        found = [spec for spec in read_catalogue(folder) if spec.task == "person"]
        for model in {spec.model for spec in found} - set(models):
            models[model] = [spec for spec in found if spec.model == model]
    chosen = [
        min(specs, key=lambda x: (*wanted, x.precision).index(x.precision))
        for specs in models.values()
    ]
    return [spec for spec in chosen if spec.about.get("quality")] or chosen


def find_face_engine(name: str, folders: Sequence[Path]) -> EngineSpec:
    """Find a face engine by name; if the default one is missing, take any other.

    Raises:
        UsageError: there is no such engine.
        EngineError: a folder is not a catalogue.
    """
    specs = [spec for folder in folders for spec in read_catalogue(folder)]
    others = [spec for spec in specs if spec.task == "face"]
    if name == DEFAULT_FACE_ENGINE and others and all(spec.name != name for spec in specs):
        _log.warning("face engine %s is not at hand; %s takes its place", name, others[0].name)
        return others[0]
    return find_engine(name, folders, "face")


def with_precision(spec: EngineSpec, precision: str) -> EngineSpec | None:
    """Find the same model in the same catalogue at another precision; None if there is none.

    Raises:
        EngineError: its `engine.toml` can no longer be read.
    """
    if spec.precision == precision:
        return spec
    siblings = {other.precision: other for other in _read(spec.path.parent / "engine.toml")}
    return siblings.get(precision)
