"""Measurements of engines and of whole runs."""
