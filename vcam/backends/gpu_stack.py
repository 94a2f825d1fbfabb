"""TensorRT's requirements of a machine as one value, and the plans of one engine on it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from vcam.backends.cuda import Cuda, make_cuda
from vcam.backends.plan_builder import OnProgress, Plan, build_plan
from vcam.backends.plans import PlanKey, PlanStore, plan_folder
from vcam.backends.probe import Gpu, Probe, probe_gpu
from vcam.backends.tensorrt_api import TensorRt, load_tensorrt
from vcam.catalogue import EngineSpec
from vcam.errors import EngineError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GpuStack:
    """The sources of GPU, TensorRT, CUDA and plans; the defaults are the real ones."""

    probe: Callable[[], Probe] = probe_gpu
    tensorrt: Callable[[], TensorRt] = load_tensorrt
    cuda: Callable[[], Cuda] = make_cuda
    plans: Callable[[], PlanStore] = lambda: PlanStore(plan_folder())

    def gpu(self) -> Gpu:
        """The GPU.

        Raises:
            EngineError: there is none; the message is the reason alone.
        """
        found = self.probe()
        if found.gpu is None:
            raise EngineError(found.reason)
        return found.gpu


class EnginePlans:
    """The plan of one engine for this machine's GPU and TensorRT: load, build, drop.

    Its methods may be called from any one thread at a time.
    """

    def __init__(self, spec: EngineSpec, stack: GpuStack) -> None:
        self._spec, self._stack = spec, stack
        self._found: tuple[Gpu, TensorRt, PlanStore, PlanKey] | None = None

    def look(self) -> tuple[Gpu, TensorRt, PlanStore, PlanKey]:
        """Look up the parts. The GPU comes first: without one, TensorRT must not be
        loaded.

        Raises:
            EngineError: no GPU, or no TensorRT.
        """
        if self._found is None:
            gpu = self._stack.gpu()
            trt = self._stack.tensorrt()
            spec = self._spec
            key = PlanKey(
                spec.model,
                spec.sha256,
                trt.flavour,
                trt.version,
                gpu.architecture,
                spec.precision,
                spec.size,
            )
            self._found = (gpu, trt, self._stack.plans(), key)
        return self._found

    def load(self) -> bytes | None:
        """Load the plan, if it was built before and is intact.

        Raises:
            EngineError: see `look`.
        """
        _, _, store, key = self.look()
        return store.load(key)

    def build(
        self, on_progress: OnProgress | None = None, cancel: threading.Event | None = None
    ) -> Plan:
        """Build and save the plan.

        Args:
            on_progress: None: report to `logging`.
            cancel: set it to stop early.

        Raises:
            EngineError: see `look`; or building or writing failed, or was cancelled.
        """
        gpu, trt, store, key = self.look()
        tell = on_progress or _tell_tenths(self._spec.name)
        plan = build_plan(
            trt, self._spec.path.name, self._spec.read(), gpu.capability, tell, cancel
        )
        store.save(key, plan.data)
        return plan

    def drop(self) -> None:
        """Delete a plan that did not load."""
        _, _, store, key = self.look()
        store.drop(key)

    def refuse(self, reason: str) -> None:
        """Remember that even a new plan did not load."""
        _, _, store, key = self.look()
        store.refuse(key, reason)

    def why_not(self) -> str:
        """The reason why TensorRT cannot run this engine here, for the user; empty if it can."""
        try:
            _, _, store, key = self.look()
            self._stack.cuda()
        except EngineError as error:
            return str(error)
        reason = store.refusal(key)
        return f"{reason}; `vcam engines build {self._spec.name}` tries again" if reason else ""


def _tell_tenths(engine: str) -> OnProgress:
    told = 0

    def tell(share: float) -> None:
        nonlocal told
        if int(share * 10) > told:
            told = int(share * 10)
            _LOG.info("%s: its plan is built to %d %%", engine, told * 10)

    return tell
