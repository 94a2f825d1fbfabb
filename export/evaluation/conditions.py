"""Under which conditions a test picture was taken, as far as its pixels, its label and its notes tell."""

from __future__ import annotations

import cv2
import numpy as np

from export.data.image import Image

_DARK_BELOW, _BRIGHT_FROM = 80, 160
_SKIN_DARK_BELOW, _SKIN_LIGHT_FROM = 110, 150
_SKIN = 2


def light(image: Image) -> str:
    """By the mean luma of uint8 [H, W, 3] RGB (BT.601, 0..255): "dark" below 80, "bright" from 160."""
    luma = float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean())
    return f"light: {_bin(luma, _DARK_BELOW, _BRIGHT_FROM, ('dark', 'medium', 'bright'))}"


def skin(image: Image, label: Image) -> str:
    """By the median luma of the pixels of class skin: "dark" below 110, "light" from 150; "" without skin.

    image: uint8 [H, W, 3] RGB, label: uint8 [H, W], EasyPortrait v1. This is the tone in the picture, lamps and
    exposure included; it says nothing else of a person.
    """
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[label == _SKIN]
    if not pixels.size:
        return ""
    tone = _bin(
        float(np.median(pixels)), _SKIN_DARK_BELOW, _SKIN_LIGHT_FROM, ("dark", "medium", "light")
    )
    return f"skin: {tone}"


def _bin(value: float, low: float, high: float, names: tuple[str, str, str]) -> str:
    return names[0] if value < low else names[1] if value < high else names[2]


def framing(notes: str) -> str:
    """From the notes of person/ccp ("tight": head to hip, else head to chest) and person/wild ("crop")."""
    if "aspect" in notes:
        return "framing: head to hip" if "; tight" in notes else "framing: head to chest"
    if notes.startswith("crop"):
        return "framing: around a person"
    return "framing: whole photo" if notes.startswith("full") else ""
