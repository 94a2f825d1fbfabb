"""A network with what it minimises: one call gives the loss of a batch, so that it can run in parts
and in several processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export.errors import ExportError
from export.models import ModelSpec
from export.models.extremec3 import ExtremeC3Net
from export.models.sinet import SINet
from export.training.auxiliary import TAPS, Tap, Watched, add_heads
from export.training.losses import consistency_loss, logits_of, resized, teacher_loss, total_loss
from export.training.objectives import (
    OBJECTIVES,
    classes_of,
    cross_entropy,
    divergence,
    focal_edge,
    with_band,
)
from export.training.recipes import Recipe, Stage
from export.training.teacher import Teacher
from export.weights.settings import TrainConfig

_COARSE = Tap("encoder", "auxiliary_head", 112, 112, 0)


class Learner(nn.Module):
    """The losses of this project, see `export.training.losses`.

    forward: pictures uint8 [N, H, W, 3] RGB; label, valid uint8 [N, H, W], see `total_loss`; clean:
    the pictures before they were spoilt; before: of a network that remembers, uint8 [N, H, W], the
    matte of the frame before. It gives the loss and the logits float [N, K, h, w].
    """

    def __init__(
        self,
        config: TrainConfig,
        spec: ModelSpec,
        network: nn.Module,
        device: torch.device,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self._run: Any = torch.compile(network) if config.compile else network
        self._config, self._spec, self._device, self._teacher = config, spec, device, teacher

    def forward(
        self, image: Tensor, label: Tensor, valid: Tensor, clean: Tensor, *before: Tensor
    ) -> tuple[Tensor, Tensor]:
        state = _states(before)
        answer = self.answer(image, state)
        loss = total_loss(self._spec, answer, label, valid)
        logits = logits_of(answer)
        if self._teacher is not None:
            loss = loss + teacher_loss(logits, self._teacher.alpha(image), valid.float())
        if self._config.consistency:
            with torch.no_grad():
                calm = logits_of(self.answer(clean, state))
            loss = loss + self._config.consistency * consistency_loss(logits, calm)
        return loss, logits

    def answer(self, pictures: Tensor, state: list[Tensor]) -> Any:
        """What the network says, in float32."""
        pixels = self._spec.normalise(pictures, *state)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        bfloat16 = self._config.in_bfloat16(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16):
            answer = self._run(pixels)
        return _single(answer)


def _states(before: tuple[Tensor, ...]) -> list[Tensor]:
    """Mattes uint8 [N, H, W] as a network with a memory takes them: float32 [N, 1, H, W], 0..1."""
    return [matte[:, None].float() / 255 for matte in before]


def _single(answer: Any) -> Any:
    """Every tensor of it in float32."""
    if isinstance(answer, tuple | list):
        return type(answer)(map(_single, answer))
    return answer.float()


class RecipeLearner(Learner):
    """The losses of a recipe, in one of its stages; see `Learner`."""

    def __init__(
        self,
        config: TrainConfig,
        spec: ModelSpec,
        network: nn.Module,
        device: torch.device,
        recipe: Recipe,
        stage: Stage,
    ) -> None:
        super().__init__(config, spec, network, device)
        self._recipe, self._stage = recipe, stage
        self._taps = taps_of(recipe, spec)
        if stage.coarse:
            self._run = _Coarse(network)
        elif self._taps:
            self._run = Watched(network, self._taps)

    def forward(
        self, image: Tensor, label: Tensor, valid: Tensor, clean: Tensor, *before: Tensor
    ) -> tuple[Tensor, Tensor]:
        state = _states(before)
        classes = classes_of(label, valid, person=self._spec.task == "person")
        answer = self.answer(image, state)
        heads: list[Tensor] = []
        if self._taps and not self._stage.coarse:
            answer, heads = answer
        logits = logits_of(answer)
        loss = self._loss(logits, classes)
        objective = OBJECTIVES[self._recipe.loss]
        for tap, head in zip(self._taps, heads, strict=False):
            # a head's own loss is plain, also where the network's is of each class alone
            plain = cross_entropy if "each" in self._recipe.loss else objective
            loss = loss + tap.weight * plain(resized(head, classes.shape[1:]), classes)
        if self._recipe.loss == "portraitnet" and not before:
            loss = loss + self._beside(answer, clean, classes)
        return loss, logits

    def _loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        objective = OBJECTIVES[self._recipe.loss]
        if self._stage.band:
            return with_band(objective, logits, classes, self._stage.band)
        return objective(resized(logits, classes.shape[1:]), classes)

    def _beside(self, answer: Any, clean: Tensor, classes: Tensor) -> Tensor:
        """PortraitNet's losses besides that of the mask."""
        logits = logits_of(answer)
        calm = logits_of(self.answer(clean, []))
        loss = cross_entropy(calm, classes) + self._config.consistency * divergence(logits, calm)
        return loss + focal_edge(answer[1], classes) if isinstance(answer, tuple) else loss


class _Coarse(nn.Module):
    """The answer of a network's encoder alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        if isinstance(self.network, SINet):
            return self.network.encoder(pixels)[1]  # type: ignore[no-any-return]
        head = self.network.get_submodule(_COARSE.name)
        return head(self.network.get_submodule("encoder")(pixels))  # type: ignore[no-any-return]


def taps_of(recipe: Recipe, spec: ModelSpec) -> tuple[Tap, ...]:
    """The heads that a recipe reads while it trains a network."""
    return TAPS.get(spec.name, ()) if recipe.name == "easyportrait" else ()


def prepare(recipe: Recipe, spec: ModelSpec, network: nn.Module) -> None:
    """Add the heads that a recipe needs.

    Raises:
        ExportError: the recipe has a stage for the encoder alone, which the network cannot do.
    """
    add_heads(network, taps_of(recipe, spec), len(spec.classes))
    if not any(stage.coarse for stage in recipe.stages) or isinstance(network, SINet):
        return
    if not isinstance(network, ExtremeC3Net):
        raise ExportError(f"--recipe {recipe.name}: {spec.name} has no answer of its encoder")
    add_heads(network, (_COARSE,), int(spec.options.get("classes", len(spec.classes))))


def begin_stage(network: nn.Module, stage: Stage) -> None:
    """Let those parameters learn that a stage reads: the encoder with its own answer, or all but that."""
    for name, parameter in network.named_parameters():
        first = name.startswith(("encoder.", _COARSE.name))
        if stage.coarse:
            parameter.requires_grad_(first)
        else:
            lone = isinstance(network, ExtremeC3Net) and name.startswith(_COARSE.name)
            parameter.requires_grad_(not lone)
