"""The card of an engine, `CARD.md`: filled in from a template, so that every training brings its
own numbers.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from export.engine.card_quality import quality, table
from export.engine.card_training import data, recipe
from export.evaluation.measures import Score
from export.models import ModelSpec, Pixels
from export.weights.record import RunRecord
from vcam.engine_toml import EngineFile

_TEMPLATES = Path(__file__).parents[1] / "cards"
_SHIPPED = _TEMPLATES / "shipped"
_GENERAL = "network"
_WEAKNESSES = "## Weaknesses\n\n"
_UNSEEN = (
    "None of these pictures was trained on; the split of `person/ccp` goes by photo, so a "
    "person may be on both sides."
)
_PERHAPS_SEEN = (
    "Whether some of these pictures were among those that the weights were trained on is not known."
)


@dataclass(frozen=True, slots=True)
class Training:
    """How weights came about. record: see `export.record`, None where the weights are somebody
    else's.

    shipped: they are those in export/checkpoints, of which more is known than of any others.
    """

    origin: str
    licence: str
    record: RunRecord | None = None
    shipped: bool = False


def card(
    spec: ModelSpec,
    size: tuple[int, int],
    batch: int,
    parameters: int,
    training: Training,
    files: Sequence[EngineFile],
    scores: Sequence[Score],
    peers: Sequence[tuple[str, Sequence[Score]]] = (),
) -> str:
    """The text of `CARD.md`.

    parameters: of the network, their number; files: those of `engine.toml`; peers: see
    `export.card_quality`.
    """
    template = Template((_TEMPLATES / f"{spec.card or _GENERAL}.md").read_text(encoding="utf-8"))
    progress, seen = _found(spec) if training.shipped else ("", "")
    text = template.substitute(
        model=spec.engine_name,
        about=spec.about or f"{spec.name}.",
        parameters=f"{parameters / 1e6:.1f} million"
        if parameters >= 1e6
        else f"{parameters / 1e3:.0f} thousand",
        size=f"{size[0]}x{size[1]}",
        unseen=_UNSEEN if training.record else _PERHAPS_SEEN,
        progress=progress,
        seen=seen,
        origin=training.origin,
        licence=training.licence,
        contract=_contract(spec, size, batch),
        memory="the answer to the frame before helps"
        if spec.memory
        else "nothing is remembered between frames",
        classes=", ".join(spec.classes),
        quality=quality(scores, peers),
        recipe=recipe(training.record),
        files=_files(files),
        data=data(training.record),
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _found(spec: ModelSpec) -> tuple[str, str]:
    """Of the shipped weights: how far training went, and what was seen to fail in the worst test
    pictures.
    """
    text = (_SHIPPED / f"{spec.engine_name}.md").read_text(encoding="utf-8")
    progress, _, seen = text.partition(_WEAKNESSES)
    return progress.strip(), seen.strip()


def _contract(spec: ModelSpec, size: tuple[int, int], batch: int) -> str:
    plane = f"{size[0]}, {size[1]}"
    lines = [
        f"Input `image` uint8 [{batch}, {plane}, 3] RGB, the frame stretched to this size. "
        "Inside, the "
        f"network reads {_pixels(spec.pixels)}."
    ]
    if spec.task == "face":
        lines.append(
            f"Output `probs` uint8 [{batch}, {len(spec.classes)}, {plane}], one plane per class, "
            "sum about 255."
        )
        lines.append(f"Classes: {', '.join(spec.classes)}.")
    else:
        lines.append(
            f"Output `alpha` uint8 [{batch}, {plane}], 0 {spec.classes[0]} .. 255 "
            f"{spec.classes[1]}."
        )
    if spec.memory:
        lines.append(
            f"`state_in` and `state_out` float32 [{batch}, 1, {plane}]: the previous share of "
            "person, 0..1; zeros "
            "for the first frame."
        )
    return "\n  ".join(textwrap.fill(line, 116, subsequent_indent="  ") for line in lines)


def _pixels(pixels: Pixels) -> str:
    order = "blue, green, red" if pixels.bgr else "red, green, blue"
    mean, std = (", ".join(f"{x:g}" for x in numbers) for numbers in (pixels.mean, pixels.std))
    return (
        f"{order}: (x - mean) / std with the means {mean} and deviations {std} of red, green, blue"
    )


def _files(files: Sequence[EngineFile]) -> str:
    body = [
        [
            f"`{file.name}`",
            file.precision,
            f"{file.bytes / 1e6:.2f} MB",
            file.parity["reference"],
            f"{file.parity['logit_max']:.1e} in logits, {file.parity['output_max']}/255 in the "
            "output",
            _agreement(file.parity),
            str(file.parity["images"]),
        ]
        for file in files
    ]
    return table(
        ["File", "precision", "size", "against", "largest difference", "answers agree", "pictures"],
        body,
    )


def _agreement(parity: Mapping[str, Any]) -> str:
    if "metric" not in parity:
        return "-"
    measured = {"iou": "IoU of the masks", "agreement": "same class"}[parity["metric"]]
    kept = f"; the first {parity['single']} convolutions in float32" if parity.get("single") else ""
    return f"{measured} {parity['mean']:.4f}, worst picture {parity['worst']:.4f}{kept}"
