"""Train a person network from scratch on composited and real pictures; stop and go on at any time.

The schedule counts samples, not seconds, so a run that was paused or resumed ends like one that was not.
Everything a run writes goes to one folder: `last.pt` (to resume), `ema.safetensors` (the weights to export),
`run.json` (how to repeat it), `log.csv`.
"""

from __future__ import annotations

import csv
import json
import math
import pickle
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from export.checkpoints import read_checkpoint
from export.data.person import Library, draw
from export.errors import ExportError
from export.models import ModelSpec, find_model
from export.record import read_record

_TRAINED = "sinet"


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One run. `samples` is the length of the cosine schedule; `checkpoint_s` the most an interruption costs.

    `finish`: the last phase, on pictures that are changed less; from weights that have seen the first one.
    """

    model: str
    data: Path
    out: Path
    samples: int = 300_000
    batch: int = 32
    rate: float = 3e-3
    warmup_samples: int = 6_000
    weight_decay: float = 1e-4
    ema_samples: int = 20_000
    checkpoint_s: float = 120.0
    seed: int = 1
    workers: int = 1
    compile: bool = False
    finish: bool = False


class _Draws(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """An endless stream of samples; `start` moves the seed so that a resumed run does not repeat itself."""

    def __init__(self, library: Library, size: tuple[int, int], config: TrainConfig, start: int) -> None:
        self._library, self._size, self._seed, self._finish = library, size, (config.seed, start), config.finish

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        cv2.setNumThreads(1)
        info = get_worker_info()
        rng = np.random.default_rng([*self._seed, info.id if info else 0])
        while True:
            sample = draw(self._library, self._size, rng, self._finish)
            yield torch.from_numpy(sample.image), torch.from_numpy(sample.alpha), torch.from_numpy(sample.valid)


def _boundary_weight(alpha: Tensor) -> Tensor:
    """1 away from the outline, 3 within about three pixels of it. alpha: float [N, H, W] 0..1."""
    thick = functional.max_pool2d(alpha[:, None], 7, 1, 3)[:, 0]
    thin = -functional.max_pool2d(-alpha[:, None], 7, 1, 3)[:, 0]
    return 1 + 2 * (thick - thin)


def person_loss(logits: Tensor, coarse: Tensor, alpha: Tensor, valid: Tensor) -> Tensor:
    """Boundary-weighted cross-entropy plus soft dice, and a plain cross-entropy on the coarse answer.

    logits float [N, 2, H, W], coarse float [N, 2, h, w], alpha float [N, H, W] 0..1, valid float [N, H, W] 0 or 1.
    """
    score = logits[:, 1] - logits[:, 0]
    entropy = functional.binary_cross_entropy_with_logits(score, alpha, reduction="none")
    weight = _boundary_weight(alpha) * valid
    fine = (entropy * weight).sum() / weight.sum().clamp(min=1)
    share = torch.sigmoid(score) * valid
    target = alpha * valid
    overlap = (2 * (share * target).sum((1, 2)) + 100) / (share.sum((1, 2)) + target.sum((1, 2)) + 100)
    small = functional.interpolate(alpha[:, None], coarse.shape[2:], mode="area")[:, 0]
    rough = functional.binary_cross_entropy_with_logits(coarse[:, 1] - coarse[:, 0], small)
    return fine + (1 - overlap).mean() + 0.3 * rough


def _rate(config: TrainConfig, seen: int) -> float:
    """Linear warm-up, then half a cosine down to one hundredth."""
    if seen < config.warmup_samples:
        return config.rate * (seen + config.batch) / config.warmup_samples
    progress = min(1.0, (seen - config.warmup_samples) / max(1, config.samples - config.warmup_samples))
    return config.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


class _Average:
    """Exponential moving average of every floating-point tensor of a network."""

    def __init__(self, network: nn.Module) -> None:
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, keep: float) -> None:
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1 - keep)
            else:
                self.state[key].copy_(value)


@dataclass(slots=True)
class _Run:
    """What a run carries from step to step; `seen` counts samples."""

    config: TrainConfig
    spec: ModelSpec
    network: nn.Module
    optimiser: torch.optim.Optimizer
    average: _Average
    seen: int = 0


def train(config: TrainConfig, resume: bool = False, init: Path | None = None) -> Path:
    """Train until `config.samples` have been seen; return the file with the averaged weights.

    Raises:
        ExportError: the model or the data is unknown, or there is nothing to resume or to start from.
    """
    run = _start(config, init)
    if resume:
        _resume(run)
    library = Library.read(config.data, "train")
    config.out.mkdir(parents=True, exist_ok=True)
    described = asdict(config) | {"spec": asdict(run.spec), "torch": torch.__version__, "resumed_at": run.seen}
    described["init"] = read_record(init.parent) if init else None
    (config.out / "run.json").write_text(json.dumps(described, indent=1, default=str) + "\n")
    if run.seen < config.samples:
        _loop(run, library)
    return config.out / "ema.safetensors"


def _start(config: TrainConfig, init: Path | None) -> _Run:
    spec = find_model(config.model)
    if spec.name != _TRAINED:
        raise ExportError(f"{spec.name}: only {_TRAINED} is trained here; convert published weights instead")
    torch.manual_seed(config.seed)
    network = spec.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if init is not None:
        network.load_state_dict(read_checkpoint(init, spec))
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.weight_decay)
    return _Run(config, spec, network, optimiser, _Average(network))


def _loop(run: _Run, library: Library) -> None:
    config = run.config
    cv2.setNumThreads(0)  # its thread pool does not survive the fork of the workers
    draws = _Draws(library, run.spec.size, config, run.seen)
    loader = DataLoader(draws, batch_size=config.batch, num_workers=config.workers)
    forward: Any = torch.compile(run.network) if config.compile else run.network
    run.network.train()
    saved_at, losses = time.monotonic(), []
    for batch in loader:
        losses.append(_step(run, forward, *batch))
        done = run.seen >= config.samples
        if done or time.monotonic() - saved_at > config.checkpoint_s:
            _save(run, sum(losses) / len(losses))
            saved_at, losses = time.monotonic(), []
        if done:
            return


def _step(run: _Run, forward: Any, image: Tensor, alpha: Tensor, valid: Tensor) -> float:
    """One update; the loss. image: uint8 [N, H, W, 3] RGB, alpha: uint8 [N, H, W], valid: uint8 [N, H, W] 0 or 1."""
    config = run.config
    for group in run.optimiser.param_groups:
        group["lr"] = _rate(config, run.seen)
    pixels = run.spec.normalise(image).contiguous(memory_format=torch.channels_last)
    logits, coarse = forward(pixels)
    loss = person_loss(logits, coarse, alpha.float() / 255, valid.float())
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
    run.optimiser.step()
    run.seen += config.batch
    # at the start the average would otherwise remember the random weights for thousands of samples
    run.average.update(
        run.network, min(1 - config.batch / config.ema_samples, run.seen / (run.seen + 10 * config.batch))
    )
    return loss.item()


def _save(run: _Run, loss: float) -> None:
    out, average = run.config.out, run.average.state
    state = {
        "network": run.network.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "average": average,
        "seen": run.seen,
    }
    torch.save(state, out / "last.pt.partial")
    (out / "last.pt.partial").replace(out / "last.pt")
    weights = {k: v.contiguous() for k, v in average.items() if v.is_floating_point()}
    save_file(weights, out / "ema.safetensors.partial")
    (out / "ema.safetensors.partial").replace(out / "ema.safetensors")
    with (out / "log.csv").open("a", newline="") as file:
        csv.writer(file).writerow([run.seen, f"{loss:.5f}", f"{_rate(run.config, run.seen):.2e}"])
    print(f"{run.seen} samples, loss {loss:.4f}", flush=True)


def _resume(run: _Run) -> None:
    path = run.config.out / "last.pt"
    if not path.exists():
        raise ExportError(f"{path}: nothing to resume; start without --resume")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        run.network.load_state_dict(state["network"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.average.state, run.seen = state["average"], int(state["seen"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise ExportError(f"{path}: not the state of a {run.spec.name} run; start without --resume") from error
