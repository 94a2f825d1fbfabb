from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from export.data.provenance import SeenSet
from export.engine.card_training import data, recipe
from export.engine.convert import CHECKPOINTS
from export.models import find_model
from export.weights.record import (
    RunRecord,
    Segment,
    network_record,
    phases,
    read_record,
    record_of,
    write_record,
)
from export.weights.settings import TrainConfig

_CONFIG = TrainConfig(
    "sinet",
    (Path("/a"), Path("/b")),
    Path("/out"),
    samples=64,
    size=(64, 96),
    teacher=Path("/t/big.onnx"),
    distil=(Path("/t/one.safetensors"),),
)
_RECORD = RunRecord(
    _CONFIG,
    network_record(find_model("portraitnet_lite_prior")),
    (SeenSet("person/ccp", "manifest.csv", 2, {"unclear": 2}, "ab"),),
    {"kinds": {"photo": 0.5}, "often": 1.0},
    (Segment(0, "cpu", 2, 0.003, code="abc", threads=1), Segment(4, rate=1e-4)),
    init=RunRecord(_CONFIG, network_record(find_model("sinet")), seen=3, warmup=6, horizon=10),
    warmup=6,
    horizon=9,
    init_file="a.pt",
    distil_sha256=("cd",),
    averaged=2,
    mean_of=("a.tflite",),
    share=0.8,
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_record(tmp_path, _RECORD)
    assert read_record(tmp_path) == _RECORD
    assert RunRecord.from_json(_RECORD.to_json()) == _RECORD
    older = {k: v for k, v in _RECORD.to_json().items() if k not in ("warmup", "horizon")}
    assert (RunRecord.from_json(older).warmup, RunRecord.from_json(older).horizon) == (6, 10)


def test_no_folder_of_this_machine_travels() -> None:
    text = json.dumps(_RECORD.portable().to_json())
    assert "/" not in text.replace("person/ccp", "")
    assert "big.onnx" in text


@pytest.mark.parametrize("path", sorted(CHECKPOINTS.glob("*.safetensors")), ids=lambda x: x.stem)
def test_kept_records_of_every_age_are_read(path: Path) -> None:
    record = record_of(path)
    assert record is not None
    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get("training") or path.with_suffix(".json").read_text()
    stored, runs = json.loads(text), list(phases(record))
    for run in reversed(runs):
        assert run.settings.samples == stored["samples"]
        assert run.seen == stored["seen"]
        assert [one.name for one in run.sets] == [one["name"] for one in stored.get("sets", [])]
        assert run.warmup == stored.get("warmup", run.warmup)
        assert run.horizon == stored.get("horizon", run.horizon)
        assert run.network.pixels is not None
        stored = stored["init"]
    assert stored is None
    assert recipe(record).count("python -m export train") == len(runs)
    assert data(record)


@pytest.mark.parametrize(
    "change",
    [
        {"spec": None},
        {"spec": {"mean": "grey"}},
        {"samples": "many"},
        {"rate": None},
        {"sets": [{"name": "x"}]},
        {"curve": [1]},
        {"init": {"init": {}}},
        {"segments": [3]},
        {"data": 7},
        {"draws": 7},
    ],
)
def test_what_is_no_record(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "run.json").write_text(json.dumps(_RECORD.to_json() | change))
    assert read_record(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "null", "7", "{}", '{"init":' * 20000])
def test_what_is_no_record_at_all(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    assert read_record(tmp_path) is None
