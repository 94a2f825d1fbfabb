"""What may be done with a picture: a class for each set or photo, and the filter that training
takes.

"clear": a licence that allows commercial use is stated by those who could give it.
"non-commercial": the licence excludes it. "unclear": no one entitled has stated
anything. Consent is another matter: see the notes in `export.data.provenance`.
"""

from __future__ import annotations

from export.data.notes import Notes
from export.errors import ExportError

CLEAR, NON_COMMERCIAL, UNCLEAR = "clear", "non-commercial", "unclear"
LICENCES = ("any", "clear")
"""What `--licence` takes."""

_SETS = {
    "face/celebamask": NON_COMMERCIAL,
    "person/ccp": UNCLEAR,
    "person/cutouts": CLEAR,
    "face/real": CLEAR,
    "face/avatars": CLEAR,
    "backgrounds": CLEAR,
}
_NOTES = {"repo CC BY 4.0 (covers the clips)": CLEAR, "clothes without wearer, CC0": CLEAR}
_PHOTOS = {
    "CC BY 2.0": CLEAR,
    "CC BY-SA 2.0": CLEAR,
    "no known copyright restrictions": CLEAR,
    "CC BY-NC 2.0": NON_COMMERCIAL,
    "CC BY-NC-SA 2.0": NON_COMMERCIAL,
    "CC BY-NC-ND 2.0": NON_COMMERCIAL,
}


def rights_of(name: str, notes: Notes | None = None) -> str:
    """The class of a picture. name: of its set, as `person/wild`; notes: of its row, where a
    photo's licence counts.

    Sets that are not known, and photos without a recorded licence, are "unclear".
    """
    for part in notes.parts if notes else ():
        if part in _NOTES:
            return _NOTES[part]
        if part.startswith("photo "):
            return _PHOTOS.get(part.removeprefix("photo "), UNCLEAR)
    return _SETS.get(name, UNCLEAR)


def allowed(rights: str, licence: str) -> bool:
    """Whether a picture of these rights may be used under `--licence any` or `--licence clear`.

    Raises:
        ExportError: the licence is neither.
    """
    if licence not in LICENCES:
        raise ExportError(f"--licence {licence!r}: give one of {', '.join(LICENCES)}")
    return licence == "any" or rights == CLEAR
