"""What the project knows of a network besides its layers: how it sees pixels, its classes, where
its weights come from.

A module of `export.models` describes its networks in a `Family` called `FAMILY`, which
`export.models` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

State = Mapping[str, Tensor]
"""The tensors of a checkpoint by name."""
ExtraLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The loss of a network's second answer, from that answer, and alpha and valid as in
`person_loss`.
"""

PERSON = ("room", "person")
V2_CLASSES = (
    "background",
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "lips",
    "teeth",
)
V1_CLASSES = ("background", "person", *V2_CLASSES[1:])
"""EasyPortrait's classes, version 1 and 2. Left is the left side of the picture."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a network reads of a picture: `(x - mean) / std` of RGB 0..255.

    bgr: the network was trained on blue, green, red; `mean` and `std` stay in the order red, green,
    blue.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    def normalise(self, image: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB to float32 [N, 3, H, W] as the network wants it."""
        mean, std = (
            torch.tensor(x, device=image.device).view(1, 3, 1, 1) for x in (self.mean, self.std)
        )
        pixels = (
            image.float().permute(0, 3, 1, 2) - mean
        ) / std  # in this order: TensorRT moves no uint8
        return pixels.flip(1) if self.bgr else pixels


@runtime_checkable
class Foldable(Protocol):
    """A network that can be rewritten for speed on a CPU."""

    def folded(self, pixels: Pixels, size: tuple[int, int]) -> nn.Module:
        """The same network with its normalisation: float32 [1, 3, H, W] RGB 0..255 to logits [1, H,
        W].
        """


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One network by its name on the command line.

    network: makes it; takes `classes`, their number, what `options` says, and of a network with a
    memory `channels`.
    size: height and width of the input that it is meant for.
    gain: alpha is the sigmoid of `gain` times the logit.
    memory: whether it also reads its previous answer, as a fourth channel.
    single: how many of its first convolutions stay float32 in half precision.
    engine: the name of its engine, where that is another one.
    extra_loss: of its second answer in training mode, if it has one.
    products: whether matrix products stay float32 in half precision, with what lies between them.
    named: whether the classes are those of the layout, not the usual ones for their number.
    smallest: the least height and width that its layers can take.
    fit: how its authors put pictures into its input, see `EngineManifest.fit`.
    card: the template in export/cards without ".md"; "" takes the general one, which says `about`.
    about: the network in one sentence with its paper, for that card.
    """

    name: str
    network: Callable[..., nn.Module]
    size: tuple[int, int]
    classes: tuple[str, ...]
    pixels: Pixels
    options: Mapping[str, Any] = field(default_factory=dict)
    gain: float = 1.0
    memory: bool = False
    single: int = 0
    products: bool = False
    engine: str = ""
    extra_loss: ExtraLoss | None = None
    named: bool = False
    smallest: int = 32
    fit: str = "stretch"
    card: str = ""
    about: str = ""

    @property
    def task(self) -> str:
        """Two classes separate a person, or a face, from the rest; more are the parts of a face."""
        return "person" if len(self.classes) == 2 else "face"

    @property
    def engine_name(self) -> str:
        """What its engine is called."""
        return self.engine or self.name

    def build(self) -> nn.Module:
        """A new network with random weights."""
        channels = {"channels": 4} if self.memory else {}
        return self.network(**({"classes": len(self.classes)} | channels | dict(self.options)))

    def normalise(self, image: Tensor, *state: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB to float32 [N, 3, H, W] as the network wants it.

        state: of a network with a memory, float32 [N, 1, H, W], the previous share of person, 0..1;
        it is the last channel.
        """
        pixels = self.pixels.normalise(image)
        return torch.cat([pixels, *state], dim=1) if state else pixels

    def score(self, logits: Tensor) -> Tensor:
        """What the last sigmoid or softmax reads. logits: float32 [N, K, h, w].

        Person: float32 [N, 1, h, w], person minus room. Face: the logits themselves.
        """
        if self.task == "face":
            return logits
        score = logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits
        return score if self.gain == 1 else score * self.gain


@dataclass(frozen=True, slots=True)
class Preset:
    """Where published weights come from, which settles what they read of a picture; the name is for
    `--preset`.

    licence: of the weights, "" where it is not known. sha256: of the file, by which it is known.
    size: (height, width) that they were trained for, where it is not the model's. clear: whether a
    training under `--licence clear` may start from them, because their authors state a licence.
    classes: the numbers of classes by which a file without a record is taken for one of these; ()
    for none. fit: as `ModelSpec.fit`. mark: a tensor by which it is taken for one of these.
    """

    name: str
    pixels: Pixels
    source: str
    licence: str = ""
    sha256: str = ""
    size: tuple[int, int] | None = None
    classes: tuple[int, ...] = ()
    clear: bool = False
    mark: str = ""
    fit: str = "stretch"

    def applied(self, spec: ModelSpec) -> ModelSpec:
        """The model as these weights want it."""
        return replace(spec, pixels=self.pixels, size=self.size or spec.size, fit=self.fit)


@dataclass(frozen=True, slots=True)
class Family:
    """The networks of one architecture.

    mark: a tensor that the checkpoints of no other family have; others: those of other layouts.
    specs: the models that `convert` knows. trained: those that `train` trains, as it trains them.
    classifier: the tensor that has one row for each class; "" where the number of classes is fixed;
        several for several layouts.
    class_names: the usual names for a number of classes in a checkpoint.
    identify: which of the models a checkpoint with the mark holds; without it, the first one.
    variant: a model with what the tensors of a checkpoint say of it: widths, heads, a memory.
    presets: where published weights of these models come from.
    training_only: how the names of tensors begin that only training reads; checkpoints may have
    them.
    counted: a tensor with one row for each class, for a classifier that has rows without a class
        behind them; without that tensor in a file, the user says how many classes there are.
    """

    mark: str
    specs: tuple[ModelSpec, ...]
    trained: tuple[ModelSpec, ...] = ()
    classifier: str | tuple[str, ...] = ""
    class_names: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    identify: Callable[[State], str] | None = None
    variant: Callable[[ModelSpec, State], ModelSpec] = lambda spec, _: spec
    presets: tuple[Preset, ...] = ()
    others: tuple[str, ...] = ()
    training_only: tuple[str, ...] = ()
    counted: str = ""

    def knows(self, state: State) -> bool:
        """Whether these are weights of one of its networks."""
        return any(mark in state for mark in (self.mark, *self.others))

    def name_of(self, state: State) -> str:
        """The model whose weights these are; it `knows` them."""
        return self.identify(state) if self.identify else self.specs[0].name

    def count(self, state: State, spec: ModelSpec) -> int:
        """How many classes a checkpoint has."""
        layouts = (self.classifier,) if isinstance(self.classifier, str) else self.classifier
        for name in (self.counted, *layouts):
            if name in state and state[name].ndim:
                return len(state[name])
        return len(spec.classes)
