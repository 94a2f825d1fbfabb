"""Settings of a training run, which are stored in its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from export.data.faces import OCCLUDERS


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One run. `samples` is the length of the cosine schedule; `checkpoint_s` the maximum loss by
    an interruption.

    `warmup_samples` and `ema_samples` are at most a tenth and a sixth of `samples`.

    `finish`: the last phase, on pictures that are changed less; from weights that have seen the
    first one. `data`: a folder with the sets person/ccp, person/cutouts, ..., or sets in other
    layouts (`export.data.readers`). `licence`: "clear" leaves out pictures whose rights are unclear
    or exclude commercial use. `task`: "person" teaches the encoder of a face network to see people
    first; else the model's own. `teacher`: labels for pixels that have none: a checkpoint of
    `teacher_model`, or an engine (folder, .onnx, .tflite). `consistency`: weight of
    `consistency_loss`; above 0 each picture is seen twice. `size`: (height, width) that the network
    sees while training, multiples of 32; None: the model's own. A first phase on smaller pictures
    is faster by the ratio of the areas ("progressive resizing"). `occluders`: the share of faces, 0
    to 1, that something covers in part. `keep_glasses`: CelebAMask-HQ's glasses are skin; else they
    are taken out of the face. `distil`: checkpoints or engines whose mattes soften hard labels
    before training (`export.data.distil`); the first one speaks for every set, the others for
    photographs only. `recipe`: how the authors of a network train it (`export.training.recipes`);
    "" is this project's own way. `encoder`: weights for the encoder alone
    (`export.weights.encoder`). `accumulate`: in how many parts, one after the other, a batch is
    seen; the step is that of their mean. `bfloat16`: the network computes in bfloat16 on a CPU,
    too; a GPU always does.
    """

    model: str
    data: tuple[Path, ...]
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
    task: str = ""
    teacher: Path | None = None
    teacher_model: str = "portraitnet_lite"
    consistency: float = 0.0
    licence: str = "any"
    size: tuple[int, int] | None = None
    occluders: float = OCCLUDERS
    keep_glasses: bool = False
    bfloat16: bool = False
    distil: tuple[Path, ...] = ()
    recipe: str = ""
    encoder: Path | None = None
    accumulate: int = 1

    def in_bfloat16(self, device: torch.device) -> bool:
        """Whether the network computes in bfloat16 there."""
        return self.bfloat16 or device.type == "cuda"
