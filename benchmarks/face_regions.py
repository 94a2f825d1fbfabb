"""How well the areas of face effects lie on labelled faces, by set and by condition.

    python -m benchmarks.face_regions DATA [--face-engine NAME] [--face-mesh NAME] [--card FILE]

DATA is the folder with face/real, face/avatars and face/celebamask. Each picture is shown twice, as
by a camera, so that it is searched, followed and parsed; the largest face is compared. Intersection
over union of what an effect would change and the label, mean over pictures; eyes are measured
between the lids, brows and eyes of both sides together.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.results import save
from export.evaluation import conditions
from vcam.assemble import open_networks
from vcam.catalogue import DEFAULT_FACE_ENGINE, DEFAULT_FACE_MESH
from vcam.colour import from_rgb
from vcam.effects.areas import (
    Area,
    brow_area,
    filled,
    lips_area,
    mouth_area,
    skin_area,
)
from vcam.effects.outlines import EYES, outline, smooth_outline, yaw_degrees
from vcam.effects.regions import patch_of, skin_tone
from vcam.effects.teeth import BY_MESH, BY_PARSER, tooth_gate
from vcam.face.mesh_tracker import FaceNetworks, MeshTracker
from vcam.frame import FaceClass, FaceRegions, Frame, Matrix, Plane
from vcam.geometry import Box
from vcam.matting.pyramid import Pyramid
from vcam.pictures import pad_to_even
from vcam.sources.image import read_image

SETS = ("face/real", "face/avatars", "face/celebamask")
_LEAST_PX = 12
"""Labels with fewer pixels of a part are not scored for it."""
CLASSES: dict[str, tuple[FaceClass, ...]] = {
    "eyes": (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE),
    "lips": (FaceClass.LIPS,),
    "mouth": (FaceClass.LIPS, FaceClass.TEETH),
    "teeth": (FaceClass.TEETH,),
    "brows": (FaceClass.LEFT_BROW, FaceClass.RIGHT_BROW),
    "skin": (FaceClass.SKIN,),
}

CONDITIONS = Path(__file__).with_name("face_conditions.csv")
"""Glasses, beard and grey hair of the test photographs, by one pair of eyes, on contact sheets."""
_TURNED_DEGREES = 20.0
_BEHIND = 0.05
"""IoU by which a condition may lie below the mean of its set without being named."""


@dataclass(frozen=True, slots=True)
class Item:
    """A test picture: its set or the part of it, its conditions, and the files."""

    name: str
    group: str
    conditions: tuple[str, ...]
    image: NDArray[np.uint8]
    label: Plane


def items(data: Path, name: str) -> Iterator[Item]:
    """The test pictures of a set."""
    with (data / name / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    with CONDITIONS.open(newline="") as file:
        seen = {row.pop("picture"): row for row in csv.DictReader(file)}
    for row in rows:
        image = read_image(data / name / row["file"])
        label = cv2.imread(str(data / name / row["label"]), cv2.IMREAD_GRAYSCALE)
        assert label is not None
        found = [conditions.light(image), conditions.skin(image, np.asarray(label, np.uint8))]
        yield Item(
            Path(row["file"]).stem,
            _group(name, Path(row["file"]).stem),
            (*found, *(f"{k}: {v}" for k, v in seen.get(Path(row["file"]).stem, {}).items())),
            image,
            np.asarray(label, np.uint8),
        )


def _group(name: str, stem: str) -> str:
    if name != "face/real":
        return name
    kind = stem.split("_", maxsplit=1)[0] + (" smiling" if "smile" in stem else "")
    return f"{name}, {kind}"


def regions(face: FaceRegions, frame: Frame) -> dict[str, NDArray[np.bool_]]:
    """What the effects would change, by part, for the whole frame."""
    size = frame.size
    mouth, lips = mouth_area(face, size), lips_area(face, size)
    teeth = None
    tone = skin_tone(face, frame)
    if mouth is not None and tone is not None:
        rule = BY_PARSER if face.points is None else BY_MESH
        gate = tooth_gate(patch_of(frame, mouth.box), mouth.mask, tone, rule)
        if gate is not None:
            teeth = Area(mouth.box, np.asarray(np.rint(gate * 255), np.uint8))
    return {
        "eyes": _eyes(face, size),
        "lips": _whole(size, lips),
        "mouth": _whole(size, lips, mouth),
        "teeth": _whole(size, teeth),
        "brows": _whole(size, *(brow_area(face, side, size) for side in (0, 1))),
        "skin": _whole(size, skin_area(face, size)),
    }


def _eyes(face: FaceRegions, size: tuple[int, int]) -> NDArray[np.bool_]:
    box = Box(0, size[1], 0, size[0])
    if face.points is None:
        return np.zeros((size[1], size[0]), bool)
    parts = [smooth_outline(outline(face.points, eye)) for eye in EYES]
    return filled(parts, box) > 127


def _whole(size: tuple[int, int], *areas: Area | None) -> NDArray[np.bool_]:
    total = np.zeros((size[1], size[0]), np.uint8)
    for area in areas:
        if area is not None:
            target = area.box.of(total)
            cv2.add(target, area.mask, dst=target)
    return total > 127


def measure(item: Item, networks: FaceNetworks) -> tuple[dict[str, float], str] | None:
    """IoU by part, and how the head is turned; None if no face was found. Parts that the label
    lacks are left out.
    """
    frame = from_rgb(pad_to_even(item.image), Matrix.BT601)
    pyramid, tracker = Pyramid.of(frame), MeshTracker(networks, 1, live=True)
    tracker.follow(frame, pyramid)
    tracker.refresh(frame, pyramid)
    parse = tracker.follow(frame, pyramid)
    if not parse.faces:
        return None
    found = regions(parse.faces[0].regions, frame)
    height, width = item.label.shape
    scores = {}
    for part, classes in CLASSES.items():
        true = np.isin(item.label, [int(c) for c in classes])
        if true.sum() >= _LEAST_PX:
            mine = found[part][:height, :width]
            scores[part] = float((mine & true).sum() / (mine | true).sum())
    points = parse.faces[0].regions.points
    turned = 90.0 if points is None else abs(yaw_degrees(points))
    return scores, f"pose: {'turned by 20 or more' if turned >= _TURNED_DEGREES else 'frontal'}"


def card_tables(rows: Sequence[Mapping[str, object]]) -> str:
    """The tables of a card in Markdown: by set, then by condition, with what falls behind."""
    head = (
        "| {} | pictures | " + " | ".join(CLASSES) + " |\n| --- | --- |" + " --- |" * len(CLASSES)
    )
    means = {row["set"]: row for row in rows if not row["condition"]}
    totals = {
        name: _mean_of([m for s, m in means.items() if str(s).startswith(name)]) for name in SETS
    }
    lines = [head.format("Test set")]
    lines += [f"| {row['set']} | {_cells(row)} |" for row in rows if not row["condition"]]
    lines += ["", head.format("Condition")]
    behind = []
    for row in rows:
        if not row["condition"]:
            continue
        lines.append(f"| {row['set']}, {row['condition']} | {_cells(row)} |")
        mean = totals[str(row["set"])]
        worse = [
            f"{part} by {mean[part] - value:.2f}"
            for part in CLASSES
            if isinstance(value := row[part], float) and mean[part] - value > _BEHIND
        ]
        if worse:
            where = f"{row['set']}, {row['condition']} ({row['pictures']} pictures)"
            behind.append(f"- {where}: {', '.join(worse)}.")
    text = f"More than {_BEHIND} behind the mean of their set:"
    return "\n".join([*lines, "", text, "", *(behind or ["- none."])]) + "\n"


def _mean_of(rows: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """Means over the pictures of several parts of a set."""
    result = {}
    for part in CLASSES:
        pairs = [(float(str(r[part])), int(str(r[f"{part}_pictures"]))) for r in rows if r[part]]
        count = sum(n for _, n in pairs)
        result[part] = sum(v * n for v, n in pairs) / count if count else 0.0
    return result


def _cells(row: Mapping[str, object]) -> str:
    values = []
    for part in CLASSES:
        value, count = row[part], row[f"{part}_pictures"]
        few = "" if count == row["pictures"] else f" ({count})"
        values.append("-" if value is None else f"{value:.3f}{few}")
    return f"{row['pictures']} | " + " | ".join(values)


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--face-engine", default=DEFAULT_FACE_ENGINE)
    parser.add_argument("--face-mesh", default=DEFAULT_FACE_MESH)
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--card", type=Path, help="Write the tables for the mesh's card.")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    networks = open_networks(options.face_engine, options.face_mesh, (), "onnxruntime", 1)
    scores: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    missed: dict[str, list[str]] = defaultdict(list)
    worst: list[tuple[float, str, str]] = []
    with MeshTracker(networks, 1, live=False):
        for name in options.sets:
            for item in items(options.data, name):
                answer = measure(item, networks)
                if answer is None:
                    missed[item.group].append(item.name)
                    continue
                found, pose = answer
                worst += [(score, part, item.name) for part, score in found.items()]
                for condition in ("", pose, *filter(None, item.conditions)):
                    scores[item.group if not condition else name, condition].append(found)
    rows = []
    for (group, condition), found_all in sorted(scores.items()):
        row: dict[str, object] = {"set": group, "condition": condition, "pictures": len(found_all)}
        for part in CLASSES:
            values = [f[part] for f in found_all if part in f]
            row[part] = round(float(np.mean(values)), 3) if values else None
            row[f"{part}_pictures"] = len(values)
        rows.append(row)
        shown = "  ".join(f"{part} {row[part]}" for part in CLASSES)
        print(f"{group:24} {condition:26} {len(found_all):4}  {shown}")
    print("not found:", dict(missed))
    for score, part, picture in sorted(worst)[:20]:
        print(f"worst: {part:6} {score:.2f} {picture}")
    if options.card:
        options.card.write_text(card_tables(rows), encoding="utf-8")
    report = {"face_engine": options.face_engine, "face_mesh": options.face_mesh, "rows": rows}
    print(save("face-regions", {**report, "not_found": dict(missed)}))


if __name__ == "__main__":
    main()
