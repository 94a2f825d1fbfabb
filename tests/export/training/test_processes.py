"""Two processes on a CPU learn what one does from the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.errors import ExportError
from export.training.config import TrainConfig
from export.training.loop import train
from export.weights.files import read_weights
from export.weights.record import read_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_SCRIPT = """
import sys
from pathlib import Path
import torch
from tests.export.training.test_processes import config_of
from export.training.loop import train
torch.set_num_threads(1)
data, out, model, recipe = sys.argv[1:]
train(config_of(Path(data), Path(out), model, recipe))
"""


def config_of(data: Path, out: Path, model: str = "sinet", recipe: str = "") -> TrainConfig:
    """Four steps on four pictures each."""
    return TrainConfig(
        model,
        (data,),
        out,
        16,
        batch=4,
        rate=3e-4,
        warmup_samples=8,
        checkpoint_s=0.0,
        workers=0,
        size=(64, 64),
        recipe=recipe,
    )


@pytest.mark.parametrize(("model", "recipe"), [("sinet", ""), ("portraitnet_face", "")])
def test_two_processes_learn_what_one_does(
    data: Path, tmp_path: Path, model: str, recipe: str
) -> None:
    """Whole losses are compared: weighted means, dice over a batch, statistics of normalisation."""
    (tmp_path / "run.py").write_text(_SCRIPT)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    words = [str(tmp_path / "run.py"), str(data), str(tmp_path / "two"), model, recipe]
    done = subprocess.run(
        [sys.executable, *command, *words],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("16 of 16 samples") == 1  # the first process speaks for both
    alone = train(config_of(data, tmp_path / "one", model, recipe))
    one, two = (read_log(tmp_path / part / "log.csv") for part in ("one", "two"))
    assert [row[0] for row in one] == [row[0] for row in two] == [4, 8, 12, 16]
    losses, same = (torch.tensor([row[1] for row in log]) for log in (one, two))
    assert losses.std() > 1e-2  # a curve, not a line
    torch.testing.assert_close(losses[0], same[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses, same, rtol=5e-3, atol=1e-3)
    kernels = [
        torch.cat([x.flatten() for x in read_weights(path).values() if x.ndim == 4])
        for path in (alone, tmp_path / "two/ema.safetensors")
    ]
    assert (kernels[0] - kernels[1]).norm() < 0.02 * kernels[0].norm()


def test_a_batch_in_parts(data: Path, tmp_path: Path) -> None:
    """Normalisation and weighting are those of each part, so the curve is near, not the same."""
    whole = train(replace(config_of(data, tmp_path / "whole"), samples=8))
    parts = train(replace(config_of(data, tmp_path / "parts"), samples=8, accumulate=2))
    one, two = (
        torch.tensor([row[1] for row in read_log(path.parent / "log.csv")])
        for path in (whole, parts)
    )
    assert len(one) == len(two) == 2
    torch.testing.assert_close(one, two, rtol=0.2, atol=0.2)
    with pytest.raises(ExportError, match="--batch 4: give a multiple of 3"):
        train(replace(config_of(data, tmp_path / "three"), accumulate=3))
