"""The weights of a SINet as those of a wider one that answers the same, to go on training from.

Net2WiderNet (Chen, Goodfellow, Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016, arXiv
1511.05641): every channel is repeated, and whoever reads it shares its weight out among the copies. Here the shares are
random, so that the copies learn apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from export.models.sinet import SINet

_SEED = 1
_WIDTHS = ("encoder.level2.0.BR.bn.weight", "encoder.level3.0.BR.bn.weight")
_NORM = ("weight", "bias", "running_mean", "running_var")


def widened(weights: Mapping[str, Tensor], network: SINet) -> dict[str, Tensor]:
    """Weights of a narrower SINet, made to fit `network`; weights that cannot be widened so are returned as they are.

    Both widths of `network` must be multiples of those of the narrower one (`SINet`, argument `widths`), which must be
    complete and have as many classes.
    """
    new = tuple(network.get_parameter(key).numel() for key in _WIDTHS)
    old = tuple(weights[key].numel() for key in _WIDTHS if key in weights)
    if len(old) < len(new) or new == old or any(not a or a % 4 or b % a for a, b in zip(old, new, strict=True)):
        return dict(weights)
    with torch.device("meta"):
        narrow = SINet(len(network.bn_3.weight), (old[0], old[1])).state_dict()
    shapes = {key: value.shape for key, value in narrow.items() if value.is_floating_point()}
    if any(key not in weights or weights[key].shape != shape for key, shape in shapes.items()):
        return dict(weights)
    return _Widening(weights, network).run()


def _repeated(old: int, new: int) -> Tensor:
    """The old channel of each new one, int64 [new]; copies lie side by side, so halves and groups stay as they are."""
    return torch.arange(new) * old // new


class _Widening:
    """Fills the tensors of the wider network one by one; a map is the old channel of each new one, int64 [C]."""

    def __init__(self, weights: Mapping[str, Tensor], network: SINet) -> None:
        self._old = weights
        self._new = {key: value.clone() for key, value in network.state_dict().items()}
        self._random = torch.Generator().manual_seed(_SEED)

    def run(self) -> dict[str, Tensor]:
        for key, value in self._old.items():
            if key in self._new and self._new[key].shape == value.shape:
                self._new[key] = value.float()
        fine = self._stage("encoder.level2", torch.arange(16))
        both = torch.cat([torch.arange(16), 16 + fine])
        self._norm_act("encoder.BR2", both)
        self._down("encoder.level3_0", both)
        coarse = self._stage("encoder.level3", torch.arange(48))
        both = torch.cat([torch.arange(48), 48 + coarse])
        self._norm_act("encoder.BR3", both)
        self._dense("encoder.classifier.conv.weight", None, both)
        self._dense("level2_C.conv.weight", None, fine)
        return self._new

    def _stage(self, name: str, channels: Tensor) -> Tensor:
        count = len({key.split(".")[2] for key in self._new if key.startswith(f"{name}.")})
        for index in range(count):
            channels = self._module(f"{name}.{index}", channels)
        return channels

    def _module(self, name: str, channels: Tensor) -> Tensor:
        """`_S2Module`: the map of its output, from that of its input."""
        old, new = (len(x[f"{name}.c1.conv.weight"]) for x in (self._old, self._new))
        half = _repeated(old, new)
        for group, (inputs, outputs) in enumerate(zip(channels.chunk(2), half.chunk(2), strict=True)):
            rows = slice(group * new // 2, (group + 1) * new // 2)
            first = group * self._old[f"{name}.c1.conv.weight"].shape[1]
            self._dense(f"{name}.c1.conv.weight", outputs, inputs - first, rows)
        before = torch.arange(new).view(2, -1).T.flatten()  # the channel before the shuffle at each place behind it
        place = torch.arange(old).view(-1, 2).T.flatten()  # the place behind the shuffle of each channel before it
        shuffled = place[half[before]]
        for branch in (f"{name}.d1", f"{name}.d2"):
            self._take(f"{branch}.conv.0.weight", shuffled)
            self._norm(f"{branch}.conv.1", shuffled)
            self._take(f"{branch}.act_conv1x1.0.weight", shuffled)
            self._dense(f"{branch}.act_conv1x1.1.weight", half, shuffled)
            self._norm(f"{branch}.bn", half)
        both = torch.cat([half, old + half])
        self._norm_act(f"{name}.BR", both)
        return both

    def _down(self, name: str, channels: Tensor) -> None:
        """`_SeparableDown` with a squeeze: its gate's two layers, their activations, and the convolutions around."""
        self._take(f"{name}.conv.0.weight", channels)
        old, new = (len(x[f"{name}.conv.1.dense.0.weight"]) for x in (self._old, self._new))
        hidden = torch.arange(new) % old
        for layer, (outputs, inputs) in ((0, (hidden, channels)), (2, (channels, hidden))):
            self._dense(f"{name}.conv.1.dense.{layer}.weight", outputs, inputs)
            self._take(f"{name}.conv.1.dense.{layer}.bias", outputs)
            self._take(f"{name}.conv.1.dense.{layer + 1}.weight", outputs)
        self._dense(f"{name}.conv.2.weight", None, channels)

    def _norm_act(self, name: str, channels: Tensor) -> None:
        self._norm(f"{name}.bn", channels)
        self._take(f"{name}.act.weight", channels)

    def _norm(self, name: str, channels: Tensor) -> None:
        for part in _NORM:
            self._take(f"{name}.{part}", channels)

    def _take(self, key: str, channels: Tensor) -> None:
        self._new[key] = self._old[key].float()[channels]

    def _dense(self, key: str, outputs: Tensor | None, inputs: Tensor, rows: slice = slice(None)) -> None:
        """Rows of a weight [O, I, ...] that reads the channels `inputs`; outputs: None where their number stays."""
        weight = self._old[key].float()
        chosen = weight[:, inputs] if outputs is None else weight[outputs][:, inputs]
        share = 0.5 + torch.rand(chosen.shape[:2], generator=self._random)
        total = torch.zeros(len(share), weight.shape[1]).index_add_(1, inputs, share)
        share = share / total[:, inputs]
        self._new[key][rows] = chosen * share.view(*share.shape, *[1] * (weight.ndim - 2))
