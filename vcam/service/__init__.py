"""Discovery of running vcam instances."""
