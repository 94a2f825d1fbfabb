"""How steady a person engine is: cut-out people moved before rooms, where the true alpha of every frame is known.

The engine sees the frames in order, with its state where it has one; what the runtime does to mattes afterwards is not
part of it. All three measures are in hundredths of full alpha, and smaller is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.data.image import Image
from export.data.items import Labelled
from export.evaluation.engines import Matting, answers
from export.evaluation.measures import Mask, Score, summarise
from export.evaluation.scenes import cover, paste, test_rooms, test_set

NAME = "person/cutouts moved"
_CLIPS, _STILL, _MOVING = 12, 10, 24
_SEED, _SIZE = 22, (360, 640)
_REACH = 0.08
_HEIGHT = 0.8
_NOISE, _SHIFT = 2.0, 64
_LATE = 3
_ROOM, _PERSON = 13, 242
"""Alpha of at most 5 %, and of at least 95 %."""
_Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """frames: what a camera sees, with noise; clean: without; alphas: the truth. All uint8, one per frame."""

    frames: list[Image]
    clean: list[Image]
    alphas: list[Image]


def evaluate_video(engine: Matting, data: Path) -> list[Score]:
    """Flicker, dtSSD and trailing on 12 clips of 34 frames, as `moved` makes them.

    Raises:
        ExportError: the cut-outs or the rooms are missing or damaged.
    """
    people, rooms = test_set(data, "person/cutouts"), test_rooms(data)
    chosen = sorted({index * len(people) // _CLIPS for index in range(_CLIPS)})
    values: dict[str, list[float]] = {"flicker": [], "dtssd": [], "trailing": []}
    for index in chosen:
        rng = np.random.default_rng([_SEED, index])
        clip = moved(people[index], rooms[int(rng.integers(len(rooms)))].image, rng)
        found = list(answers(engine, clip.frames))
        values["flicker"].append(flicker(found, clip.clean))
        values["dtssd"].append(dtssd(found, clip.alphas))
        values["trailing"].append(trailing(found, clip.alphas))
    return [summarise(NAME, metric, each) for metric, each in values.items()]


def moved(person: Labelled, room: Image, rng: np.random.Generator) -> Clip:
    """640x360: 10 frames of a still person, then 24 of one swing to both sides.

    The person is 80 % of the frame high; the swing is a sine of 8 % of the width, so at most 13 pixels a frame. Every
    frame has Gaussian noise, 2 levels strong.
    """
    wall = cover(room, _SIZE)
    swing = [0.0] * _STILL + [
        _REACH * np.sin(2 * np.pi * t / _MOVING) for t in range(1, _MOVING + 1)
    ]
    scenes = [paste(person, wall, _HEIGHT, offset) for offset in swing]
    clean = [scene.image for scene in scenes]
    return Clip(list(_noisy(clean, rng)), clean, [scene.alpha for scene in scenes])


def _noisy(frames: Sequence[Image], rng: np.random.Generator) -> Iterator[Image]:
    """Each frame with another part of one field of noise, which is faster than drawing new noise."""
    height, width = _SIZE
    field = np.rint(
        rng.standard_normal((height + _SHIFT, width + _SHIFT, 3), np.float32) * _NOISE
    ).astype(np.int16)
    for frame in frames:
        top, left = rng.integers(_SHIFT, size=2)
        yield np.clip(frame + field[top : top + height, left : left + width], 0, 255).astype(
            np.uint8
        )


def flicker(found: Sequence[Image], clean: Sequence[Image]) -> float:
    """Mean change of the matte from frame to frame, in pixels that do not change in the picture without noise."""
    changes = []
    for t in range(1, len(found)):
        still = (clean[t - 1] == clean[t]).all(axis=2)
        changes.append(np.abs(_change(found, t))[still])
    return 100 * float(np.concatenate(changes).mean())


def dtssd(found: Sequence[Image], wanted: Sequence[Image]) -> float:
    """Root mean square of how the matte's change differs from the truth's, mean over frames.

    dtSSD of Erofeev, Gitman, Vatolin, Fedorov, Wang (BMVC 2015), over the whole frame, divided by its pixels.
    """
    pairs = [_change(found, t) - _change(wanted, t) for t in range(1, len(found))]
    return 100 * float(np.mean([np.sqrt(np.mean(np.square(x))) for x in pairs]))


def trailing(found: Sequence[Image], wanted: Sequence[Image]) -> float:
    """How much more alpha there is where the person has just been than where the person will be next.

    Pixels of room that were person within the last 3 frames, against those that will be within the next 3: an outline
    that is only soft, or too large all around, cancels out; 0 if no person moves.
    """
    left, next_ = [], []
    for t in range(_LATE, len(found) - _LATE):
        room = wanted[t] <= _ROOM
        left.append(found[t][room & _person_in(wanted[t - _LATE : t])])
        next_.append(found[t][room & _person_in(wanted[t + 1 : t + 1 + _LATE])])
    behind, ahead = np.concatenate(left), np.concatenate(next_)
    return 100 * float(behind.mean() - ahead.mean()) / 255 if behind.size and ahead.size else 0.0


def _person_in(alphas: Sequence[Image]) -> Mask:
    seen: Mask = np.stack(alphas).max(axis=0) >= _PERSON
    return seen


def _change(alphas: Sequence[Image], t: int) -> _Plane:
    """From frame t - 1 to t, -1..1."""
    return (alphas[t].astype(np.float32) - alphas[t - 1].astype(np.float32)) / np.float32(255)
