"""The part of a card about training: the recipe, and the pictures that weights have seen."""

from __future__ import annotations

from collections.abc import Iterator

from export.data.faces import OCCLUDERS
from export.data.provenance import PRETRAINED, SOURCES, SeenSet, Source
from export.engine.card_quality import table
from export.models import PRESETS
from export.weights.record import RunRecord, phases

_LOSSES = {
    "person": "Loss: cross-entropy with triple weight at outlines, soft dice, and a third as much "
    "on what the network "
    "answers besides, a coarse mask or the outline.",
    "face": "Loss: cross-entropy, two to four times as heavy for the small parts, and soft dice "
    "of each of these.",
}
_SAMPLES = {
    "person": "Kinds of samples: `photo` and `wild` are photographs as they are, `cutout`, "
    "`avatar` and `moved` "
    "somebody before another room, `room` and `empty` pictures without anybody. Light, colour, "
    "sharpness, noise and "
    "JPEG compression vary.",
    "face": "Samples are squares around a face, turned, mirrored with left and right swapped, "
    "mostly before another "
    "room, some with something before the face. Light, colour, sharpness, noise and JPEG "
    "compression vary.",
}
_SET_BY_SET = "see the set"


def recipe(record: RunRecord | None) -> str:
    """The commands that led to weights, the loss and the samples."""
    if record is None:
        return "Not trained here."
    task = record.network.task
    runs = [f"{number}. {_phase(run)}" for number, run in enumerate(phases(record), 1)]
    text = [f"{_LOSSES[task]} {_SAMPLES[task]} {_shares(record)}".rstrip()]
    return "\n".join([*runs, "", *text])


def _phase(run: RunRecord) -> str:
    """The command of a run, and what it did that the command does not say."""
    asked = run.settings
    options = {
        "init": run.init_file or ("ema.safetensors" if run.init else ""),
        "size": "x".join(map(str, run.network.size)),
        "samples": asked.samples,
        "batch": asked.batch,
        "rate": asked.rate,
        "seed": str(asked.seed),
        "task": asked.task,
        "licence": "" if asked.licence == "any" else asked.licence,
        "teacher": asked.teacher.name if asked.teacher else "",
        "teacher-model": asked.teacher_model if asked.teacher or asked.distil else "",
        "consistency": asked.consistency,
        "occluders": None if asked.occluders == OCCLUDERS else str(asked.occluders),
    }
    words = [f"--{name} {value}" for name, value in options.items() if value]
    words += [f"--distil {path.name}" for path in asked.distil]
    flags = {"finish": asked.finish, "keep-glasses": asked.keep_glasses, "bfloat16": asked.bfloat16}
    words += [f"--{name}" for name, given in flags.items() if given]
    command = " ".join(["python -m export train", asked.model, "--data DATA", *words])
    codes = ", ".join(dict.fromkeys(_short(part.code) for part in run.segments))
    return (
        f"`{command}`: {run.seen} samples, AdamW, {run.warmup} samples of warm-up and a cosine "
        "decay, weight decay "
        f"{asked.weight_decay}, moving average over about {run.horizon} samples"
        f"{', pictures changed less' if asked.finish else ''}{_curve(run)}"
        f"{'; code ' + codes if codes else ''}"
        f"{_averaged(run)}."
    )


def _curve(run: RunRecord) -> str:
    points = ", ".join(f"{loss:.2f} after {seen}" for seen, loss in run.curve)
    return f"; loss {points}" if points else ""


def _averaged(run: RunRecord) -> str:
    if run.mean_of:
        others = " ".join(run.mean_of)
        return (
            f"; then `python -m export average {others} ema.safetensors --share {run.share:g}`: "
            "that share of these weights, and equal shares of the others in the rest"
        )
    earlier = run.averaged - 1
    whose = (
        "those it started from" if earlier == 1 else f"those that {earlier} phases before it left"
    )
    return (
        f"; then `python -m export average`: the mean of these weights and {whose}"
        if earlier
        else ""
    )


def _short(code: str) -> str:
    commit, plus, changes = code.partition("+")
    return f"{commit[:12]}{plus}{changes}"


def _shares(record: RunRecord) -> str:
    """How samples were drawn, phase by phase where it differs."""
    texts = {}
    runs = list(phases(record))
    for number, run in enumerate(runs, 1):
        if "kinds" in run.draws:
            kinds = ", ".join(
                f"{kind} {100 * share:.0f} %" for kind, share in run.draws["kinds"].items()
            )
            near = run.draws.get("near")
            texts[number] = kinds + (
                f", sides {near[0]} to {near[1]} times the face's height" if near else ""
            )
    if len(texts) == len(runs) and len(set(texts.values())) == 1:
        return f"Shares, of the kinds that the data hold: {texts[1]}."
    return " ".join(f"Shares in phase {number}: {text}." for number, text in texts.items())


