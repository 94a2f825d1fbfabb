from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.models import TRAINED
from export.models.outline import outline
from export.models.portraitnet import boundary_loss
from export.models.sinet import coarse_loss
from export.training.losses import (
    IGNORED,
    consistency_loss,
    face_loss,
    logits_of,
    person_loss,
    teacher_loss,
    total_loss,
)

pytestmark = pytest.mark.slow


def _square() -> tuple[Tensor, Tensor]:
    """Alpha with a square person [1, 16, 16], and confident logits that agree [1, 2, 16, 16]."""
    alpha = torch.zeros(1, 16, 16)
    alpha[:, 4:12, 4:12] = 1
    return alpha, torch.stack([1 - alpha, alpha], dim=1) * 8


def test_person_loss_prefers_the_right_answer() -> None:
    alpha, right = _square()
    valid = torch.ones_like(alpha)
    assert person_loss(right, alpha, valid) < person_loss(right.flip(1), alpha, valid)


def test_person_loss_ignores_pixels() -> None:
    logits = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    alpha, valid = torch.zeros(1, 16, 16), torch.ones(1, 16, 16)
    valid[:, :, 8:] = 0
    changed = logits.clone()
    changed[..., 8:] = 50
    torch.testing.assert_close(
        person_loss(logits, alpha, valid), person_loss(changed, alpha, valid)
    )


def test_an_error_at_the_outline_costs_more() -> None:
    alpha, right = _square()
    valid = torch.ones_like(alpha)
    inside, outline = right.clone(), right.clone()
    inside[:, :, 7:9, 7:9] = inside.flip(1)[:, :, 7:9, 7:9]
    outline[:, :, 4:6, 4:6] = outline.flip(1)[:, :, 4:6, 4:6]
    assert person_loss(outline, alpha, valid) > person_loss(inside, alpha, valid)


def test_outline_is_where_alpha_changes() -> None:
    alpha, _ = _square()
    edge = outline(alpha, 3)
    assert edge[0, 4, 8] == edge[0, 3, 8] == 1
    assert edge[0, 8, 8] == edge[0, 0, 0] == edge[0, 2, 8] == 0


def test_boundary_loss_prefers_the_outline() -> None:
    alpha, _ = _square()
    valid, edge = torch.ones_like(alpha), (outline(alpha, 5) > 0.5).float()
    right = torch.stack([1 - edge, edge], dim=1) * 8
    assert boundary_loss(right, alpha, valid) < 0.01 < boundary_loss(right.flip(1), alpha, valid)


def test_consistency_is_zero_for_the_same_answer() -> None:
    _, logits = _square()
    assert consistency_loss(logits, logits).item() == pytest.approx(0, abs=1e-6)
    assert consistency_loss(logits.flip(1), logits) > 1


def test_teacher_of_another_size() -> None:
    alpha, logits = _square()
    large = alpha.repeat_interleave(2, 1).repeat_interleave(2, 2)
    unlabelled = torch.zeros_like(large)
    assert teacher_loss(logits, large, unlabelled) < teacher_loss(logits.flip(1), large, unlabelled)


def test_labels_override_a_teacher() -> None:
    alpha, logits = _square()
    labelled = torch.ones_like(alpha)
    assert teacher_loss(logits.flip(1), alpha, labelled).item() == 0
    labelled[:, :, 8:] = 0
    assert teacher_loss(logits.flip(1), alpha, labelled).item() > 0


def test_ignored_pixels_teach_nothing() -> None:
    """Neither SINet's coarse answer nor the outline may learn that a person ends where nobody has
    looked.
    """
    alpha, _ = _square()
    valid = torch.ones_like(alpha)
    valid[:, :, 8:] = 0
    hidden = alpha * valid
    coarse = torch.stack([-alpha, alpha], dim=1) * 8
    assert coarse_loss(coarse, hidden, valid).item() == pytest.approx(
        coarse_loss(coarse, alpha, valid).item()
    )
    assert coarse_loss(coarse.flip(1), hidden, torch.zeros_like(valid)).item() == 0
    edge = (outline(alpha, 5) > 0.5).float()
    true_edge = torch.stack([1 - edge, edge], dim=1) * 8
    assert boundary_loss(true_edge, hidden, valid) < 0.01


def test_face_loss() -> None:
    label = torch.ones(1, 16, 16, dtype=torch.int64)
    label[:, 2:4, 2:4] = 8
    right = torch.nn.functional.one_hot(label, 9).permute(0, 3, 1, 2).float() * 9
    no_teeth, no_person = right.clone(), right.clone()
    no_teeth[:, :, 2:4, 2:4] = right[:, :, :2, :2]
    no_person[:, :, 8:10, 8:10] = right.roll(-1, 1)[:, :, 8:10, 8:10]  # as many pixels
    assert face_loss(right, label) < face_loss(no_person, label) < face_loss(no_teeth, label)
    hidden = label.clone()
    hidden[:, 2:4, 2:4] = IGNORED
    torch.testing.assert_close(face_loss(right, hidden), face_loss(no_teeth, hidden))


@pytest.mark.parametrize(
    "name", sorted(TRAINED.keys() - {"fcn8s", "segformer_b5"})
)  # that one alone takes gigabytes
def test_loss_of_every_network(name: str) -> None:
    spec = TRAINED[name]
    network = spec.build().train()
    size = (max(64, spec.smallest),) * 2
    channels = 4 if spec.memory else 3
    answer = network(torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(0)))
    label = torch.zeros(2, *size, dtype=torch.uint8)
    label[:, 16:48, 16:48] = 8 if spec.task == "face" else 255
    loss = total_loss(spec, answer, label, torch.ones_like(label))
    loss.backward()  # type: ignore[no-untyped-call]
    outputs = dict(spec.options).get(
        "classes", len(spec.classes)
    )  # a single logit stands for two classes
    assert logits_of(answer).shape[1] == outputs
    assert all(x.grad is not None for x in network.parameters())
