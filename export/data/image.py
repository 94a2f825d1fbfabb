"""A picture in memory, as the parts of the export stage hand it on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def u8(array: Any) -> Image:
    """As uint8, without a copy where it is already; OpenCV's answers have no type of their own."""
    return np.asarray(array, np.uint8)
