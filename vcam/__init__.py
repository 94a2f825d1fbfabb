"""vcam: a webcam with a better background."""

from vcam import telemetry

__version__ = "0.1.0"

# before anything else of vcam can import a library that reports to its maker
telemetry.switch_off()
