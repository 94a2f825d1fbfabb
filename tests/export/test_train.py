from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from export.checkpoints import read_checkpoint
from export.errors import ExportError
from export.models import find_model
from export.train import TrainConfig, person_loss, train


def _config(data: Path, out: Path, samples: int) -> TrainConfig:
    return TrainConfig("sinet", data, out, samples, batch=2, warmup_samples=2, checkpoint_s=0.0, workers=0)


def test_train_and_resume(data: Path, tmp_path: Path) -> None:
    weights = train(_config(data, tmp_path, 4))
    assert weights == tmp_path / "ema.safetensors"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ema.safetensors", "last.pt", "log.csv", "run.json"]
    train(_config(data, tmp_path, 6), resume=True)
    seen = [int(line.split(",")[0]) for line in (tmp_path / "log.csv").read_text().split()]
    assert seen == [2, 4, 6]
    assert json.loads((tmp_path / "run.json").read_text())["resumed_at"] == 4
    train(_config(data, tmp_path, 6), resume=True)  # nothing left to do
    spec = find_model("sinet")
    averaged, kept = read_checkpoint(weights, spec), read_checkpoint(tmp_path / "last.pt", spec)
    torch.testing.assert_close(averaged["bn_2.weight"], kept["bn_2.weight"])


def test_start_from_weights(data: Path, tmp_path: Path, network: nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "start.pth")
    train(_config(data, tmp_path / "run", 2), init=tmp_path / "start.pth")
    after = read_checkpoint(tmp_path / "run" / "ema.safetensors", find_model("sinet"))
    torch.testing.assert_close(after["bn_2.weight"], network.state_dict()["bn_2.weight"], atol=0.01, rtol=0)


def test_nothing_to_resume(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nothing to resume"):
        train(_config(data, tmp_path / "run", 2), resume=True)
    assert not (tmp_path / "run").exists()


def test_damaged_state(data: Path, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"noise")
    with pytest.raises(ExportError, match="not the state of a sinet run"):
        train(_config(data, tmp_path, 2), resume=True)


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"manifest\.csv: cannot be read"):
        train(_config(tmp_path / "none", tmp_path / "run", 2))
    assert not (tmp_path / "run").exists()


def test_loss_prefers_the_right_answer() -> None:
    alpha = torch.zeros(1, 16, 16)
    alpha[:, 4:12, 4:12] = 1
    right = torch.stack([1 - alpha, alpha], dim=1) * 8
    coarse = torch.zeros(1, 2, 2, 2)
    valid = torch.ones_like(alpha)
    assert person_loss(right, coarse, alpha, valid) < person_loss(right.flip(1), coarse, alpha, valid)


def test_loss_ignores_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, coarse = torch.randn(1, 2, 16, 16, generator=generator), torch.zeros(1, 2, 2, 2)
    alpha, valid = torch.zeros(1, 16, 16), torch.ones(1, 16, 16)
    valid[:, :, 8:] = 0
    changed = logits.clone()
    changed[..., 8:] = 50
    torch.testing.assert_close(person_loss(logits, coarse, alpha, valid), person_loss(changed, coarse, alpha, valid))