def sets_of(record: RunRecord | None) -> dict[str, SeenSet]:
    """The sets that any phase saw, by name, each as the phase describes it that saw most of it."""
    found: dict[str, SeenSet] = {}
    for one in _all_sets(record):
        if one.name not in found or one.pictures > found[one.name].pictures:
            found[one.name] = one
    return found


def _all_sets(record: RunRecord | None) -> Iterator[SeenSet]:
    for run in phases(record):
        yield from run.sets
        yield from _all_sets(run.teacher_record)


def data(record: RunRecord | None) -> str:
    """The table of what weights have seen, and what it means for their rights."""
    if record is None:
        return "Chosen by whoever trained the weights; see there."
    rows = _rows(record)
    doubtful = ", ".join(row[0] for row in rows if _is_doubtful(row[-1]))
    note = (
        f"\n\n**Rights**: {doubtful} hold pictures whose owners or licences are unclear or "
        "exclude commercial use, and "
        "people who were not asked. Whether weights trained on them may be used commercially is "
        "an open question; "
        "decide before you do. The credits above ask to be kept."
    )
    head = ["Set", "training pictures", "what", "licence", "credit", "rights"]
    return table(head, rows) + (note if doubtful else "")


def rights_of(record: RunRecord | None) -> str:
    """Whether the rights of everything that weights have seen are "clear" or "unclear"; "": not
    known.
    """
    if record is None:
        return ""
    return "unclear" if any(_is_doubtful(row[-1]) for row in _rows(record)) else "clear"


def _rows(record: RunRecord) -> list[list[str]]:
    sets = sets_of(record)
    known = {source.folder: source for source in SOURCES}
    mixed = {one.name for one in _all_sets(record) if set(one.rights) != {"clear"}}
    rows = []
    for name in (x for x in known if x in sets):
        row = _set_row(known[name], str(sets[name].pictures))
        if name not in mixed and _is_doubtful(row[-1]):
            row[-1] = "clear: only pictures with a licence that allows all uses were drawn"
        rows.append(row)
    rows += [_other_row(one) for name, one in sets.items() if name not in known]
    return rows + _unrecorded(record)


def _set_row(source: Source, pictures: str) -> list[str]:
    return [
        f"`{source.folder}`",
        pictures,
        source.what,
        source.licence,
        source.credit,
        source.rights,
    ]


def _other_row(one: SeenSet) -> list[str]:
    """A set that only its reader knows."""
    rights = ", ".join(f"{count} {kind}" for kind, count in one.rights.items())
    return [
        f"`{one.name}`",
        str(one.pictures),
        f"layout {one.layout}",
        _SET_BY_SET,
        _SET_BY_SET,
        rights,
    ]


def _unrecorded(record: RunRecord) -> list[list[str]]:
    """A row for each file of weights, at the start or as a teacher, whose own training no record
    describes.
    """
    rows = []
    for run in phases(record):
        if run.init_file and not run.init:
            rows.append(_weights_row(run.init_file, run.init_sha256))
        if run.settings.teacher and run.teacher_record:
            rows += _unrecorded(run.teacher_record)
        elif run.settings.teacher:
            rows.append(_weights_row(run.settings.teacher.name, run.teacher_sha256))
        for path, sha256 in zip(run.settings.distil, run.distil_sha256, strict=False):
            rows.append(_weights_row(path.name, sha256))
    return [row for place, row in enumerate(rows) if row not in rows[:place]]


def _weights_row(name: str, sha256: str) -> list[str]:
    source = PRETRAINED.get(sha256)
    if source:
        return _set_row(source, "through its weights")
    preset = next((x for x in PRESETS.values() if sha256 and x.sha256 == sha256), None)
    if preset:
        seen = "what the published weights have seen, which their authors do not say"
        rights = "clear, as far as the licence of the weights goes" if preset.clear else "unclear"
        licence = preset.licence or "not stated"
        return [f"`{name}`", "not published", seen, licence, preset.source, rights]
    return [
        f"`{name}`",
        "not recorded",
        "what these weights have seen",
        _SET_BY_SET,
        _SET_BY_SET,
        "unclear",
    ]


def _is_doubtful(rights: str) -> bool:
    return "unclear" in rights or "non-commercial" in rights
