"""The record of a training run: written by training, read by cards and later runs.

The record is `run.json` in the folder of a run, and is copied to the metadata of the weights' file.
"""

from __future__ import annotations

import csv
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from export.data.provenance import SeenSet
from export.models import CLEAR_PRESETS, PRESETS, ModelSpec, Pixels
from export.weights.settings import TrainConfig
from vcam.bench.machine import describe_machine
from vcam.files import write_whole

_T = TypeVar("_T")
_KEY = "training"
_CURVE_POINTS = 6
_OF_A_RUN = ("last.pt", "ema.safetensors")
_CLEAR_STARTS = {PRESETS[name].sha256 for name in CLEAR_PRESETS}
_NAMES_BEFORE = {"portraitnet": "portraitnet_lite", "portraitnet_prior": "portraitnet_lite_prior"}
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """The network of a run, complete enough to use its weights without this project."""

    name: str = ""
    network: str = ""
    size: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    bgr: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    memory: bool = False
    gain: float = 1.0

    @property
    def task(self) -> str:
        """See `ModelSpec.task`."""
        return "person" if len(self.classes) == 2 else "face"

    @property
    def pixels(self) -> Pixels | None:
        """The pixel format of the network; None if the record does not have it."""
        if len(self.mean) != 3 or len(self.std) != 3:
            return None
        (red, green, blue), (r, g, b) = self.mean, self.std
        return Pixels((red, green, blue), (r, g, b), self.bgr)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a run without interruption: its first sample, settings, code and versions."""

    begun_at: int = 0
    device: str = ""
    batch: int = 0
    rate: float = 0.0
    samples: int = 0
    workers: int = 0
    compile: bool = False
    bfloat16: bool = False
    machine: str = ""
    code: str = ""
    python: str = ""
    torch: str = ""
    numpy: str = ""
    opencv: str = ""
    threads: int = 0


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A training run: its settings, samples and initial weights.

    draws: how samples were drawn. segments: empty in records of before segments were kept. seen:
    the number of samples; curve: the mean loss up to some of them. init: the record of the weights
    at the start, if they have one; init_file, init_sha256: their file; encoder_sha256: of the file
    that gave the encoder. averaged: of how many weights of this training these are the mean;
    mean_of: the files of the others, share: of this run's own weights in the mean (older records
    have neither).
    warmup, horizon: over how many samples the rate rose, and the
    weights were averaged. unstated: the settings that an older record does not have; they hold what
    was always done then.

    As JSON the settings and everything else lie in one table; `from_json` also knows the shapes of
    older records.
    """

    settings: TrainConfig
    network: NetworkRecord
    sets: tuple[SeenSet, ...] = ()
    draws: Mapping[str, Any] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    seen: int = 0
    curve: tuple[tuple[int, float], ...] = ()
    init: RunRecord | None = None
    init_file: str = ""
    init_sha256: str = ""
    teacher_record: RunRecord | None = None
    teacher_sha256: str = ""
    distil_sha256: tuple[str, ...] = ()
    encoder_sha256: str = ""
    averaged: int = 1
    mean_of: tuple[str, ...] = ()
    share: float = 0.0
    warmup: int = 0
    horizon: int = 0
    unstated: frozenset[str] = field(default=frozenset(), compare=False)

    def to_json(self) -> dict[str, Any]:
        """As one table of plain values."""
        table = asdict(self.settings) | {"spec": asdict(self.network)}
        own = {x.name: getattr(self, x.name) for x in fields(self)}
        del own["settings"], own["network"], own["unstated"]
        own["sets"] = [asdict(one) for one in self.sets]
        own["segments"] = [
            {"from" if k == "begun_at" else k: v for k, v in asdict(part).items()}
            for part in self.segments
        ]
        for name in ("init", "teacher_record"):
            own[name] = own[name] and own[name].to_json()
        plain: dict[str, Any] = json.loads(json.dumps(table | own, default=str))
        return plain

    @classmethod
    def from_json(cls, table: Any) -> RunRecord:
        """Parse a table from an untrusted source.

        Raises:
            ValueError: it is not a record.
        """
        try:
            return cls._read(table)
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not a record ({error})") from error

    @classmethod
    def _read(cls, table: Any) -> RunRecord:
        network: NetworkRecord = _typed(NetworkRecord, table["spec"])
        settings = _typed(TrainConfig, {"model": "", "data": [], "out": ""} | table)
        parts = (part | {"begun_at": part.get("from", 0)} for part in table.get("segments", ()))
        init, teacher = table.get("init"), table.get("teacher_record")
        return cls(
            _renamed(settings, network.network),
            network,
            tuple(_typed(SeenSet, one) for one in table.get("sets", ())),
            dict(table.get("draws", {})),
            tuple(_typed(Segment, part) for part in parts),
            int(table.get("seen", 0)),
            tuple((int(seen), float(loss)) for seen, loss in table.get("curve", ())),
            cls.from_json(init) if init else None,
            str(table.get("init_file") or ""),
            str(table.get("init_sha256") or ""),
            cls.from_json(teacher) if teacher else None,
            str(table.get("teacher_sha256") or ""),
            tuple(map(str, table.get("distil_sha256", ()))),
            str(table.get("encoder_sha256") or ""),
            int(table.get("averaged", 1)),
            tuple(map(str, table.get("mean_of", ()))),
            float(table.get("share", 0)),
            int(table.get("warmup", warmup_of(settings.warmup_samples, settings.samples))),
            int(table.get("horizon", horizon_of(settings.ema_samples, settings.samples))),
            frozenset(x.name for x in fields(TrainConfig) if x.name not in table),
        )

    def portable(self) -> RunRecord:
        """A copy without folders of this machine."""
        settings = replace(
            self.settings,
            data=(),
            out=Path(),
            teacher=self.settings.teacher and Path(self.settings.teacher.name),
            distil=tuple(Path(path.name) for path in self.settings.distil),
            encoder=self.settings.encoder and Path(self.settings.encoder.name),
        )
        return replace(
            self,
            settings=settings,
            init=self.init and self.init.portable(),
            teacher_record=self.teacher_record and self.teacher_record.portable(),
        )


