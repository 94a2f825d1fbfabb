"""How the authors of published networks train them, as presets for `train --recipe`.

Each recipe settles loss, optimiser, schedule, size and changes of pictures. What was published and
what this project does otherwise stands with each. All of them take the weights after the last step;
the authors keep those of the epoch that did best on their validation pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from export.data import published
from export.data.image import Image
from export.data.items import Sample
from export.data.whole import FACES, PEOPLE
from export.errors import ExportError
from export.models import PERSON, V1_CLASSES, ModelSpec
from export.models.deeplabv3 import TorchvisionDeepLabV3
from export.models.easyportrait import V1_PIXELS, V2_PIXELS
from export.models.layers import CLOVAAI_PIXELS
from export.weights.settings import TrainConfig

Change = Callable[[Image, Image, Image, tuple[int, int], np.random.Generator], Sample]
"""Makes a sample of a picture, its target and what counts: see `export.data.published`."""


@dataclass(frozen=True, slots=True)
class Optimiser:
    """kind: "adam", "adamw" or "sgd" (momentum 0.9). decay: of weights; as L2 but for adamw.

    head: factor of the rate of heads. bare_norms: whether parameters with
    "norm" in their names do not decay. depthwise: whether convolutions of single channels do not
    decay, and vectors a hundredth as much.
    """

    kind: str
    decay: float
    head: float = 1.0
    bare_norms: bool = False
    depthwise: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rate over a stage. kind: "poly" falls as (1 - progress) ** power; "steps" halves it after
    a half and after five sixths; "decay" takes 5 % off after each hundredth; "plateau" divides it
    by 10 if the loss has not fallen for two epochs.

    warmup: steps over which it rises, from `warmup_from` of what it would be. epochs: by which
    "poly" falls in jumps; 0: at every step.
    """

    kind: str
    power: float = 1.0
    warmup: int = 0
    warmup_from: float = 0.1
    epochs: int = 0

    def rate(self, progress: float, steps: int) -> float:
        """The factor of the peak rate. progress: of the stage, 0 to 1; steps: done so far."""
        if self.kind == "steps":
            return 0.25 if progress >= 5 / 6 else 0.5 if progress >= 1 / 2 else 1.0
        if self.kind == "decay":
            return float(0.95 ** math.floor(progress * 100))
        if self.kind == "plateau":
            return 1.0
        if self.epochs:
            progress = math.floor(progress * self.epochs) / self.epochs
        factor = float((1 - min(progress, 1.0)) ** self.power)
        if steps < self.warmup:
            factor *= self.warmup_from + (1 - self.warmup_from) * steps / self.warmup
        return factor


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a schedule that takes its share of the samples.

    coarse: how many times smaller the answer of the encoder alone is, which is all that is trained;
    0: the whole network. band: side of the square that widens an outline whose pixels count half as
    much again. batch: as a multiple of the first stage's.
    """

    coarse: int = 0
    band: int = 0
    batch: float = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """One published way of training. models: those that it is for, the first one is meant.

    what: which labels, see `export.data.whole`. loss: see `export.training.objectives`. epochs:
    rounds through the pictures over all stages; batch, rate, size: as published. spec: the network
    as it is trained so. consistency: weight of the divergence from the answer to the clean picture.
    """

    name: str
    models: tuple[str, ...]
    what: str
    change: Change
    loss: str
    optimiser: Optimiser
    schedule: Schedule
    epochs: int
    batch: int
    rate: float
    size: tuple[int, int]
    spec: Callable[[ModelSpec], ModelSpec]
    stages: tuple[Stage, ...] = (Stage(),)
    consistency: float = 0.0


def _ep(spec: ModelSpec) -> ModelSpec:
    """Nine classes with version 1's colours, two with version 2's."""
    if len(spec.classes) == 2:
        return replace(spec, pixels=V2_PIXELS, gain=1.0, fit="corner")
    return replace(spec, classes=V1_CLASSES, pixels=V1_PIXELS, fit="corner")


_EP_MODELS = (
    "fcn_mobilenetv2",
    "fpn_r50",
    "lraspp",
    "segnext_t",
    "segformer_b0",
    "segformer_b2",
    "segformer_b5",
    "bisenetv2",
    "danet_r50",
    "deeplabv3_r50",
    "fastscnn",
    "ehanet",
    "unet",
)
_EASYPORTRAIT = Recipe(
    "easyportrait",
    _EP_MODELS,
    "face",
    published.easyportrait,
    "cross entropy",
    Optimiser("adamw", 0.01, head=10.0, bare_norms=True),
    Schedule("poly", 1.0, warmup=1500, warmup_from=1e-6),
    epochs=100,
    batch=32,
    rate=6e-5,
    size=(384, 384),
    spec=_ep,
)
"""EasyPortrait: hukenovs/easyportrait@1b3d3e5, pipelines/local_configs/easyportrait_experiments_v2
(rates, batch, 100 epochs, auxiliary heads), and branch EasyPortrait_v1 for nine classes, padding and
hue. Cross-entropy over all pixels, ignored ones as 0. These settings are those of FCN, FPN, LR-ASPP,
SegNeXt and SegFormer; EHANet and U-Net, whose settings are not public, take them, too.
"""
_POLY_EPOCHS = Schedule("poly", 0.9, epochs=100)
_EP_OTHERS: Mapping[str, Recipe] = {
    "bisenetv2": replace(
        _EASYPORTRAIT,
        optimiser=Optimiser("adamw", 1e-4),
        schedule=Schedule("poly", 0.9, warmup=1000, epochs=100),
        rate=0.05,
    ),
    "danet_r50": replace(
        _EASYPORTRAIT, optimiser=Optimiser("adamw", 1e-4), schedule=_POLY_EPOCHS, rate=2e-4
    ),
    "deeplabv3_r50": replace(
        _EASYPORTRAIT, optimiser=Optimiser("adamw", 1e-4), schedule=_POLY_EPOCHS, rate=2e-4
    ),
    "fastscnn": replace(
        _EASYPORTRAIT,
        loss="each class alone",
        optimiser=Optimiser("sgd", 4e-5),
        schedule=_POLY_EPOCHS,
        rate=0.12,
    ),
    "lraspp": replace(_EASYPORTRAIT, size=(1024, 1024)),
}
"""The networks that its configurations treat otherwise; LR-ASPP is published at 1024 only."""

_PORTRAITNET = Recipe(
    "portraitnet",
    ("portraitnet", "portraitnet_prior", "portraitnet_lite", "portraitnet_lite_prior"),
    "person",
    published.portrait,
    "portraitnet",
    Optimiser("adam", 5e-4),
    Schedule("decay"),
    epochs=2000,
    batch=64,
    rate=1e-3,
    size=(224, 224),
    spec=lambda spec: spec,
    consistency=2.0,
)
"""PortraitNet: dong-x16/PortraitNet@e08ccdb, myTrain/train.py and config/*.yaml. Cross-entropy of the
spoilt and of the clean picture, 0.1 times the focal loss (power 2) of the outline, 2 times the
Kullback-Leibler divergence (mean over all numbers, temperature 1); with a prior channel cross-entropy
alone. The authors start from ImageNet weights of MobileNetV2 (`--encoder`).
"""

_TWO_STAGES = Optimiser("adam", 2e-4, depthwise=True)
_EXTREMEC3 = Recipe(
    "extremec3",
    ("extremec3",),
    "person",
    published.portrait,
    "lovasz",
    _TWO_STAGES,
    Schedule("steps"),
    epochs=600,
    batch=60,
    rate=1e-3,
    size=(224, 224),
    spec=lambda spec: replace(spec, pixels=CLOVAAI_PIXELS, gain=6.0),
    stages=(Stage(coarse=4, band=5), Stage(band=15, batch=40 / 60)),
)
"""ExtremeC3Net: clovaai/ext_portrait_segmentation@9bc1bad, main.py and setting/ExtremeC3Net.json.
300 epochs of the encoder at a quarter of the size, then 300 of the whole network. Lovász hinge loss
(Berman, Triki, Blaschko, CVPR 2018, arXiv 1705.08790) of the batch, and half of it again on the band
along the outline. The mean and deviation of colours are those of the published weights.
"""
_SINET = Recipe(
    "sinet",
    ("sinet",),
    "person",
    published.portrait,
    "cross entropy",
    _TWO_STAGES,
    Schedule("steps"),
    epochs=600,
    batch=36,
    rate=5e-4,
    size=(224, 224),
    spec=lambda spec: replace(spec, pixels=CLOVAAI_PIXELS),
    stages=(Stage(coarse=8, band=5), Stage(band=15, batch=24 / 36)),
)
"""SINet: the same code with setting/SINet.json; the encoder at an eighth of the size first. That file
names the Lovász loss, which has one output; the published weights have two and were tested with
cross-entropy (setting/Test_SINet.json), which is taken here, both classes alike: the authors weight
them by 1 / ln(1.1 + share), which for a person on half of the picture is the same.
"""


def _celeba_spec(spec: ModelSpec) -> ModelSpec:
    options = {"outputs": 1} if spec.name == "deeplabv3_r50" else {}
    return replace(
        spec,
        network=TorchvisionDeepLabV3 if options else spec.network,
        classes=("background", "face"),
        named=True,
        pixels=V1_PIXELS,
        options=options or spec.options,
    )


_CELEBA = Recipe(
    "celeba",
    ("deeplabv3_r50", "unet", "fastscnn"),
    "skin",
    published.celeba,
    "cross entropy",
    Optimiser("adam", 0.0),
    Schedule("plateau"),
    epochs=10,
    batch=4,
    rate=1e-4,
    size=(512, 512),
    spec=_celeba_spec,
)
"""CelebAMask-HQ without glasses: ashimatyuk/face_segmentation@cc47f43, train.py. Binary cross-entropy
of one logit (of two for U-Net and Fast-SCNN); the loss by which the rate falls is that of the val split, or the
training loss if there is none. The authors start from torchvision's COCO weights (`--init`).
"""
RECIPES = {x.name: x for x in (_EASYPORTRAIT, _PORTRAITNET, _SINET, _EXTREMEC3, _CELEBA)}


def find_recipe(name: str, model: str) -> Recipe:
    """The recipe of that name for a model.

    Raises:
        ExportError: there is none, or it is for other models; the message lists what there is.
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise ExportError(f"--recipe {name}: unknown; give one of {', '.join(RECIPES)}")
    if model not in recipe.models:
        raise ExportError(f"--recipe {name}: not for {model}, but for {', '.join(recipe.models)}")
    return _EP_OTHERS.get(model, recipe) if name == "easyportrait" else recipe


def with_recipe(config: TrainConfig, given: Collection[str]) -> TrainConfig:
    """The settings that a recipe wants, but those of `config` that are named in `given`.

    Without a length in samples it is 0: as many as the recipe's epochs make of the pictures.

    Raises:
        ExportError: as `find_recipe`.
    """
    if not config.recipe:
        return config
    recipe = find_recipe(config.recipe, config.model)
    wanted: dict[str, Any] = {
        "samples": 0,
        "batch": recipe.batch,
        "rate": recipe.rate,
        "size": recipe.size,
        "consistency": recipe.consistency,
    }
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if name not in given}
    return replace(config, **changes, weight_decay=recipe.optimiser.decay, ema_samples=0)


def under(recipe: Recipe, spec: ModelSpec) -> ModelSpec:
    """The network as a recipe trains it. A person network keeps its two classes."""
    made = recipe.spec(spec)
    return (
        made if recipe.what != "person" or made.classes == PERSON else replace(made, classes=PERSON)
    )


def labels_of(recipe: Recipe, spec: ModelSpec) -> str:
    """Which labels its pictures need: those of people for a network of a person."""
    return "person" if recipe.what == "face" and spec.task == "person" else recipe.what


def sets_of(recipe: Recipe) -> tuple[str, ...]:
    """The sets of a data folder that a recipe reads."""
    return (
        (*PEOPLE, *FACES) if recipe.what == "face" else FACES if recipe.what == "skin" else PEOPLE
    )
