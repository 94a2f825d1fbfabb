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
