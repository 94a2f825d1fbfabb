"""The measured part of a card: results by set and by condition, and others' beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from export.errors import ExportError
from export.evaluation.measures import Score

_HEADS = {
    "iou": "IoU",
    "median": "median IoU",
    "miou": "mIoU",
    "boundary_f": "boundary F",
    "person_share": "share called person",
    "dtssd": "dtSSD",
}


_OF_CLIPS = ("flicker", "dtssd", "trailing")
_PERSON = """\
Test splits; means over pictures, unless a column says median. Person: alpha of at least 128. IoU: intersection over
union of the person at the picture's own resolution; mIoU: its mean with that of the room; boundary F: how much of the
outlines lies within 2 pixels (of 512) of each other, harmonic mean of both directions; where nobody is, the share of
the frame called person. `person/cutouts moved`: clips, with flicker (change of the matte where the picture does not
change), dtSSD (error of the matte's change) and trailing (more alpha behind a moving person than before), in
hundredths."""  # noqa: E501
_FACE = """\
Test splits; square crops around the face, 1.7 times as high as the face. IoU of each part: of all pixels of the set
together, brows and eyes of both sides together; mIoU: over all classes, mean over pictures. A number in brackets: of
pictures, where it is fewer.

The labels of `face/real` have limits of their own. 30 of the 159 test portraits have points placed by hand; the others
were drawn with the help of MediaPipe's face mesh, so the figures partly measure agreement with it. Teeth are scored on
42 portraits that were looked at; 40 of them keep the label of the rule that training used, which favours the network.
All are frontal, in studio light. Light and skin: by the luma of the picture (mean below 80 dark, from 160 bright) and
of the skin in it (median below 110 dark, from 150 light), lamps and exposure included."""  # noqa: E501


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def quality(scores: Sequence[Score], peers: Sequence[tuple[str, Sequence[Score]]] = ()) -> str:
    """Tables of the scores. peers: names of other engines, and their scores on the same sets."""
    if not scores:
        return "Not measured."
    whole, parts = [x for x in scores if not x.condition], [x for x in scores if x.condition]
    face = any(x.metric.startswith("iou ") for x in whole)
    clips = [x for x in whole if x.metric in _OF_CLIPS]
    sections = [_FACE if face else _PERSON, _by_set([x for x in whole if x not in clips])]
    if clips:
        sections.append(_pivot(clips, ["Test set"], lambda x: (x.set,), "clips"))
    if parts:
        sections += ["### By condition", _by_condition(parts)]
    if peers:
        sections += ["### Others on the same pictures", _beside(whole, peers)]
    return "\n\n".join(sections)


def _by_set(scores: Sequence[Score]) -> str:
    return _pivot(scores, ["Test set"], lambda x: (x.set,))


def _by_condition(scores: Sequence[Score]) -> str:
    return _pivot(scores, ["Test set", "condition"], lambda x: (x.set, x.condition))


def _pivot(scores: Sequence[Score], head: list[str], key: Any, counted: str = "pictures") -> str:
    """A row for each key, a column for each measure. A face's parts are pooled over pixels, all
    else is a mean.
    """
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    images: dict[tuple[str, ...], int] = {}
    few: dict[tuple[str, ...], int] = {}
    for score in scores:
        cells = rows.setdefault(key(score), {})
        cells[score.metric] = _value(score)
        few[(*key(score), score.metric)] = score.images
        if score.metric == "iou":
            cells["median"] = f"{score.median:.3f}"
        images[key(score)] = max(images.get(key(score), 0), score.images)
    columns = list(dict.fromkeys(metric for cells in rows.values() for metric in cells))
    for name, cells in rows.items():
        cells |= {
            x: f"{cells[x]} ({few[*name, x]})"
            for x in cells
            if few.get((*name, x), images[name]) < images[name]
        }
    body = [
        [*name, str(images[name]), *(cells.get(x, "-") for x in columns)]
        for name, cells in rows.items()
    ]
    return table([*head, counted, *map(_head, columns)], body)


def _head(metric: str) -> str:
    return _HEADS.get(metric, metric.replace("_", " ").replace("iou ", "IoU "))


def _value(score: Score) -> str:
    part = score.metric.startswith("iou ") and score.pooled is not None
    return f"{score.pooled if part else score.mean:.3f}"


def _beside(scores: Sequence[Score], peers: Sequence[tuple[str, Sequence[Score]]]) -> str:
    found = [{(x.set, x.metric): x for x in theirs if not x.condition} for _, theirs in peers]
    body = [
        [x.set, _head(x.metric), _value(x), *(_value(y[x.set, x.metric]) for y in found)]
        for x in scores
        if all((x.set, x.metric) in y for y in found)
    ]
    return table(["Test set", "measured", "this engine", *(name for name, _ in peers)], body)


def read_peers(path: Path, task: str) -> list[tuple[str, list[Score]]]:
    """Other engines' scores: JSON with `peers`, a list of `name`, `task` and `scores` as `evaluate
    --json` has them.

    Raises:
        ExportError: the file cannot be read, or holds something else.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["peers"]
        return [(x["name"], list(_scores(x["scores"]))) for x in entries if x["task"] == task]
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ExportError(
            f"{path}: no peers in it ({error}); benchmarks/README.md says how to make it"
        ) from error


def _scores(rows: Iterable[dict[str, Any]]) -> Iterable[Score]:
    return (Score(**row) for row in rows)
