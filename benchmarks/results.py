"""Where measurements are kept: benchmarks/results/<date>-<machine>-<what>.json."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

from vcam.bench.machine import describe_machine

_FOLDER = Path(__file__).parent / "results"


def save(what: str, report: dict[str, Any]) -> Path:
    """Write a report with the machine and the versions; returns the file."""
    machine = describe_machine()
    slug = re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores".lower()).strip(
        "-"
    )
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    path = _FOLDER / f"{date}-{slug}-{what}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, **report}, indent=1) + "\n")
    return path
