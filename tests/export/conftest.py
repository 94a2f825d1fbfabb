"""What the export tests share. The stage needs torch, which the runtime never does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.data import SHARED, why_absent

if TYPE_CHECKING:
    from torch import nn

_NEEDED = ("torch", "onnx", "onnxscript", "safetensors")
ABSENT = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
_HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave the tests out that cannot even be imported; `test_needs.py` says so."""
    if ABSENT and collection_path.name.startswith("test_"):
        return collection_path != _HERE / "test_needs.py"
    return None


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Threads of torch wait for each other in busy loops; on busy machines that takes longer than
    the work.
    """
    if ABSENT:
        return
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def reference() -> Path:
    """The folder with published checkpoints and what their own code answers."""
    folder = SHARED / "reference"
    if not folder.is_dir():
        pytest.skip(why_absent(folder))
    return folder


@pytest.fixture(scope="session")
def network() -> nn.Module:
    """A SINet with random weights whose slopes and scales have every sign and size that training
    may give.
    """
    import torch
    from torch import nn

    from export.models import find_model

    generator = torch.Generator().manual_seed(7)

    def random(like: torch.Tensor, low: float, high: float) -> torch.Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    torch.manual_seed(7)
    network = find_model("sinet").build().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.PReLU):
                module.weight.copy_(random(module.weight, -0.3, 1.4))
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(random(module.weight, -0.8, 1.5))
                module.bias.copy_(random(module.bias, -0.5, 0.5))
                assert module.running_mean is not None
                module.running_mean.copy_(random(module.running_mean, -0.3, 0.3))
    return network


@pytest.fixture(scope="session")
def pictures_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine small pictures."""
    import cv2
    import numpy as np

    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    for index in range(9):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(coarse, (160, 120)))
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two train and two test pictures per set: a bright block stands for a
    person.
    """
    return make_data(tmp_path_factory.mktemp("data"))


def make_data(folder: Path) -> Path:
    for name in ("person/ccp", "person/cutouts", "person/wild", "backgrounds", "backgrounds_rooms"):
        make_set(
            folder / name,
            people=not name.startswith("backgrounds"),
            empty_too=name == "person/wild",
        )
    for name in ("face/real", "face/avatars"):
        make_faces(folder / name)
    return folder


def make_faces(folder: Path) -> None:
    """Two train and two test faces: grey skin, dark eyes and brows, red lips around white teeth, on
    a green wall.
    """
    import cv2
    import numpy as np

    parts = {
        1: ((6, 60, 14, 50), (60, 60, 60)),
        2: ((10, 50, 18, 46), (170, 170, 170)),
        3: ((18, 21, 22, 29), (30, 30, 60)),
        4: ((18, 21, 35, 42), (60, 30, 30)),
        5: ((23, 27, 22, 29), (20, 20, 20)),
        6: ((23, 27, 35, 42), (20, 60, 20)),
        7: ((36, 46, 24, 40), (210, 40, 40)),
        8: ((39, 43, 27, 37), (250, 250, 240)),
    }
    for part in ("images", "labels", "alpha"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    lines = ["file,label,identity,split,width,height,notes"]
    for index, split in enumerate(("train", "train", "test", "test")):
        image = np.full((60, 64, 3), (20, 160, 40), np.uint8)
        label = np.zeros((60, 64), np.uint8)
        for value, ((top, bottom, left, right), colour) in parts.items():
            image[top:bottom, left:right], label[top:bottom, left:right] = colour, value
        cv2.imwrite(str(folder / f"images/{index}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / f"labels/{index}.png"), label)
        cv2.imwrite(
            str(folder / f"alpha/{index}.png"), np.where(label > 0, 255, 0).astype(np.uint8)
        )
        notes = f"alpha alpha/{index}.png; teeth_checked"
        lines.append(
            f"images/{index}.png,labels/{index}.png,{folder.name}_{index},{split},64,60,{notes}"
        )
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")


def make_set(folder: Path, people: bool, empty_too: bool) -> None:
    import cv2
    import numpy as np

    rng = np.random.default_rng(len(folder.name))
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    lines = ["file,label,identity,split,width,height,notes"]
    for index, split in enumerate(("train", "train", "test", "test")):
        image = rng.integers(0, 90, (48, 64, 3), dtype=np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        if people and not (empty_too and index % 2):
            mask[12:, 20:44] = 255
            image[mask > 0] = 230
        cv2.imwrite(str(folder / "images" / f"{index}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{index}.png"), mask)
        label = f"masks/{index}.png" if people else ""
        lines.append(f"images/{index}.png,{label},{folder.name}_{index},{split},64,48,made up")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
