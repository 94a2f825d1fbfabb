"""The operations on a run, shared by the page, the command line and other
programs.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vcam.catalogue import AUTO_ENGINE, EngineSpec
from vcam.control.control import Control
from vcam.control.costs import Costs, describe
from vcam.control.gallery import Gallery
from vcam.control.preview import png_of
from vcam.control.settings import Settings
from vcam.control.wanted import SETTINGS
from vcam.effects import all_effects, is_about_room
from vcam.errors import UsageError

_DOCTOR_S = 60.0
_DOCTOR_KEPT_S = 5.0


@dataclass(frozen=True, slots=True)
class House:
    """The surroundings of a run.

    program: the command that starts vcam from any folder. engines: the available person engines.
    options: those that `vcam bench` needs to find them. settings: the settings file. devices: lists
    cameras, as `vcam devices --json` does. version: of vcam.
    """

    program: Sequence[str]
    engines: Callable[[], list[EngineSpec]]
    options: Sequence[str]
    settings: Settings
    devices: Callable[[], dict[str, Any]]
    version: str


class Actions:
    """Methods may be called from any thread, and take as long as their work.

    Args:
        control: the run's control.
        house: the run's surroundings.
        gallery: backgrounds.
        costs: measured costs of engines.
    """

    def __init__(self, control: Control, house: House, gallery: Gallery, costs: Costs) -> None:
        self.control, self.house, self.gallery, self.costs = control, house, gallery, costs
        self._doctor: tuple[float, dict[str, Any]] | None = None

    def about(self) -> dict[str, Any]:
        """Describe the current state of the run."""
        return self.control.about()

    def set(self, changes: dict[str, Any], *, trusted: bool) -> dict[str, Any]:
        """Change the run; return the new desired state.

        Args:
            changes: see `vcam.control.wanted.Changes`.
            trusted: allow files by path; else only by id in the gallery.

        Raises:
            VcamError: see `Control.set`.
        """
        if not isinstance(changes, dict) or not changes:
            raise UsageError(
                'changes must be an object with at least one key, such as {"blur.strength": 0.7}'
            )
        checked = {key: self._file_value(key, value, trusted) for key, value in changes.items()}
        return self.control.set(checked).to_dict()

    def toggle(self, key: str) -> dict[str, Any]:
        """Toggle an effect, "mirror" or "paused"."""
        return self.control.toggle(key).to_dict()

    def snapshot(self) -> bytes:
        """The next sent picture, as PNG."""
        return png_of(self.control.snapshot())

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of all settings."""
        return {
            "effects": {
                name: {**spec.schema(), "x-room": is_about_room(name)}
                for name, spec in all_effects().items()
            },
            "settings": {name: param.schema() for name, param in SETTINGS.items()},
        }

    def devices(self) -> dict[str, Any]:
        """Cameras and virtual cameras."""
        return self.house.devices()

    def engines(self) -> list[dict[str, Any]]:
        """Person engines, with measured costs."""
        known = self.costs.known()
        auto = {"name": AUTO_ENGINE, "about": "the best that keeps the frame rate here"}
        return [
            auto,
            *(
                describe(spec, known.get(spec.name))
                for spec in self.house.engines()
                if spec.task == "person"
            ),
        ]

    def measure(self, name: str) -> dict[str, Any]:
        """Measure an engine on this machine."""
        spec = next((spec for spec in self.house.engines() if spec.name == name), None)
        if spec is None:
            raise UsageError(f"unknown engine {name!r}; see `vcam engines`")
        return describe(spec, self.costs.measure(name, self.house.options))

    def doctor(self) -> dict[str, Any]:
        """The findings of `vcam doctor`."""
        if self._doctor is None or time.monotonic() - self._doctor[0] > _DOCTOR_KEPT_S:
            try:
                done = subprocess.run(  # noqa: S603 - this program itself
                    [*self.house.program, "doctor", "--json"],
                    capture_output=True,
                    timeout=_DOCTOR_S,
                    check=False,
                )
                found = json.loads(done.stdout)
            except (OSError, ValueError, subprocess.TimeoutExpired) as error:
                raise UsageError("the checks did not end; type `vcam doctor`") from error
            self._doctor = time.monotonic(), found
        return self._doctor[1]

    def profiles(self) -> dict[str, Any]:
        """Names of profiles, and the path of their file."""
        settings = self.house.settings
        return {"file": str(settings.path), "profiles": settings.profiles()}

    def use_profile(self, name: str) -> dict[str, Any]:
        """Apply a profile in one step."""
        return self.control.set(self.house.settings.changes_to(name)).to_dict()

    def save_profile(self, name: str | None) -> dict[str, Any]:
        """Save the state of the run; without a name, as the default settings."""
        path = self.house.settings.save(name, self.control.wanted)
        return {"file": str(path), "profiles": self.house.settings.profiles()}

    def metrics(self) -> str:
        """The run in the text format of Prometheus, version 0.0.4."""
        about = self.control.about()
        sample = about["samples"][-1] if about["samples"] else {}
        rows = (
            (
                "vcam_frames_per_second",
                "gauge",
                "Composed frames sent in the last second.",
                sample.get("fps", 0),
            ),
            (
                "vcam_latency_seconds",
                "gauge",
                "Median from capture to sent.",
                sample.get("latency_ms", 0) / 1000,
            ),
            ("vcam_cpu_cores", "gauge", "Processor seconds used per second.", sample.get("cpu", 0)),
            (
                "vcam_dropped_frames",
                "gauge",
                "Frames dropped in the last second.",
                sample.get("drops", 0),
            ),
            ("vcam_healthy", "gauge", "1 if nothing has failed.", int(about["healthy"])),
        )
        return "".join(
            f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {value:g}\n"
            for name, kind, text, value in rows
        )

    def _file_value(self, key: str, value: Any, trusted: bool) -> Any:
        """Resolve a gallery id to a file; a path is accepted only from callers that may read the
        user's files anyway.
        """
        if key == "effects" and not trusted:
            raise UsageError("effects: not from here; set each by its own key")
        if key == "source" and not trusted:
            known = {f"webcam:{device['path']}" for device in self.devices()["cameras"]}
            if value not in {*known, "webcam", "demo", "pattern", self.control.wanted.source}:
                raise UsageError(
                    f"source {value!r}: choose a camera of this machine; for others type `vcam set`"
                )
        name, _, param = key.partition(".")
        spec = all_effects().get(name.rstrip("0123456789"))
        if spec is None or not spec.params or spec.params[0].kind != "file":
            return value
        if param != spec.params[0].name and (isinstance(value, bool) or value in ("on", "off")):
            return value
        if isinstance(value, str) and value.startswith("gallery:"):
            return str(self.gallery.find(value.removeprefix("gallery:")).path)
        if not trusted:
            raise UsageError(
                f"{key}: choose a picture of the gallery; for other files type"
                f" `vcam set {key}=FILE`"
            )
        return value
