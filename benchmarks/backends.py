"""Every engine on every backend, in turns in one process; on the CPU with one thread and with two.

    python -m benchmarks.backends [--runs 500] [--engines DIR]

The result goes to benchmarks/results/. What cannot run here gives its reason in the place of a
number.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.results import save
from vcam.bench.requests import table_cells
from vcam.bench.table import bench_table, table_lines
from vcam.process import set_up_process


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--engines", type=Path, action="append", default=[])
    parser.add_argument("--note", default="", help="What else the machine was doing.")
    options = parser.parse_args()
    set_up_process()
    cells = table_cells(tuple(options.engines), 1)
    cells += [
        cell
        for cell in table_cells(tuple(options.engines), 2)
        if cell.name in ("onnxruntime", "openvino")
    ]
    report = bench_table(cells, options.runs)
    print(
        "\n".join(
            f"{cell.threads} thread  {line}"
            for cell, line in zip(cells, table_lines(report), strict=True)
        )
    )
    print(save("backends", {"note": options.note, **report}))


if __name__ == "__main__":
    main()
