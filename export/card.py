"""The card of an engine, `CARD.md`: filled in from a template, so that every training brings its own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from export.data.sources import SOURCES
from export.evaluate import Score

_TEMPLATES = Path(__file__).parent / "cards"


@dataclass(frozen=True, slots=True)
class Training:
    """How weights came about. `counts`: training pictures by set, empty where the weights are somebody else's."""

    origin: str
    licence: str
    settings: Mapping[str, Any]
    samples: int
    counts: Mapping[str, int]


def card(model: str, size: tuple[int, int], training: Training, files: Sequence[Any], scores: Sequence[Score]) -> str:
    """The text of `CARD.md`. files: the `[[file]]` tables of `engine.toml`."""
    template = Template((_TEMPLATES / f"{model}.md").read_text(encoding="utf-8"))
    return template.substitute(
        model=model,
        origin=training.origin,
        licence=training.licence,
        height=size[0],
        width=size[1],
        quality=_quality(scores),
        recipe=_recipe(training),
        files=_files(files),
        data=_data(training),
    )


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _quality(scores: Sequence[Score]) -> str:
    if not scores:
        return "Not measured."
    measured = {"iou": "IoU", "person_share": "share called person"}
    body = [[x.set, measured[x.metric], str(x.images), f"{x.mean:.3f}", f"{x.median:.3f}"] for x in scores]
    return _table(["Test set", "measured", "pictures", "mean", "median"], body)


def _recipe(training: Training) -> str:
    if not training.settings:
        return "As published; not trained here."
    run = training.settings
    return (
        f"Trained from scratch on {training.samples} random samples of {run['spec']['size'][0]}x"
        f"{run['spec']['size'][1]} pixels, batch {run['batch']}, AdamW with a peak rate of {run['rate']}, "
        f"{run['warmup_samples']} samples of warm-up and a cosine decay, weight decay {run['weight_decay']}, seed "
        f"{run['seed']}. The file holds the moving average of the weights over about {run['ema_samples']} samples. "
        "Loss: cross-entropy with triple weight at outlines, soft dice, and a cross-entropy on the coarse answer. "
        "Nearly half of the samples paste cut-out people into other rooms; light, colour, sharpness, noise and JPEG "
        "compression vary. `python -m export train` repeats it."
    )


def _files(files: Sequence[Any]) -> str:
    body = [
        [
            f"`{file['name']}`",
            file["precision"],
            f"{file['bytes'] / 1e6:.2f} MB",
            f"{file['parity']['logit_max']:.1e} in logits, {file['parity']['alpha_max']}/255 in alpha, "
            f"{file['parity']['images']} pictures",
        ]
        for file in files
    ]
    return _table(["File", "precision", "size", "largest difference from torch"], body)


def _data(training: Training) -> str:
    if not training.counts:
        return "Chosen by the authors of the weights; see their publication."
    used = [source for source in SOURCES if source.folder in training.counts]
    body = [
        [
            f"`{x.folder}`",
            str(training.counts[x.folder]),
            x.what,
            x.licence,
            x.credit,
            x.rights,
        ]
        for x in used
    ]
    doubtful = ", ".join(f"`{x.folder}`" for x in used if x.rights == "unclear")
    note = (
        f"\n\n**Rights**: {doubtful} hold photos whose owners or licences are unclear or exclude commercial use, and "
        "people who were not asked. Whether weights trained on them may be used commercially is an open question; "
        "decide before you do. The credits above ask to be kept."
    )
    head = ["Set", "training pictures", "what", "licence", "credit", "rights"]
    return _table(head, body) + (note if doubtful else "")
