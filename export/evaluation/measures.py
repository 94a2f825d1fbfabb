"""What is measured of a mask or of named classes, picture by picture, as counts that a set can also add up.

Formulas: intersection over union as in PASCAL VOC (Everingham et al., IJCV 2010); boundary F-score as in Csurka,
Larlus, Perronnin (BMVC 2013), with the tolerance in proportion to the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.data.image import Image

PERSON = 128
"""Alpha of at least this is person, in the answer and in the label."""
BOUNDARY_PX, BOUNDARY_OF_PX = 2, 512
"""How far an outline may be off and still counts, in a picture whose longer side is `BOUNDARY_OF_PX`."""
_BESIDE_PX = 1.5
"""More than the distance of pixels that touch, corners too."""

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """One measure on one set, or on the pictures of it that meet `condition`, for example "light: dark".

    metric: "iou" of the person; "miou", the mean over person and room, or over the classes of a face; "iou CLASS";
    "boundary_f"; "person_share", the share of an empty room labelled as person; "flicker", "dtssd",
    "trailing" of clips, see `export.evaluate_video`. mean, median: over pictures. pooled: of the pixels of all pictures
    together.
    """

    set: str
    metric: str
    images: int
    mean: float
    median: float
    pooled: float | None = None
    condition: str = ""
    worst: float | None = None

    def row(self) -> dict[str, Any]:
        """What is kept of it, without what it does not have."""
        found = {
            "set": self.set,
            "condition": self.condition,
            "metric": self.metric,
            "images": self.images,
        }
        found |= {"mean": self.mean, "median": self.median, "pooled": self.pooled}
        found |= {"worst": self.worst}
        return {key: value for key, value in found.items() if value not in (None, "")}


def overlap(found: Mask, wanted: Mask, counts: Mask) -> Counts:
    """Pixels of the intersection and of the union, int64 [2]. All bool [H, W]; `counts`: False is ignored."""
    both, either = found & wanted & counts, (found | wanted) & counts
    return np.array([np.count_nonzero(both), np.count_nonzero(either)], np.int64)


def ratio(counts: Counts) -> float:
    """IoU of `overlap`; 1.0 where neither side has a pixel."""
    return float(counts[0] / counts[1]) if counts[1] else 1.0


def boundary_matches(found: Mask, wanted: Mask, counts: Mask) -> Counts:
    """How much of two outlines lies near the other: int64 [4], matched and all pixels of `found`, then of `wanted`.

    All bool [H, W]. An outline is the pixels of a mask beside one that is not in it; the picture's edge is none. Near:
    at most 2 px of 512 away (Euclidean), in proportion to the longer side. `counts`: False is ignored, and so is an
    outline within that distance and 1.5 px of such a pixel, since the true one may be among them; it may still be what
    one further off lies near to.
    """
    reach = BOUNDARY_PX * max(found.shape) / BOUNDARY_OF_PX
    known = _distance_to(~counts) > reach + _BESIDE_PX
    edges = [_outline(mask) for mask in (found, wanted)]
    result = []
    for edge, other in (edges, edges[::-1]):
        counted = edge & known
        result += [
            np.count_nonzero(counted & (_distance_to(other) <= reach)),
            np.count_nonzero(counted),
        ]
    return np.array(result, np.int64)


def f_score(matches: Counts) -> float:
    """Harmonic mean of precision and recall of `boundary_matches`; 1.0 where neither side has an outline."""
    found, of_found, wanted, of_wanted = (int(x) for x in matches)
    if not of_found and not of_wanted:
        return 1.0
    precision = found / of_found if of_found else 1.0
    recall = wanted / of_wanted if of_wanted else 1.0
    return 2 * precision * recall / (precision + recall) if precision and recall else 0.0


def _outline(mask: Mask) -> Mask:
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    beside_one: Mask = np.asarray(inside) == 0
    return mask & beside_one


def _distance_to(pixels: Mask) -> NDArray[np.float32]:
    """Distance of every pixel to the nearest of `pixels`, float32 [H, W]; infinite where there are none."""
    if not pixels.any():
        return np.full(pixels.shape, np.inf, np.float32)
    return np.asarray(
        cv2.distanceTransform((~pixels).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    )


def class_overlaps(
    found: Image, wanted: Image, counts: Mask, groups: Sequence[Sequence[int]]
) -> Counts:
    """`overlap` of every group of classes, int64 [G, 2]. found, wanted: uint8 [H, W] class numbers."""
    pairs = [(np.isin(found, group), np.isin(wanted, group)) for group in groups]
    return np.stack([overlap(a, b, counts) for a, b in pairs])


def summarise(
    name: str,
    metric: str,
    values: Sequence[float],
    pooled: float | None = None,
    condition: str = "",
) -> Score:
    """Mean, median and worst over pictures, rounded to four digits; worst of what should be high."""
    mean, median = (round(float(x), 4) for x in (np.mean(values), np.median(values)))
    worst = round(float(min(values)), 4) if metric.startswith(("iou", "boundary_f")) else None
    return Score(
        name,
        metric,
        len(values),
        mean,
        median,
        None if pooled is None else round(pooled, 4),
        condition,
        worst,
    )
