"""Live control: the desired state of a run, changes between two frames, and the interfaces for
them.
"""
