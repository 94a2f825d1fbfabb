"""What may be done with a picture: a class for each set or photo, and the filter that training takes.

"clear": a licence that allows commercial use is stated by those who could give it. "non-commercial": the licence
excludes it. "unclear": nobody with the right to say so has said anything. Consent is another matter: see the notes in
`export.data.sources`.
"""

from __future__ import annotations

from collections.abc import Iterable

from export.errors import ExportError

CLEAR, NON_COMMERCIAL, UNCLEAR = "clear", "non-commercial", "unclear"
LICENCES = ("any", "clear")
"""What `--licence` takes."""

_SETS = {
    "person/ccp": UNCLEAR,
    "person/cutouts": CLEAR,
    "face/real": CLEAR,
    "face/avatars": CLEAR,
    "backgrounds": CLEAR,
}
_PHOTOS = {
    "photo CC BY 2.0": CLEAR,
    "photo CC BY-SA 2.0": CLEAR,
    "photo no known copyright restrictions": CLEAR,
    "photo CC BY-NC 2.0": NON_COMMERCIAL,
    "photo CC BY-NC-SA 2.0": NON_COMMERCIAL,
    "photo CC BY-NC-ND 2.0": NON_COMMERCIAL,
}


def rights_of(name: str, notes: str = "") -> str:
    """The class of a picture. name: of its set, as `person/wild`; notes: of its row, where a photo's licence counts.

    Sets that are not known, and photos without a recorded licence, are "unclear".
    """
    photo = next(
        (_PHOTOS.get(note, UNCLEAR) for note in notes.split("; ") if note.startswith("photo ")),
        None,
    )
    return photo or _SETS.get(name, UNCLEAR)


def allowed(rights: str, licence: str) -> bool:
    """Whether a picture of these rights may be used under `--licence any` or `--licence clear`.

    Raises:
        ExportError: the licence is neither.
    """
    if licence not in LICENCES:
        raise ExportError(f"--licence {licence!r}: give one of {', '.join(LICENCES)}")
    return licence == "any" or rights == CLEAR


def keep(name: str, rows: Iterable[dict[str, str]], licence: str) -> list[dict[str, str]]:
    """The rows of a set's manifest that a licence filter leaves. name: of the set, as `person/wild`.

    Raises:
        ExportError: the licence is neither "any" nor "clear".
    """
    return [row for row in rows if allowed(rights_of(name, row["notes"]), licence)]