def _typed(kind: type[_T], table: Mapping[str, Any]) -> _T:
    """Make a dataclass from the matching values of a table, with type checks.

    Raises:
        ValueError, TypeError: a value has another type, or one is missing.
    """
    hints = get_type_hints(kind)
    return kind(**{name: _as(hint, table[name]) for name, hint in hints.items() if name in table})


def _as(hint: Any, value: Any) -> Any:
    if get_origin(hint) is UnionType:
        return None if value is None else _as(get_args(hint)[0], value)
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        return tuple(_as(kinds[0], x) for x in value)
    if get_origin(hint) is Mapping:
        return {str(k): v for k, v in dict(value).items()}
    if hint in (str, Path) and not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    if hint in (int, float, bool) and not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return hint(value)


def read_record(folder: Path) -> RunRecord | None:
    """Read the record in a run's folder, with the number of samples seen; None if there is none."""
    try:
        record = _parsed((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeError):
        return None
    if record is None:
        return None
    rows = _progress(folder / "log.csv")
    count = min(_CURVE_POINTS, len(rows))
    curve = tuple(rows[(i + 1) * len(rows) // count - 1] for i in range(count))
    return replace(record, seen=rows[-1][0] if rows else 0, curve=curve)


def _parsed(text: str) -> RunRecord | None:
    """Parse a record; None if the text is not one."""
    try:
        return RunRecord.from_json(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _renamed(settings: TrainConfig, network: str) -> TrainConfig:
    """Apply current names: the own PortraitNet used to have the name of the authors'."""
    if network not in ("portraitnet_lite", "PortraitNetLite"):
        return settings
    return replace(settings, model=_NAMES_BEFORE.get(settings.model, settings.model))


LOG_COLUMNS = ("samples", "loss", "rate")


def read_log(log: Path) -> list[tuple[int, float, float]]:
    """For each save: samples seen, the mean loss up to then, the learning rate.

    Empty before the first save, and if the file is unreadable. Older logs have no header.
    """
    try:
        with log.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row[:1] != [LOG_COLUMNS[0]]]
            return [(int(row[0]), float(row[1]), float(row[2])) for row in rows]
    except (OSError, ValueError, IndexError):
        return []


def _progress(log: Path) -> list[tuple[int, float]]:
    """Samples seen, and the mean loss up to then."""
    return [(seen, round(loss, 3)) for seen, loss, _ in read_log(log)]


def record_of(checkpoint: Path) -> RunRecord | None:
    """The training record of a checkpoint; None if there is none.

    Read from the file itself, else from a .json of the same name beside it (older weights), else
    from its run.
    """
    try:
        with safe_open(checkpoint, "pt") as file:
            record = _parsed((file.metadata() or {}).get(_KEY, ""))
    except (SafetensorError, OSError):
        record = None
    beside = checkpoint.with_suffix(".json")
    if record is None and beside.is_file():
        record = _parsed(beside.read_text(encoding="utf-8"))
    return record or (read_record(checkpoint.parent) if checkpoint.name in _OF_A_RUN else None)


def as_metadata(record: RunRecord | None) -> dict[str, str]:
    """Metadata of a safetensors file with a record, without folders of this machine."""
    return {_KEY: json.dumps(record.portable().to_json())} if record else {}


def network_record(spec: ModelSpec) -> NetworkRecord:
    """Describe a network for a record."""
    return NetworkRecord(
        spec.name,
        spec.network.__name__,
        spec.size,
        spec.classes,
        spec.pixels.mean,
        spec.pixels.std,
        spec.pixels.bgr,
        dict(spec.options),
        spec.memory,
        spec.gain,
    )


def write_record(folder: Path, record: RunRecord) -> None:
    """Write `run.json` completely or not at all."""
    write_whole(folder / "run.json", json.dumps(record.to_json(), indent=1) + "\n", 0o644)


def surroundings(device: torch.device) -> dict[str, Any]:
    """Everything besides the settings that influences a run's results: code, versions, threads, GPU
    or CPU.
    """
    return {
        "machine": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else describe_machine()["cpu"],
        "code": _revision(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "threads": torch.get_num_threads(),
    }


def _revision() -> str:
    """The commit of the code, with "+changes" if files differ from it; "unknown" outside a
    checkout.
    """
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    command = ["git", "-C", str(_HERE), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - ours


def phases(record: RunRecord | None) -> Iterator[RunRecord]:
    """The runs that led to weights, oldest first."""
    if record:
        yield from phases(record.init)
        yield record


def samples_seen(record: RunRecord | None) -> int:
    """Samples seen in a run and its predecessors."""
    return sum(phase.seen for phase in phases(record))


def is_clear(record: RunRecord | None) -> bool:
    """Whether every phase is known to have used only pictures with clear rights."""
    runs = list(phases(record))
    known = bool(runs) and all(run.segments for run in runs)  # older records are incomplete
    started_alone = known and (not runs[0].init_file or runs[0].init_sha256 in _CLEAR_STARTS)
    taught = [run.teacher_record for run in runs if run.settings.teacher]
    return (
        started_alone
        and all(run.settings.licence == "clear" for run in runs)
        and all(map(is_clear, taught))
        and all(not run.encoder_sha256 or run.encoder_sha256 in _CLEAR_STARTS for run in runs)
    )


def warmup_of(wanted: int, samples: int) -> int:
    """The effective warm-up in samples: at most a tenth of the run."""
    return min(wanted, max(1, samples // 10))


def horizon_of(wanted: int, samples: int) -> int:
    """The effective averaging horizon in samples: at most a sixth of the run."""
    return min(wanted, samples // 6)
