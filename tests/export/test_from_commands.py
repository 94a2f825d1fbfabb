"""Every command of the tables in docs/from.md runs, on tiny pictures and random weights."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from export.__main__ import app as export_app
from export.models import find_model
from tests.export.tiny_sets import write
from vcam.cli.app import app as vcam_app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_TEXT = (Path(__file__).parents[2] / "docs" / "from.md").read_text(encoding="utf-8")
_SKIPPED = {
    "torchrun": "two processes are tests/export/training/test_processes.py",
    "tensorboard": "a server; the folder is written by the training before it",
    "vcam preview": "opens a page and a camera",
    "fcn8s": "134 million weights, 538 MB, are too many; tests/export/weights has small files",
    "deeplabv3_r50": "42 million weights take minutes; test_recipes has this with fastscnn",
    "vcam.open_engine": "Python; tests/test_api.py",
}
"""Why a command that holds this is not run."""
_TINY = {
    "train": ["--samples", "2", "--batch", "2", "--size", "64x64", "--workers", "0"],
    "convert": ["--size", "64x64"],
    "evaluate": ["--limit", "1"],
}
_PRESETS = {"fastscnn": "easyportrait_v1"}
"""Random weights do not say how they see colours."""


def _rows() -> list[tuple[str, list[str]]]:
    """Of each row of the tables of commands: what is typed there, and the commands here."""
    tables = _TEXT.partition("## Commands")[2].partition("## Not here")[0]
    rows = [line.split(" | ") for line in tables.splitlines() if line.startswith("| ")]
    found = [(there.removeprefix("| "), re.findall(r"`([^`]+)`", here)) for there, here, _ in rows]
    return [(there, commands) for there, commands in found if commands]


def _commands() -> list[str]:
    spans = [command for _, commands in _rows() for command in commands]
    starts = ("python -m export ", "vcam ", "torchrun ", "tensorboard ", "vcam.")
    return list(dict.fromkeys(x for x in spans if x.startswith(starts)))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the words in capitals lie."""

    folder: Path

    def word(self, word: str, model: str) -> str:
        name = re.match(r"(?:image:)?([A-Z]\w*[A-Z0-9])\b", word)
        if name is None:
            return word
        made: dict[str, Callable[[], Path]] = {
            "CHECKPOINT": lambda: self.folder / f"{model}.safetensors",
            "OUT": lambda: self._fresh("out"),
            "RUN": lambda: self._fresh("run"),
            "IMG": lambda: self.folder / "IMG.png",
            "BEACH": lambda: self.folder / "BEACH.png",
            "GIF": lambda: self.folder / "GIF.gif",
            "FILM": lambda: self.folder / "FILM.mp4",
            "SCRIPT": lambda: self._fresh("script.pt"),
        }
        path = made.get(name[1], lambda: self.folder / name[1])()
        return word.replace(name[1], str(path))

    def _fresh(self, name: str) -> Path:
        path = self.folder / name
        if path.is_dir():
            shutil.rmtree(path)
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, data: Path) -> _Place:
    """Tiny sets, pictures, a film, and random weights of the networks."""
    folder = tmp_path_factory.mktemp("from")
    rng = np.random.default_rng(4)
    picture = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (128, 96))
    for name in ("IMG.png", "BEACH.png", "PICTURES/a.png", "PICTURES/b.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), picture)
    film = cv2.VideoWriter(str(folder / "FILM.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (128, 96))
    for _ in range(3):
        film.write(picture)
    film.release()
    from PIL import Image

    frames = [Image.fromarray(np.roll(picture, 8 * index, 1)) for index in range(3)]
    frames[0].save(folder / "GIF.gif", save_all=True, append_images=frames[1:], duration=100)
    for name in ("a", "b", "c"):
        source = data / "face/real"
        for split in ("train", "test"):
            target = folder / "EASYPORTRAIT"
            for part, suffix in (("images", ".jpg"), ("annotations", ".png")):
                (target / part / split).mkdir(parents=True, exist_ok=True)
                where = target / part / split / f"{name}{split}{suffix}"
                plane = cv2.imread(
                    str(source / ("images/0.png" if part == "images" else "labels/0.png")),
                    cv2.IMREAD_UNCHANGED,
                )
                assert plane is not None
                shift = 3 * ("abc".index(name) + 3 * (split == "test"))
                cv2.imwrite(str(where), np.roll(plane, shift, axis=1))
    mask = np.zeros((12, 16), np.uint8)
    mask[4:, 5:11] = 1
    eg = folder / "EG1800"
    for index in range(4):
        write(eg / f"Images/{index:05}.png")
        write(eg / f"Labels/{index:05}.png", mask)
    (eg / "eg1800_train.txt").write_text("00000.png\n00001.png\n")
    (eg / "eg1800_test.txt").write_text("00002.png\n00003.png\n")
    torch.manual_seed(3)
    for model in ("fastscnn", "portraitnet", "extremec3"):
        spec = find_model(model)
        options = {"classes": 9} if model == "fastscnn" else {}
        network = spec.network(**({"classes": len(spec.classes)} | dict(spec.options) | options))
        save_file(network.state_dict(), folder / f"{model}.safetensors")
    return _Place(folder)


@pytest.mark.parametrize("command", _commands())
def test_a_command_of_the_table_runs(place: _Place, command: str) -> None:
    reason = next((why for word, why in _SKIPPED.items() if word in command), None)
    if reason:
        pytest.skip(f"{command}: {reason}")
    if " convert " not in command and not _has_engine(place, command):
        _run(place, next(x for x in _commands() if " convert " in x and _engine(x) in command))
    _run(place, command)


def _engine(convert: str) -> str:
    """The network of a command that makes an engine."""
    return convert.split()[4]


def _has_engine(place: _Place, command: str) -> bool:
    """Whether the engine that a command names is there, or is one that ships."""
    wanted = re.search(r"ENGINES(?:/| --engine )(\w+?)(?:_fp32)?(?: |$)", command)
    return wanted is None or (place.folder / "ENGINES" / wanted[1]).is_dir()


def _run(place: _Place, command: str) -> None:
    words = shlex.split(command)
    app, words = (export_app, words[3:]) if words[0] == "python" else (vcam_app, words[1:])
    model = words[1] if app is export_app else ""
    words = [place.word(word, model) for word in words]
    words += _TINY.get(words[0], []) if app is export_app else []
    if words[0] == "convert" and model in _PRESETS:
        words += ["--preset", _PRESETS[model]]
    if words[0] == "run":
        sink = words.index("--sink") + 1
        still = words[words.index("--source") + 1].endswith(".png")
        words[sink] += ".png" if still else ".mp4"
        words += ["--engine", "selfie", "-y"]
    done = CliRunner().invoke(app, words)
    error = done.exception if not isinstance(done.exception, SystemExit) else None
    assert error is None, f"{command}: {error!r}\n{done.output}"
    assert done.exit_code == 0, f"{command}\n{done.output}"


def test_every_row_says_what_to_type() -> None:
    rows = _rows()
    assert len(rows) >= 25
    assert len(_commands()) >= 22
