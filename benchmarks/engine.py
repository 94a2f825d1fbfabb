"""One engine on one core, and the pipeline's latency as with a camera; results are kept.

python -m benchmarks.engine --engine sinet_fp32
"""

from __future__ import annotations

import argparse

from benchmarks.results import save
from vcam.bench.requests import BenchRequest, run_engine_bench, run_pipeline_bench
from vcam.catalogue import DEFAULT_ENGINE
from vcam.process import set_up_process

_CAMERA_FPS = 30.0
_SECONDS = 20


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--source", default="demo")
    options = parser.parse_args()
    set_up_process()
    size = (1280, 720)
    alone = BenchRequest(options.engine, (), options.backend, threads=1, runs=2000)
    live = BenchRequest(
        options.engine,
        (),
        options.backend,
        1,
        int(_CAMERA_FPS * _SECONDS),
        ("blur",),
        options.source,
        size,
        _CAMERA_FPS,
    )
    report = {
        "engine": run_engine_bench(alone),
        "live_720p": run_pipeline_bench(live, lambda _: None),
    }
    print(save("engine", report))


if __name__ == "__main__":
    main()
