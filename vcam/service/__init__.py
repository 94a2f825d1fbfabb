"""Running instances: how others find them."""
