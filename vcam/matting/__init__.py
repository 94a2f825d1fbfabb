"""From a frame to a matte at full resolution: engine, smoothing in time, guided filter."""
