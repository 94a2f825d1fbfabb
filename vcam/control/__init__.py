"""Changes while a run lasts: what is wanted, how it is reached between two frames, and the ways
to ask for it.
"""
