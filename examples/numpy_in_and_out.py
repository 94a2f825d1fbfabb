"""Pictures that a program makes go in, changed pictures come out, both as NumPy arrays.

python examples/numpy_in_and_out.py
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import vcam


def pictures(count: int) -> Iterator[NDArray[np.uint8]]:
    """So many pictures uint8 [360, 640, 3] RGB, of noise; put your own here."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield rng.integers(0, 256, (360, 640, 3), np.uint8)


def main(count: int = 20) -> None:
    """Print the mean colour of every changed picture."""
    for number, picture in enumerate(vcam.apply_all(pictures(count), ["color:#204060"])):
        red, green, blue = picture.reshape(-1, 3).mean(0)
        print(f"{number}: {red:.0f} {green:.0f} {blue:.0f}")


if __name__ == "__main__":
    main()
