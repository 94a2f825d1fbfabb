"""Cost of a frame by picture size and by number of streams; a table, a plot and the law.

    python -m benchmarks.scaling --engine sinet_fp32 talk_1080p.mp4

Sizes are scaled from the one video. `stages` is one thread's time of each step, by size. `streams`
is the processor time of a frame, and the frames per second of all streams together, with 1, 2 and 4
pipelines at once, as threads of one process and as processes. The law is a straight line through
the sizes: what a frame costs whatever its size, and what each million pixels adds. The results go
to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import save
from benchmarks.stages import BESIDES, read_frames, time_stages
from vcam.assemble import open_matter
from vcam.bench.measure import bench_pipeline
from vcam.bench.usage import Usage
from vcam.catalogue import DEFAULT_ENGINE
from vcam.effects import make_effects
from vcam.frame import Size
from vcam.matting.matter import Matter
from vcam.process import set_up_process
from vcam.sinks import SinkRequest, make_sink

SIZES: tuple[Size, ...] = ((640, 360), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
STREAMS = (1, 2, 4)


def stages_by_size(engine: str, source: str, rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each step, one thread, by "1280x720"."""
    matter = open_matter(engine, (), "onnxruntime", 1)
    assert isinstance(matter, Matter)
    found = {}
    with matter:
        for size in SIZES:
            found[name_of(size)] = time_stages(
                matter, read_frames(source, size), rounds
            ).median_ms()
            print(name_of(size), {k: round(v, 2) for k, v in found[name_of(size)].items()})
    return found


def line(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """The straight line nearest to (megapixels, milliseconds)."""
    x, y = np.array(points).T
    slope, start = np.polyfit(x, y, 1)
    left = y - (slope * x + start)
    spread = float(((y - y.mean()) ** 2).sum())
    return {
        "fixed_ms": float(start),
        "ms_per_megapixel": float(slope),
        "r2": 1 - float((left**2).sum()) / spread if spread else 1.0,
    }


def laws(stages: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The line of each step, and of all besides the engine."""
    pixels = [width * height / 1e6 for width, height in map(size_of, stages)]
    rows = list(stages.values())
    series = {name: [row[name] for row in rows] for name in rows[0]}
    series["besides the engine"] = [sum(row[name] for name in BESIDES) for row in rows]
    return {name: line(list(zip(pixels, values, strict=True))) for name, values in series.items()}


def run_streams(engine: str, source: str, size: Size, streams: int, frames: int) -> dict[str, Any]:
    """Several pipelines as threads of this process."""
    pictures = read_frames(source, size)
    rates: list[float] = []

    def work() -> None:
        matter = open_matter(engine, (), "onnxruntime", 1)
        sink = make_sink("null", SinkRequest())
        report = bench_pipeline(pictures, matter, make_effects(["blur"]), sink, frames)
        rates.append(float(str(report["fps"])))

    threads = [threading.Thread(target=work) for _ in range(streams)]
    since = Usage.now()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    usage = Usage.now().per_frame(since, frames * streams)
    return {"fps": sum(rates), **usage}


def run_processes(
    engine: str, source: str, size: Size, streams: int, frames: int
) -> dict[str, float]:
    """As many processes of one pipeline each."""
    command = [sys.executable, "-m", "benchmarks.scaling", source, "--engine", engine]
    command += ["--worker", name_of(size), "--frames", str(frames)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(streams)]
    reports = [json.loads(process.communicate()[0]) for process in running]
    return {
        "fps": sum(report["fps"] for report in reports),
        "cpu_ms_per_frame": sum(report["cpu_ms_per_frame"] for report in reports) / streams,
    }


def name_of(size: Size) -> str:
    """As users write it."""
    return f"{size[0]}x{size[1]}"


def size_of(name: str) -> Size:
    """The opposite of `name_of`."""
    width, _, height = name.partition("x")
    return int(width), int(height)


def plot(report: dict[str, Any], path: Path) -> None:
    """Milliseconds by megapixels: the steps stacked on each other, and the engine as a line."""
    from matplotlib.figure import Figure

    stages = report["stages"]
    pixels = [width * height / 1e6 for width, height in map(size_of, stages)]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.stackplot(
        pixels, [[row[name] for row in stages.values()] for name in BESIDES], labels=BESIDES
    )
    axes.plot(pixels, [row["engine"] for row in stages.values()], "k--", label="engine")
    axes.set_xticks(pixels, list(stages), rotation=30, ha="right")
    axes.set_xlabel("size of the picture")
    axes.set_ylabel("milliseconds of one core a frame")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")
    figure.savefig(path)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300, help="of each stream")
    parser.add_argument("--worker", metavar="SIZE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    set_up_process()
    engine, source, frames = options.engine, options.source, options.frames
    if options.worker:
        print(json.dumps(run_streams(engine, source, size_of(options.worker), 1, frames)))
        return
    stages = stages_by_size(engine, source, options.rounds)
    streams: dict[str, Any] = {}
    for size in SIZES:
        few = max(30, frames * 1280 * 720 // (size[0] * size[1]) // 2)
        for count in STREAMS:
            threads = run_streams(engine, source, size, count, few)
            processes = run_processes(engine, source, size, count, few)
            streams[f"{name_of(size)} x {count}"] = {"threads": threads, "processes": processes}
            print(
                f"{name_of(size)} x {count}: threads {threads['cpu_ms_per_frame']:.1f} ms a frame, "
                f"{threads['fps']:.0f} fps; processes {processes['cpu_ms_per_frame']:.1f} ms, "
                f"{processes['fps']:.0f} fps"
            )
    report = {"engine": engine, "stages": stages, "laws": laws(stages), "streams": streams}
    path = save("scaling", report)
    plot(report, path.with_suffix(".svg"))
    for name, law in report["laws"].items():
        print(
            f"{name:<20} {law['fixed_ms']:6.2f} ms + {law['ms_per_megapixel']:6.2f} ms a megapixel"
        )
    print(path)


if __name__ == "__main__":
    main()
