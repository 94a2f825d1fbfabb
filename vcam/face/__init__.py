"""Detect faces, track them, and parse them into regions."""
