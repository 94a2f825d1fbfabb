"""A running camera: the threads between source and sink, and how they recover."""
