"""Put scores of several engines into one file: results/<date>-quality-peers.json, as `convert
--peers` reads it.

python -m export evaluate ENGINE --data DATA --json SCORES.json
python -m benchmarks.quality "NAME=SCORES.json" ...
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

_FOLDER = Path(__file__).parent / "results"


def main(arguments: list[str]) -> None:
    """Write the file; each argument is a name, `=`, and what `evaluate --json` wrote."""
    peers = []
    for argument in arguments:
        name, _, path = argument.partition("=")
        measured = json.loads(Path(path).read_text(encoding="utf-8"))
        face = any(row["metric"].startswith("iou ") for row in measured["scores"])
        file, scores = measured["engine"], measured["scores"]
        peers.append(
            {"name": name, "task": "face" if face else "person", "file": file, "scores": scores}
        )
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    path_out = _FOLDER / f"{date}-quality-peers.json"
    path_out.write_text(json.dumps({"peers": peers}, indent=1) + "\n", encoding="utf-8")
    print(path_out)


if __name__ == "__main__":
    main(sys.argv[1:])
