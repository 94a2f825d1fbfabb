"""The same weights at several input sizes: quality against time, beside the published model.

python -m benchmarks.sizes --data DATA --published selfie_segmentation_landscape.tflite

Times are those of one thread's own CPU clock, taken in turns, so that they are comparable with each
other; the published model runs in LiteRT, one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import save
from export.engine.convert import CHECKPOINTS, load_network
from export.evaluation.engines import OnnxMatting, TfliteMatting
from export.evaluation.still import evaluate_people
from export.onnx.graph import engine_graphs
from export.onnx.parity import cpu_session

_SIZES = ((128, 256), (160, 288), (192, 320), (224, 384))
_ROUNDS, _RUNS = 7, 40


def _cpu_ms(run: Callable[[], object]) -> float:
    """The median over runs."""
    times = []
    for _ in range(_RUNS):
        start = time.thread_time()
        run()
        times.append((time.thread_time() - start) * 1e3)
    return statistics.median(times)


def _invoke(path: Path) -> Callable[[], object]:
    """The published model alone, on pixels that are in place."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter.invoke  # type: ignore[no-any-return]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINTS / "selfie.safetensors")
    options = parser.parse_args()
    spec, network = load_network("selfie", options.checkpoint)
    published = TfliteMatting(options.published)
    engines: dict[str, OnnxMatting | TfliteMatting] = {"published, LiteRT": published}
    runs: dict[str, Callable[[], object]] = {"published, LiteRT": _invoke(options.published)}
    for size in _SIZES:
        session = cpu_session(engine_graphs(network, spec, size)[0].SerializeToString())
        name = f"{size[1]}x{size[0]}"
        engines[name] = OnnxMatting(session)
        image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
        runs[name] = lambda session=session, image=image: session.run(None, {"image": image})  # type: ignore[misc]
    rounds = [{name: _cpu_ms(run) for name, run in runs.items()} for _ in range(_ROUNDS)]
    report: dict[str, Any] = {}
    for name, engine in engines.items():
        scores = [x.row() for x in evaluate_people(engine, options.data) if not x.condition]
        report[name] = {
            "cpu_ms": round(statistics.median(x[name] for x in rounds), 3),
            "of_published": round(
                statistics.median(x[name] / x["published, LiteRT"] for x in rounds), 3
            ),
            "scores": scores,
        }
        shown = {x["set"]: x["mean"] for x in scores if x["metric"] in ("iou", "person_share")}
        print(name, report[name]["cpu_ms"], report[name]["of_published"], shown, flush=True)
    print(save("selfie-sizes", {"sizes": report}))


if __name__ == "__main__":
    main()
