"""What is in guest/ needs the cameras of the virtual machine in tests/e2e and runs inside it only."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("VCAM_IN_VM") else ["guest"]
