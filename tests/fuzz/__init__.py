"""Mutated and generated inputs: whatever comes, one clear error or a result, and in time."""
