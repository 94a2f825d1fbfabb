import vcam as vcam  # first of all: it switches the telemetry of libraries off
