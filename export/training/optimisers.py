"""Optimisers and rates: this project's own, and those of recipes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from export.training.recipes import Optimiser, Recipe
from export.weights.record import warmup_of
from export.weights.settings import TrainConfig

_MOMENTUM = 0.9


def optimiser_of(
    config: TrainConfig, network: nn.Module, recipe: Recipe | None
) -> torch.optim.Optimizer:
    """For the parameters that learn. Each group has `scale`, the factor of its rate."""
    if recipe is None:
        groups: list[dict[str, Any]] = [{"params": list(network.parameters()), "scale": 1.0}]
        return torch.optim.AdamW(groups, lr=config.rate, weight_decay=config.weight_decay)
    wanted = recipe.optimiser
    groups = [
        {"params": [x], **_treated(wanted, name, x, config.weight_decay)}
        for name, x in network.named_parameters()
        if x.requires_grad
    ]
    if wanted.kind == "sgd":
        return torch.optim.SGD(groups, lr=config.rate, momentum=_MOMENTUM)
    kind = torch.optim.AdamW if wanted.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.rate)


def _treated(wanted: Optimiser, name: str, value: nn.Parameter, decay: float) -> dict[str, float]:
    scale = 1.0
    if wanted.depthwise:
        if value.ndim == 4:
            decay = 0.0 if value.shape[1] == 1 else decay
        else:
            decay /= 100
    elif wanted.bare_norms and "norm" in name:
        decay = 0.0
    elif "head" in name:
        scale = wanted.head
    return {"weight_decay": decay, "scale": scale}


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def own_rate(config: TrainConfig, seen: int) -> float:
    """Linear warm-up, then half a cosine down to one hundredth."""
    warmup = warmup_of(config.warmup_samples, config.samples)
    if seen < warmup:
        return config.rate * (seen + config.batch) / warmup
    progress = min(1.0, (seen - warmup) / max(1, config.samples - warmup))
    return config.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


class Plateau:
    """A factor of the rate: a tenth of it after two epochs in turn without a smaller loss."""

    _PATIENCE, _FACTOR, _LEAST = 1, 0.1, 1e-4

    def __init__(self) -> None:
        self.factor, self._best, self._waited = 1.0, math.inf, 0

    def epoch(self, loss: float) -> None:
        """An epoch has ended with this loss, which counts as smaller from one ten-thousandth on."""
        if loss < self._best * (1 - self._LEAST):
            self._best, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited > self._PATIENCE:
            self.factor, self._waited = self.factor * self._FACTOR, 0

    def state(self) -> tuple[float, float, int]:
        """To go on with later."""
        return self.factor, self._best, self._waited

    def load(self, state: tuple[float, float, int]) -> None:
        """Go on from there."""
        self.factor, self._best, self._waited = state
