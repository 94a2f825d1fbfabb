from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from export.checkpoints import start_weights
from export.convert import load_network
from export.models import TRAINED, find_model
from export.models.sinet import SINet
from export.models.sinet_wider import widened


@pytest.mark.parametrize("widths", [(96, 192), (48, 192), (96, 96), (144, 192)])
@pytest.mark.parametrize("training", [False, True])
def test_a_wider_network_answers_the_same(network: nn.Module, widths: tuple[int, int], training: bool) -> None:
    narrow, wide = copy.deepcopy(network).train(training), SINet(widths=widths).train(training)
    wide.load_state_dict(widened(network.state_dict(), wide))
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected, actual = narrow(x), wide(x)
    torch.testing.assert_close(actual, expected, atol=1e-3, rtol=1e-4)


def test_copies_of_a_channel_learn_apart(network: nn.Module) -> None:
    wide = SINet(widths=(96, 192))
    wide.load_state_dict(widened(network.state_dict(), wide))
    weight = wide.encoder.get_parameter("level3.1.c1.conv.weight")
    wide(torch.randn(2, 3, 64, 64))[0][:, 1].mean().backward()
    assert weight.grad is not None
    first, second = weight.grad[0::2], weight.grad[1::2]
    assert (first - second).abs().max() > 0.01 * first.abs().max()


def test_weights_that_cannot_be_widened_stay(network: nn.Module) -> None:
    state = network.state_dict()
    for widths in ((48, 96), (48, 100), (24, 48)):
        kept = widened(state, SINet(widths=widths))
        assert all(kept[key] is state[key] for key in state), widths
    assert widened({"stem.weight": torch.zeros(1)}, SINet()).keys() == {"stem.weight"}
    wide = SINet(widths=(96, 192))
    incomplete = {key: value for key, value in state.items() if not key.startswith("encoder.level3.2.")}
    assert widened(incomplete, wide).keys() == incomplete.keys()
    assert all(value is state[key] for key, value in widened(state, SINet(3, (96, 192))).items())


def test_training_starts_from_a_narrower_file_and_conversion_knows_widths(network: nn.Module, tmp_path: Path) -> None:
    narrow, wide = tmp_path / "narrow.safetensors", tmp_path / "wide.safetensors"
    save_file(network.state_dict(), narrow)
    save_file(start_weights(narrow, TRAINED["sinet"].build()), wide)
    spec, loaded = load_network("sinet", wide)
    assert spec == TRAINED["sinet"]
    assert spec.size == (192, 256)
    assert load_network("sinet", narrow)[0] == find_model("sinet")
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = network(spec.normalise(image))
        torch.testing.assert_close(loaded(spec.normalise(image)), expected, atol=1e-3, rtol=1e-4)


def test_a_wider_network_is_folded_like_any(network: nn.Module) -> None:
    spec = replace(TRAINED["sinet"], options=(("widths", (96, 96)),))
    wide = SINet(widths=(96, 96)).eval()
    wide.load_state_dict(widened(network.state_dict(), wide))
    folded = spec.fold(wide, (64, 96))
    assert folded is not None
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        logits = wide(spec.normalise(image))
        expected = logits[:, 1] - logits[:, 0]
        torch.testing.assert_close(folded(image.permute(0, 3, 1, 2).float()), expected, atol=1e-3, rtol=1e-4)
