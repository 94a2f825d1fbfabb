"""What the authors of published networks minimise, by the name that a recipe gives.

Sums over pixels go through `processes.summed`, so that several processes minimise what one would; the
Lovász loss sorts the pixels of a batch and is each process's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from export import processes
from export.models.outline import outline
from export.training.losses import IGNORED, consistency_loss, score_of

Objective = Callable[[Tensor, Tensor], Tensor]
"""The loss of logits float [N, K, H, W] for classes int64 [N, H, W], 0 to K - 1 or `IGNORED`; with
K = 1 the classes are 0 and 1."""

_FOCAL_POWER = 2.0
_EDGE_PX = 5
_EDGE_WEIGHT = 0.1
_BAND_WEIGHT = 0.5


def classes_of(target: Tensor, valid: Tensor, person: bool) -> Tensor:
    """int64 [N, H, W] of what a sample holds: uint8 [N, H, W], 0 and 255 of a person, or classes."""
    label = (target > 127).long() if person else target.long()
    return label.masked_fill(valid == 0, IGNORED)


def at_size_of(label: Tensor, logits: Tensor) -> Tensor:
    """Classes [N, H, W] at the size of logits [N, K, h, w], the nearest pixel's each."""
    if label.shape[1:] == logits.shape[2:]:
        return label
    small = functional.interpolate(label[:, None].float(), logits.shape[2:], mode="nearest")
    return small[:, 0].long()


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Mean over all pixels, ignored ones as 0; with one logit the binary one."""
    if logits.shape[1] == 1:
        known = (label != IGNORED).float()
        wanted = (label == 1).float()
        each = functional.binary_cross_entropy_with_logits(logits[:, 0], wanted, reduction="none")
        return _mean(each * known)
    return _mean(functional.cross_entropy(logits, label, ignore_index=IGNORED, reduction="none"))


def each_class_alone(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy of every class against the others; ignored pixels are 0."""
    known = (label != IGNORED).float()[:, None]
    count = logits.shape[1]
    if count == 1:
        return cross_entropy(logits, label)
    wanted = functional.one_hot(label.clamp(max=count - 1), count).movedim(-1, 1).float()
    each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return _mean(each * known)


def lovasz_hinge(logits: Tensor, label: Tensor) -> Tensor:
    """The Lovász extension of 1 - IoU, at the hinge errors of all pixels of the batch that count.

    Berman, Triki, Blaschko, CVPR 2018, arXiv 1705.08790, equations 8 and 12: errors in falling
    order, each weighted by what its pixel adds to the loss of the set of those before.
    """
    known = label != IGNORED
    score, person = score_of(logits)[known], (label == 1)[known].float()
    if not score.numel():
        return logits.sum() * 0
    errors, order = torch.sort(1 - score * (2 * person - 1), descending=True)
    ranked = person[order]
    total = ranked.sum()
    left = total - ranked.cumsum(0)
    either = total + (1 - ranked).cumsum(0)
    jaccard = 1 - left / either
    step = torch.diff(jaccard, prepend=jaccard.new_zeros(1))
    return (torch.relu(errors) * step).sum()


OBJECTIVES: Mapping[str, Objective] = {
    "cross entropy": cross_entropy,
    "each class alone": each_class_alone,
    "lovasz": lovasz_hinge,
    "portraitnet": cross_entropy,
}


def with_band(objective: Objective, logits: Tensor, label: Tensor, side: int) -> Tensor:
    """The loss of all pixels, and half of that of the band along the outline of the person, which a
    square of `side` pixels covers that moves along it.
    """
    label = at_size_of(label, logits)
    near = outline((label == 1).float(), side) > 0
    band = label.masked_fill(~near, IGNORED)
    return objective(logits, label) + _BAND_WEIGHT * objective(logits, band)


def focal_edge(logits: Tensor, label: Tensor) -> Tensor:
    """0.1 times the focal cross-entropy of the outline, four pixels wide: logits float [N, 2, H, W].

    Lin et al., ICCV 2017, arXiv 1708.02002, power 2; no gradient through the factor, as there.
    """
    edge = (outline((label == 1).float(), _EDGE_PX) > 0).long()
    entropy = functional.cross_entropy(logits, edge, reduction="none")
    missed = (1 - torch.exp(-entropy.detach())) ** _FOCAL_POWER
    return _EDGE_WEIGHT * _mean(missed * entropy)


def divergence(logits: Tensor, clean: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the answer to the clean picture, its mean over all numbers;
    no gradient flows to that answer. Both float [N, K, H, W].
    """
    return consistency_loss(logits, clean) / logits.shape[1]


def _mean(each: Tensor) -> Tensor:
    return processes.averaged(each.mean())
