"""The card of an engine, `CARD.md`: filled in from a template, so that every training brings its own numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from export.card_quality import quality, table
from export.data.sources import SOURCES
from export.measures import Score
from export.models import ModelSpec
from export.record import horizon_of, warmup_of

_TEMPLATES = Path(__file__).parent / "cards"
_TEMPLATE = {"portraitnet_prior": "portraitnet"} | dict.fromkeys(
    ("segformer_b0", "segformer_b2", "segformer_b5"), "segformer"
)

_LOSSES = {
    "person": "Loss: cross-entropy with triple weight at outlines, soft dice, and a third as much on the coarse answer "
    "or on the boundary, as the network has one or the other.",
    "face": "Loss: cross-entropy, two to four times as heavy for the small parts, and soft dice of each of these.",
}
_SAMPLES = {
    "person": "Nearly half of the samples paste cut-out people into other rooms; light, colour, sharpness, noise and "
    "JPEG compression vary.",
    "face": "Samples are squares around a face, mostly 1.35 to 2.8 times as high as it, turned, mirrored with left and "
    "right swapped, two thirds before another room, one in eight with something before the face; light, colour, "
    "sharpness, noise and JPEG compression vary.",
}


@dataclass(frozen=True, slots=True)
class Training:
    """How weights came about. `counts`: training pictures by set, empty where the weights are somebody else's."""

    origin: str
    licence: str
    settings: Mapping[str, Any]
    samples: int
    counts: Mapping[str, int]


def card(
    spec: ModelSpec,
    size: tuple[int, int],
    batch: int,
    training: Training,
    files: Sequence[Any],
    scores: Sequence[Score],
    peers: Sequence[tuple[str, Sequence[Score]]] = (),
) -> str:
    """The text of `CARD.md`. files: the `[[file]]` tables of `engine.toml`; peers: see `export.card_quality`."""
    name = spec.name if spec.task == "face" else spec.network or spec.name
    template = Template((_TEMPLATES / f"{_TEMPLATE.get(name, name)}.md").read_text(encoding="utf-8"))
    return template.substitute(
        model=spec.name,
        origin=training.origin,
        licence=training.licence,
        contract=_contract(spec, size, batch),
        classes=", ".join(spec.classes),
        quality=quality(scores, peers),
        recipe=_recipe(training),
        files=_files(files),
        data=_data(training),
    )


def _contract(spec: ModelSpec, size: tuple[int, int], batch: int) -> str:
    plane = f"{size[0]}, {size[1]}"
    lines = [
        f"Input `image` uint8 [{batch}, {plane}, 3] RGB, the frame stretched to this size. Normalisation is inside."
    ]
    if spec.task == "face":
        lines.append(
            f"Output `probs` uint8 [{batch}, {len(spec.classes)}, {plane}], one plane per class, sum about 255."
        )
        lines.append(f"Classes: {', '.join(spec.classes)}.")
    else:
        lines.append(f"Output `alpha` uint8 [{batch}, {plane}], 0 room .. 255 person.")
    if spec.stateful:
        lines.append(
            f"`state_in` and `state_out` float32 [{batch}, 1, {plane}]: the previous share of person, 0..1; zeros "
            "for the first frame."
        )
    return "\n  ".join(textwrap.fill(line, 116, subsequent_indent="  ") for line in lines)


def _recipe(training: Training) -> str:
    if not training.settings:
        return "As published; not trained here."
    spec = training.settings["spec"]
    task = "person" if len(spec["classes"]) == 2 else "face"
    return f"{_phases(training.settings)} {_LOSSES[task]} {_SAMPLES[task]} `python -m export train` repeats it."


def _phases(run: Mapping[str, Any]) -> str:
    """A sentence for each phase, the first one first."""
    size = run["spec"]["size"]
    sentence = (
        f"{'Last phase' if run.get('finish') else 'Phase'}: {run['seen']} random samples of {size[0]}x{size[1]} pixels"
        f"{', changed less' if run.get('finish') else ''}, batch {run['batch']}, AdamW with a peak rate of "
        f"{run['rate']}, {warmup_of(run['warmup_samples'], run['samples'])} samples of warm-up and a cosine decay, "
        f"weight decay {run['weight_decay']}, seed {run['seed']}; moving average over about "
        f"{horizon_of(run['ema_samples'], run['samples'])} samples."
    )
    return f"{_phases(run['init'])} {sentence}" if run.get("init") else sentence


def _files(files: Sequence[Any]) -> str:
    body = [
        [
            f"`{file['name']}`",
            file["precision"],
            f"{file['bytes'] / 1e6:.2f} MB",
            file["parity"]["reference"],
            f"{file['parity']['logit_max']:.1e} in logits, {file['parity']['output_max']}/255 in the output",
            _agreement(file["parity"]),
            str(file["parity"]["images"]),
        ]
        for file in files
    ]
    return table(["File", "precision", "size", "against", "largest difference", "answers agree", "pictures"], body)


def _agreement(parity: Mapping[str, Any]) -> str:
    if "metric" not in parity:
        return "-"
    measured = {"iou": "IoU of the masks", "agreement": "same class"}[parity["metric"]]
    return f"{measured} {parity['mean']:.4f}, worst picture {parity['worst']:.4f}"


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
    return table(head, body) + (note if doubtful else "")
