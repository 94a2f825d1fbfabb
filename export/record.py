"""What the folder of a training run says of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any


def read_record(folder: Path) -> dict[str, Any] | None:
    """What a run's folder says of it, with the number of samples seen; None where it says nothing."""
    try:
        record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        with (folder / "log.csv").open(newline="") as file:
            return record | {"seen": int(list(csv.reader(file))[-1][0])}
    except (OSError, ValueError, IndexError):
        return None


def samples_seen(record: dict[str, Any] | None) -> int:
    """Samples seen in a run and in those before it."""
    return int(record["seen"]) + samples_seen(record.get("init")) if record else 0


def warmup_of(wanted: int, samples: int) -> int:
    """How many samples the rate really rises in a run: at most a tenth of them."""
    return min(wanted, max(1, samples // 10))


def horizon_of(wanted: int, samples: int) -> int:
    """Over how many samples the weights are really averaged: at most a sixth of the run."""
    return min(wanted, samples // 6)
