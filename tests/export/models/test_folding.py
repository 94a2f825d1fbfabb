from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from export.models import Pixels, find_model
from export.models.folding import EnlargeConv, Slopes
from export.models.sinet import SINet
from export.onnx.graph import ScoreNetwork


def test_slopes_are_prelu_of_every_slope() -> None:
    slope = torch.tensor([-0.7, 0.0, 0.25, 1.0, 1.6])
    scale, shift = (
        torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0]),
        torch.tensor([0.1, -0.2, 0.3, 0.0, 1.0]),
    )
    x = torch.randn(1, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    expected = functional.prelu(x * scale[:, None, None] + shift[:, None, None], slope)
    slopes = Slopes(slope, scale, shift)
    assert slopes.flip.tolist() == [1, 1, 1, 1, -1]
    torch.testing.assert_close(slopes(x) * slopes.flip[:, None, None], expected)


@pytest.mark.parametrize("size", [(32, 64), (96, 32)])
def test_enlarge_conv_is_two_enlargements_and_a_convolution(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    kernel, x = (
        torch.randn(2, 3, 3, generator=generator),
        torch.randn(1, 2, size[0] // 4, size[1] // 4, generator=generator),
    )
    kernel, x = kernel.double(), x.double()
    scale, shift = torch.tensor([[0.5, -2.0], [1.0, 0.3]]).double()
    y = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    y = y * scale[:, None, None] + shift[:, None, None]
    y = functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
    expected = functional.conv2d(y, kernel[None], padding=1)[:, 0]
    torch.testing.assert_close(EnlargeConv(kernel, scale, shift, size)(x), expected)


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
def test_folded_sinet_is_sinet(network: nn.Module, bgr: bool, size: tuple[int, int]) -> None:
    spec = replace(
        find_model("sinet"), pixels=Pixels((90.0, 120.0, 140.0), (50.0, 60.0, 70.0), bgr)
    )
    image = torch.randint(
        0, 256, (1, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
    )
    assert isinstance(network, SINet)
    folded = network.folded(spec.pixels, size)
    with torch.no_grad():
        expected = ScoreNetwork(network, spec)(image)
        actual = folded(image.permute(0, 3, 1, 2).float())
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)
