"""The notes of a picture in a manifest: short remarks with "; " between them, some of which
count.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notes:
    """Remarks of a picture, in their order.

    These are read: `alpha PATH.png` (see `alpha`), `ignore ...` (the mask has pixels of 128 that do
    not count), `photo LICENCE`, `repo LICENCE (covers the clips)`, `CC0`, `no person`,
    `teeth_checked`, and of the framing `aspect ...`, `tight`, `crop`, `full frame`.
    """

    parts: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> Notes:
        """The remarks in a cell of the table."""
        return cls(tuple(part.strip() for part in text.split(";") if part.strip()))

    def __contains__(self, part: str) -> bool:
        return part in self.parts

    def after(self, word: str) -> str | None:
        """What follows the word in the first remark that begins with it; None without any."""
        found = (x.removeprefix(word) for x in self.parts if x == word or x.startswith(f"{word} "))
        return next((x.strip() for x in found), None)

    @property
    def alpha(self) -> str:
        """The soft alpha of the same picture, relative to the manifest's folder; "" without any.

        A path that begins with `alpha/` belongs to a render, whose room is empty; elsewhere it is
        the alpha of a photograph.
        """
        path = (self.after("alpha") or "").split(" ")[0]
        return path if path.endswith(".png") else ""

    @property
    def ignores(self) -> bool:
        """Whether pixels of 128 in the mask are to be ignored."""
        return self.after("ignore") is not None

    @property
    def photo_licence(self) -> str | None:
        """The licence of the photograph, if the notes say anything of it."""
        return self.after("photo")
