from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor

from export.errors import ExportError
from export.models import FAMILIES, MODELS, TRAINED, Family, find_model
from export.models.easyportrait import CLASS_NAMES
from export.models.portraitnet import PortraitNetLite
from export.weights.layouts import identify, origin_of, resolve

_PATH = Path("some.pth")


def _names(model: str) -> dict[str, Tensor]:
    """The weights of a new network, without their numbers."""
    with torch.device("meta"):
        return dict(find_model(model).build().state_dict())


def _segformer(classes: int, head: int = 256) -> dict[str, Tensor]:
    return _names("segformer_b0") | {
        "decode_head.conv_seg.weight": torch.empty(classes, head, 1, 1)
    }


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_network_is_told_by_its_names(model: str) -> None:
    assert identify(_names(model)) == model


def test_strangers_are_not_told() -> None:
    assert identify({"stem.weight": torch.empty(1)}) is None


@pytest.mark.parametrize("count", [2, 8, 9])
def test_classes_are_found_in_the_file(count: int) -> None:
    spec = resolve(_PATH, find_model("segformer_b0"), _segformer(count))
    assert spec.classes == CLASS_NAMES[count]
    assert spec.task == ("person" if count == 2 else "face")
    assert resolve(_PATH, find_model("segformer_b0"), _segformer(count), str(count)) == spec


def test_width_of_the_decoder_is_found_in_the_file() -> None:
    spec = resolve(_PATH, find_model("segformer_b2"), _names("segformer_b2"))
    assert dict(spec.options) == {"encoder": "b2", "head": 256}
    wide = resolve(_PATH, find_model("segformer_b0"), _segformer(8, head=768))
    assert dict(wide.options)["head"] == 768


def test_cityscapes() -> None:
    with pytest.raises(
        ExportError, match=r"some\.pth: holds 19 classes, which no known portrait .* \(2, 8, 9\)"
    ):
        resolve(_PATH, find_model("segformer_b0"), _segformer(19))
    names = ",".join(f"c{index}" for index in range(19))
    assert resolve(_PATH, find_model("segformer_b0"), _segformer(19), names).classes[18] == "c18"


@pytest.mark.parametrize(
    ("model", "classes", "message"),
    [
        ("segformer_b0", "9", "holds 8 classes, --classes says 9"),
        ("segformer_b0", "a,b", "holds 8 classes, --classes says 2"),
        ("segformer_b0", "a,b,c,d,e,f,g,a", "an empty name or one that comes twice"),
        ("segformer_b0", "a,b,c,d,e,f,g,", "an empty name or one that comes twice"),
        ("sinet", "3", "holds 2 classes, --classes says 3"),
        ("portraitnet", "a,b,c", "holds 2 classes, --classes says 3"),
    ],
)
def test_classes_that_do_not_fit(model: str, classes: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        resolve(_PATH, find_model(model), _names(model), classes)


def test_own_names() -> None:
    spec = resolve(_PATH, find_model("portraitnet"), _names("portraitnet"), "wall, me")
    assert spec.classes == ("wall", "me")


def test_variants_of_portraitnet() -> None:
    weights = _names("portraitnet_prior") | {"edge.weight": torch.empty(2, 8, 3, 3)}
    spec = resolve(_PATH, find_model("portraitnet"), weights)
    assert spec.options == {"edge": True}
    assert spec.memory
    assert not resolve(_PATH, find_model("portraitnet"), _names("portraitnet")).memory


def test_own_portraitnet_with_and_without_memory() -> None:
    for name, memory in (("portraitnet_lite", False), ("portraitnet_lite_prior", True)):
        weights = dict(TRAINED[name].build().state_dict())
        spec = resolve(_PATH, find_model(name), weights)
        assert (spec.name, spec.network, spec.memory) == (name, PortraitNetLite, memory)
        assert identify(weights) == name
        spec.build().load_state_dict(weights)


@pytest.mark.parametrize(
    ("count", "origin"), [(2, "easyportrait_v2"), (8, "easyportrait_v2"), (9, "easyportrait_v1")]
)
def test_origin_follows_from_the_number_of_classes(count: int, origin: str) -> None:
    preset = origin_of(
        _PATH, resolve(_PATH, find_model("segformer_b2"), _names("segformer_b2") | _head(count)), {}
    )
    assert preset is not None
    assert preset.name == origin


def _head(classes: int) -> dict[str, Tensor]:
    return {"decode_head.conv_seg.weight": torch.empty(classes, 256, 1, 1)}


def test_origin_is_not_guessed() -> None:
    spec = resolve(_PATH, find_model("segformer_b0"), _segformer(3), "a,b,c")
    with pytest.raises(
        ExportError,
        match=r"3 classes do not say who .* --preset \(easyportrait_v1, easyportrait_v2\)",
    ):
        origin_of(_PATH, spec, {})


def test_some_models_settle_it_alone() -> None:
    assert origin_of(_PATH, find_model("portraitnet"), {}) is None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.specs[0].name)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (21,), (9, 0), (2, 2, 2, 2, 2, 2)])
def test_odd_tensors_are_weights_of_nothing(family: Family, shape: tuple[int, ...]) -> None:
    """Under names that say what a file is there may be anything; it never raises another error."""
    layouts = family.classifier if isinstance(family.classifier, tuple) else (family.classifier,)
    names = {family.mark, *family.others, *layouts, family.counted} - {""}
    names |= {name for preset in family.presets for name in [preset.mark] if name}
    names |= {"stage0.0.weight", "encoder.stem.0.weight", "backbone.layers.0.0.projection.weight"}
    state = {name: torch.zeros(shape) for name in names}
    assert identify(state) is not None
    for spec in family.specs:
        for classes in (None, "0", "2", "a,b"):
            with suppress(ExportError):
                origin_of(_PATH, resolve(_PATH, spec, state, classes), state)
