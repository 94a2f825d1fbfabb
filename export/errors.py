"""The one error of the export stage."""

from __future__ import annotations


class ExportError(Exception):
    """Something the user gave cannot be exported, trained or measured; the message says what and
    what to do.
    """
