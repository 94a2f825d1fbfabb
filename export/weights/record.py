"""How weights came about: what a training run writes down, and what cards and later runs read of it.

The record is `run.json` in the folder of a run, and travels with the weights in the metadata of their file.
"""

from __future__ import annotations

import csv
import json
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from export.models import CLEAR_PRESETS, PRESETS, ModelSpec
from vcam.bench.machine import describe_machine
from vcam.files import write_whole

Record = dict[str, Any]
"""Settings of a run by their names in `TrainConfig`; `spec`, `sets`, `draws`, `segments`, `seen`, `curve`, `init`."""
_KEY = "training"
_CURVE_POINTS = 6
_OF_A_RUN = ("last.pt", "ema.safetensors")
_CLEAR_STARTS = {PRESETS[name].sha256 for name in CLEAR_PRESETS}
_NAMES_BEFORE = {"portraitnet": "portraitnet_lite", "portraitnet_prior": "portraitnet_lite_prior"}
_HERE = Path(__file__).resolve().parent


def read_record(folder: Path) -> Record | None:
    """What a run's folder says of it, with the number of samples seen; None where it says nothing."""
    try:
        record = _parsed((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeError):
        return None
    return record and record | _progress(folder / "log.csv")


def _parsed(text: str) -> Record | None:
    """A record, or None where the text is none."""
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return _renamed(record) if isinstance(record, dict) and "spec" in record else None


def _renamed(record: Record) -> Record:
    """Under the name that the network has today: the own one was called as the authors' that it goes back to."""
    older = _NAMES_BEFORE.get(record.get("model", ""))
    before = {"init": _renamed(record["init"])} if record.get("init") else {}
    if older is None or record["spec"].get("network") != "portraitnet_lite":
        return record | before
    return record | before | {"model": older, "spec": record["spec"] | {"name": older}}


def _progress(log: Path) -> Record:
    """`seen`, the number of samples, and `curve`, the mean loss up to some of them, evenly chosen: [samples, loss]."""
    try:
        with log.open(newline="") as file:
            rows = [[int(row[0]), round(float(row[1]), 3)] for row in csv.reader(file)]
    except (OSError, ValueError, IndexError):  # nothing has been saved yet
        rows = []
    count = min(_CURVE_POINTS, len(rows))
    return {
        "seen": rows[-1][0] if rows else 0,
        "curve": [rows[(i + 1) * len(rows) // count - 1] for i in range(count)],
    }


def record_of(checkpoint: Path) -> Record | None:
    """What is known of the training of a checkpoint; None if nothing is.

    From the file itself, else from a .json of its name beside it (older weights have that), else from its run.
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


def as_metadata(record: Record | None) -> dict[str, str]:
    """The metadata of a safetensors file that holds a record, without the folders of this machine."""
    return {_KEY: json.dumps(portable(record), default=str)} if record else {}


def portable(record: Record | None) -> Record | None:
    """A record without the folders of this machine."""
    if record is None:
        return None
    kept = {name: value for name, value in record.items() if name not in ("data", "out")}
    kept |= {"distil": [Path(x).name for x in record["distil"]]} if record.get("distil") else {}
    kept |= {name: portable(record[name]) for name in ("init", "teacher_record") if name in record}
    return kept | ({"teacher": Path(record["teacher"]).name} if record.get("teacher") else {})


def spec_record(spec: ModelSpec) -> Record:
    """What a record says of the network, so that its weights can be used without this project."""
    return {
        "name": spec.name,
        "network": spec.network.__name__,
        "size": spec.size,
        "classes": spec.classes,
        "mean": spec.pixels.mean,
        "std": spec.pixels.std,
        "bgr": spec.pixels.bgr,
        "options": dict(spec.options),
        "memory": spec.memory,
        "gain": spec.gain,
    }


def write_record(folder: Path, record: Record) -> None:
    """Write `run.json`, whole or not at all."""
    write_whole(folder / "run.json", json.dumps(record, indent=1, default=str) + "\n", 0o644)


def surroundings(device: torch.device) -> Record:
    """What a run's numbers depend on besides its settings: code, versions, threads, the card or processor."""
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
    """The commit of the code, with "+changes" where files differ from it; "unknown" outside a checkout."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    command = ["git", "-C", str(_HERE), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - ours


def phases(record: Record | None) -> Iterator[Record]:
    """The runs that led to weights, the first one first."""
    if record:
        yield from phases(record.get("init"))
        yield record


def samples_seen(record: Record | None) -> int:
    """Samples seen in a run and in those before it."""
    return sum(int(phase["seen"]) for phase in phases(record))


def is_clear(record: Record | None) -> bool:
    """Whether weights are known to have seen, in every phase, only pictures whose rights are clear."""
    runs = list(phases(record))
    known = bool(runs) and all("segments" in run for run in runs)  # older records do not tell all
    started_alone = known and (
        not runs[0].get("init_file") or runs[0].get("init_sha256") in _CLEAR_STARTS
    )
    taught = [run.get("teacher_record") for run in runs if run.get("teacher")]
    return (
        started_alone
        and all(run.get("licence") == "clear" for run in runs)
        and all(map(is_clear, taught))
    )


def warmup_of(wanted: int, samples: int) -> int:
    """How many samples the rate really rises in a run: at most a tenth of them."""
    return min(wanted, max(1, samples // 10))


def horizon_of(wanted: int, samples: int) -> int:
    """Over how many samples the weights are really averaged: at most a sixth of the run."""
    return min(wanted, samples // 6)
