"""A running pipeline: the threads from source to sink, and recovery from failures."""
