"""Training in several processes, as `torchrun` starts them; alone everything here does nothing.

Losses are the same as in one process: sums over the pictures of a batch go through `summed`, which
adds up the processes' shares, so that weighting by the number of pixels stays exact.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from export.errors import ExportError


@contextmanager
def processes() -> Iterator[None]:
    """Join the other processes of this run, if `torchrun` started any, for the length of the block.

    Raises:
        ExportError: they cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    try:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ExportError(f"torchrun: the processes cannot be joined ({reason})") from error
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def place() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this one writes files and says how far the run is."""
    return place() == 0


def device() -> torch.device:
    """The GPU of this process, if there are GPUs; else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if not dist.is_initialized():
        return torch.device("cuda")
    index = int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def wait() -> None:
    """Until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def summed(x: Tensor) -> Tensor:
    """The sum over all processes; gradients flow back to each one's share."""
    return all_reduce(x) if dist.is_initialized() else x  # type: ignore[no-untyped-call]


def averaged(x: Tensor) -> Tensor:
    """The mean over all processes, each with the same number of pictures; as `summed`."""
    return summed(x) / count()


class _SyncedNorm(nn.BatchNorm2d):
    """Batch normalisation over the pictures of all processes, on a CPU; the same parameters."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        axes, momentum = (0, 2, 3), self.momentum
        assert momentum is not None
        mean = averaged(x.mean(axes))
        variance = averaged(((x - mean.view(1, -1, 1, 1)) ** 2).mean(axes))
        if self.running_mean is not None and self.running_var is not None:
            places = x.numel() / x.shape[1] * count()
            with torch.no_grad():
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * places / max(1.0, places - 1), momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return x * scale.view(1, -1, 1, 1) + (self.bias - mean * scale).view(1, -1, 1, 1)


def synced(network: nn.Module, where: torch.device) -> nn.Module:
    """The network with batch normalisation over all processes; alone it stays as it is.

    On a GPU that is torch's SyncBatchNorm, which a CPU has not.
    """
    if count() == 1:
        return network
    if where.type == "cuda":
        made: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return made
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _SyncedNorm
    return network
