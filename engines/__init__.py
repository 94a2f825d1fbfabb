"""The engine catalogue that ships with vcam: data only."""
