"""Under which conditions a test picture was taken, as far as its pixels, its label and its notes tell."""

from __future__ import annotations

import csv
import hashlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from export.data.image import Image
from export.data.notes import Notes

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


@cache
def _webcam_labels() -> dict[str, tuple[str, ...]]:
    with Path(__file__).with_name("webcam_conditions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row.pop("picture"): tuple(f"{name}: {value}" for name, value in row.items()) for row in rows
    }


def webcam(name: str, alpha: Image) -> tuple[str, ...]:
    """Of a test picture of person/webcam_people, by its name in the manifest; () of any other.

    Skin tone, light, glasses, headset and hand were labelled once, by one pair of eyes, on contact sheets; pictures are
    listed by the start of the SHA-256 of their names, since these name private people. Distance is the share of the
    frame that alpha, uint8 [H, W], calls person: "close" from a half, "far" below a quarter.
    """
    labels = _webcam_labels().get(hashlib.sha256(name.encode()).hexdigest()[:12])
    if labels is None:
        return ()
    share = float((alpha > 127).mean())
    return (*labels, f"distance: {_bin(share, 0.25, 0.5, ('far', 'usual', 'close'))}")


def framing(notes: Notes) -> str:
    """From the notes of person/ccp ("tight": head to hip, else head to chest) and person/wild ("crop")."""
    if notes.after("aspect") is not None:
        return "framing: head to hip" if "tight" in notes else "framing: head to chest"
    if "crop" in notes:
        return "framing: around a person"
    return "framing: whole photo" if notes.after("full") is not None else ""
