from __future__ import annotations

from typing import Any

from export.data.provenance import PRETRAINED
from export.engine.card_training import data, recipe, rights_of, sets_of
from export.models import PRESETS
from export.weights.record import RunRecord


def _run(**other: Any) -> dict[str, Any]:
    return {
        "model": "portraitnet",
        "spec": {"size": [160, 224], "classes": ["room", "person"]},
        "samples": 100,
        "seen": 96,
        "batch": 32,
        "rate": 0.001,
        "seed": 1,
        "warmup_samples": 6000,
        "weight_decay": 1e-4,
        "ema_samples": 20000,
        "finish": False,
        "licence": "any",
        "segments": [{"code": "abcdef0123456789+changes"}],
        "draws": {"kinds": {"photo": 0.75, "room": 0.25}, "often": 1.0},
        "sets": [_set("person/ccp", 1000, unclear=1000)],
    } | other


def _record(run: dict[str, Any]) -> RunRecord:
    return RunRecord.from_json(run)


def _record_of(**other: Any) -> RunRecord:
    return _record(_run(**other))


def _set(name: str, pictures: int, **rights: int) -> dict[str, Any]:
    return {
        "name": name,
        "layout": "CelebAMaskHq",
        "pictures": pictures,
        "rights": rights,
        "sha256": "",
    }


def test_a_recipe_is_the_commands() -> None:
    teacher = {"teacher": "/far/away/big.onnx", "teacher_model": "sinet"}
    last = _run(init=_run(), init_file="ema.safetensors", finish=True, licence="clear", **teacher)
    lines = recipe(_record(last)).splitlines()
    begun = "python -m export train portraitnet --data DATA"
    assert lines[0].startswith(
        f"1. `{begun} --size 160x224 --samples 100 --batch 32 --rate 0.001 --seed 1`: 96 samples,"
    )
    assert "; code abcdef012345+changes." in lines[0]
    assert lines[1].startswith(f"2. `{begun} --init ema.safetensors --size 160x224")
    assert "--licence clear --teacher big.onnx --teacher-model sinet --finish`" in lines[1]
    assert lines[-1].endswith("Shares, of the kinds that the data hold: photo 75 %, room 25 %.")
    del last["init"]["draws"]
    assert recipe(_record(last)).endswith("Shares in phase 2: photo 75 %, room 25 %.")
    assert "--seed 0`" in recipe(_record_of(seed=0))
    assert "; loss 0.90 after 64, 0.45 after 96" in recipe(
        _record_of(curve=[[64, 0.9], [96, 0.45]])
    )
    assert "; then `python -m export average`: the mean of these weights and those it" in recipe(
        _record_of(averaged=2)
    )
    assert "; then `python -m export average a.tflite ema.safetensors --share 0.8`: that" in recipe(
        _record_of(averaged=2, mean_of=["a.tflite"], share=0.8)
    )
    assert recipe(None) == "Not trained here."


def test_a_recipe_says_that_a_cpu_computed_in_bfloat16() -> None:
    last = _run(init=_run(), bfloat16=True)
    first, second, *_ = recipe(_record(last)).splitlines()
    assert "--bfloat16" not in first
    assert "--seed 1 --bfloat16`" in second


def test_what_earlier_phases_saw_stays_in_the_card() -> None:
    """Also under another filter, and what a teacher saw."""
    first = _run(
        sets=[_set("person/ccp", 1000, unclear=1000), _set("faces_hq", 5, **{"non-commercial": 5})]
    )
    teacher = _run(sets=[_set("person/wild", 900, unclear=700, clear=200)])
    last = _run(
        sets=[_set("face/avatars", 40, clear=40)], init=first, teacher="x", teacher_record=teacher
    )
    assert {name: one.pictures for name, one in sets_of(_record(last)).items()} == {
        "person/ccp": 1000,
        "faces_hq": 5,
        "person/wild": 900,
        "face/avatars": 40,
    }
    text = data(_record(last))
    assert (
        "| `faces_hq` | 5 | layout CelebAMaskHq | see the set | see the set | 5 non-commercial |"
        in text
    )
    assert "**Rights**: `person/ccp`, `person/wild`, `faces_hq` hold pictures" in text


def test_rights_are_those_of_the_pictures_that_were_drawn() -> None:
    wild = _set("person/wild", 210, clear=210)
    avatars = _set("face/avatars", 40, clear=40)
    start = {
        "init_file": "selfie_segmentation_landscape.tflite",
        "init_sha256": PRESETS["mediapipe_landscape"].sha256,
    }
    clear = _record(_run(sets=[wild, avatars], licence="clear", **start))
    assert rights_of(clear) == "clear"
    assert "**Rights**" not in data(clear)
    some = _record(_run(sets=[_set("person/wild", 9, clear=8, unclear=1)], init=_run(sets=[wild])))
    assert rights_of(some) == "unclear"
    assert rights_of(_record(_run(sets=[wild], init_file="found.pth"))) == "unclear"
    assert rights_of(None) == ""


def test_published_weights_at_the_start_are_data() -> None:
    known = _run(init_file="lite0.pth", init_sha256=next(iter(PRETRAINED)))
    assert "| `ImageNet-1k` | through its weights |" in data(_record(known))
    assert "`ImageNet-1k` hold pictures" in data(_record(known))
    unknown = _run(init_file="found.pth", init_sha256="0")
    assert "| `found.pth` | not recorded |" in data(_record(unknown))
    assert "`found.pth` hold pictures" in data(_record(unknown))
    taught = _run(
        teacher="big.tflite", teacher_record=None, sets=[_set("face/avatars", 40, clear=40)]
    )
    assert "| `big.tflite` | not recorded |" in data(_record(taught))
    assert "| `ImageNet-1k` |" in data(_record(taught | {"teacher_record": known}))
    assert "whoever trained" in data(None)
