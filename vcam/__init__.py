"""vcam: a webcam with a better background."""

__version__ = "0.1.0"
