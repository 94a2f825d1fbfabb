"""From a frame to a full-resolution matte: engine, temporal smoothing, guided filter."""
