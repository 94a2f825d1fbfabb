from __future__ import annotations

import json
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import typer

from export.__main__ import _FIELDS, app, main
from export.training.config import TrainConfig
from export.weights.record import record_of

pytestmark = pytest.mark.slow


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_an_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        _run(monkeypatch, "convert", "sinet", "--checkpoint", "nosuch.pth", "--images", "nosuch")
        == 1
    )
    assert capsys.readouterr().err == (
        "error: nosuch.pth: cannot be read (No such file or directory); give a checkpoint file\n"
    )


def test_size_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "convert", "sinet", "--checkpoint", "x", "--size", "224") == 1
    assert "--size '224': give HEIGHTxWIDTH" in capsys.readouterr().err


def test_options_have_the_defaults_of_the_settings() -> None:
    command = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    given = {_FIELDS.get(option.name, option.name): option.default for option in command.params}
    own = {
        x.name: x.default
        for x in fields(TrainConfig)
        if x.default is not MISSING and x.name in given
    }
    assert len(own) > 12
    several = {"distil"}  # without any, the command line has None and the settings an empty tuple
    assert {name: given[name] for name in own.keys() - several} == {
        name: own[name] for name in own.keys() - several
    }


def test_resume_needs_no_settings(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["train", "sinet", "--data", str(data), "--out", str(tmp_path)]
    assert (
        _run(
            monkeypatch,
            *common,
            "--samples",
            "2",
            "--batch",
            "2",
            "--workers",
            "0",
            "--size",
            "64x96",
        )
        == 0
    )
    assert _run(monkeypatch, *common, "--resume", "--samples", "4") == 0
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["size"], record["batch"], record["workers"], record["samples"]) == (
        [64, 96],
        2,
        0,
        4,
    )
    assert _run(monkeypatch, *common) == 1
    assert _run(monkeypatch, *common, "--resume", "--seed", "7") == 1


def test_half_precision_keeps_the_record(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, small = tmp_path / "run", tmp_path / "small.safetensors"
    options = ["--samples", "2", "--batch", "2", "--workers", "0", "--size", "64x96"]
    assert (
        _run(monkeypatch, "train", "sinet", "--data", str(data), "--out", str(run), *options) == 0
    )
    assert _run(monkeypatch, "half", str(run / "ema.safetensors"), "--out", str(small)) == 0
    assert record_of(small) == record_of(run / "ema.safetensors")
    assert small.stat().st_size < 0.7 * (run / "ema.safetensors").stat().st_size


def test_train_convert_verify_evaluate(
    tmp_path: Path,
    data: Path,
    pictures_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, engine, scores = tmp_path / "run", tmp_path / "sinet", tmp_path / "scores.json"
    common = ["--data", str(data)]
    sizes = ["--samples", "2", "--batch", "2", "--workers", "0", "--rate", "1e-6"]
    assert _run(monkeypatch, "train", "sinet", *common, "--out", str(run), *sizes) == 0
    pick = [
        "--checkpoint",
        str(run / "ema.safetensors"),
        "--images",
        str(pictures_folder),
        "--size",
        "64x96",
    ]
    assert _run(monkeypatch, "convert", "sinet", *common, "--out", str(engine), *pick) == 0
    assert _run(monkeypatch, "verify", str(engine)) == 0
    more = ["--data", str(data / "person/wild"), "--json", str(scores)]
    assert _run(monkeypatch, "evaluate", str(engine), *common, *more) == 0
    assert "input 64x96, runs" in capsys.readouterr().out
    rows = json.loads(scores.read_text())["scores"]
    assert [rows[0]["set"], rows[-1]["set"]] == ["person/ccp", "wild without people"]
    assert {row["metric"] for row in rows if row["set"] == "wild without people"} == {
        "person_share"
    }
    assert (
        _run(monkeypatch, "evaluate", str(engine), *common, "--json", str(tmp_path / "none/x.json"))
        == 1
    )
    assert "no such folder; make it first" in capsys.readouterr().err
    assert set(rows[0]) == {"set", "metric", "images", "mean", "median", "worst", "pooled"}
    card = (engine / "CARD.md").read_text()
    assert "--size 256x352 --samples 2 --batch 2 --rate 1e-06 --seed 1`: 2 samples, AdamW" in card
    assert "10.6084/m9.figshare.5047666.v5" in card
