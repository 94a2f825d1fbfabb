"""What training minimises; in several processes, over the pictures of all of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from export import processes
from export.models import ModelSpec
from export.models.outline import outline

IGNORED = 255
"""The class of pixels that `face_loss` leaves out."""
_FACE_WEIGHTS = (1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 2.0, 4.0)
"""Cross-entropy weight of each class of a face; small parts weigh more."""
_PARTS = slice(3, 9)
_EXTRA_WEIGHT = 0.3


def score_of(logits: Tensor) -> Tensor:
    """Person minus room, float [N, H, W], of the one or two logits of a person network, float
    [N, 1 or 2, H, W].
    """
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]


def person_loss(logits: Tensor, alpha: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy, three times as heavy within about three pixels of the outline, plus soft dice.

    logits float [N, 1 or 2, H, W], alpha float [N, H, W] 0..1, valid float [N, H, W] 0 or 1.
    """
    score = score_of(logits)
    entropy = functional.binary_cross_entropy_with_logits(score, alpha, reduction="none")
    weight = (1 + 2 * outline(alpha, 7)) * valid
    fine = _share((entropy * weight).sum(), weight.sum())
    share = torch.sigmoid(score) * valid
    target = alpha * valid
    overlap = (2 * (share * target).sum((1, 2)) + 100) / (
        share.sum((1, 2)) + target.sum((1, 2)) + 100
    )
    return fine + processes.averaged((1 - overlap).mean())


def consistency_loss(logits: Tensor, clean: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the answer for a spoilt picture from that for the clean one (PortraitNet, 3.4).

    Both float [N, K, H, W]; no gradient flows to `clean`.
    """
    wanted = torch.log_softmax(clean.detach(), dim=1)
    divergence = functional.kl_div(
        torch.log_softmax(logits, dim=1), wanted, log_target=True, reduction="none"
    )
    return processes.averaged(divergence.sum(1).mean())


def face_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Weighted cross-entropy, plus soft dice of each small part over the batch.

    logits float [N, 9, H, W]; label int64 [N, H, W], 0..8 or `IGNORED`.
    """
    weights = logits.new_tensor(_FACE_WEIGHTS)
    entropy = functional.cross_entropy(
        logits, label, weights, ignore_index=IGNORED, reduction="sum"
    )
    counted = weights[label.clamp(max=logits.shape[1] - 1)] * (label != IGNORED)
    entropy = _share(entropy, counted.sum())
    known = (label != IGNORED)[:, None]
    share = (torch.softmax(logits, dim=1) * known)[:, _PARTS]
    target = functional.one_hot(label.clamp(max=logits.shape[1] - 1), logits.shape[1]).permute(
        0, 3, 1, 2
    )
    target = (target * known)[:, _PARTS]
    both, either = (processes.summed(x.sum((0, 2, 3))) for x in (share * target, share + target))
    return entropy + (1 - (2 * both + 10) / (either + 10)).mean()


def teacher_loss(logits: Tensor, alpha: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy against a teacher's soft answer where no label is valid: real labels override it.

    logits float [N, 2, h, w], alpha float [N, H, W] 0..1, valid float [N, H, W] 0 or 1; the share of unlabelled pixels
    is the weight.
    """
    logits = resized(logits, alpha.shape[1:])
    entropy = functional.binary_cross_entropy_with_logits(score_of(logits), alpha, reduction="none")
    return processes.averaged((entropy * (1 - valid)).mean())


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Part / whole of all processes; a whole below 1 counts as 1."""
    return processes.summed(part) / processes.summed(whole).clamp(min=1)


def logits_of(answer: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """The logits of a network's answer in training mode, with or without a second head's."""
    return answer[0] if isinstance(answer, tuple) else answer


def resized(planes: Tensor, size: torch.Size | tuple[int, ...]) -> Tensor:
    """Stretch float [N, C, h, w] to `size` (height, width) bilinearly; of that size they stay as they are."""
    if planes.shape[2:] == torch.Size(size):
        return planes
    return functional.interpolate(planes, list(size), mode="bilinear", align_corners=False)


def total_loss(
    spec: ModelSpec, answer: Tensor | tuple[Tensor, Tensor], label: Tensor, valid: Tensor
) -> Tensor:
    """The whole loss of a network's answer in training mode.

    answer: logits float [N, K, h, w], alone or with what `ModelSpec.extra_loss` takes. label: uint8
    [N, H, W], alpha 0..255 of a person network, the class of a face network. valid: uint8 [N, H, W] 0 or 1.
    """
    logits, extra = answer if isinstance(answer, tuple) else (answer, None)
    logits = resized(logits, label.shape[1:])
    if spec.task == "face":
        return face_loss(logits, label.long().masked_fill(valid == 0, IGNORED))
    alpha, counts = label.float() / 255, valid.float()
    loss = person_loss(logits, alpha, counts)
    if extra is not None and spec.extra_loss is not None:
        loss = loss + _EXTRA_WEIGHT * spec.extra_loss(extra, alpha, counts)
    return loss
