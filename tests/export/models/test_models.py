from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.engine.convert import load_network
from export.errors import ExportError
from export.models import MODELS, ModelSpec, find_model
from export.models.easyportrait import CLASS_NAMES
from export.models.portraitnet import PortraitNet
from export.onnx.graph import ScoreNetwork


def _load(
    reference: Path, model: str, file: str, answers: str
) -> tuple[ModelSpec, nn.Module, dict[str, NDArray[np.float32]]]:
    spec, network = load_network(model, reference / file)
    return spec, network, dict(np.load(reference / f"{answers}.npz"))


def _run(network: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        y: Tensor = network(torch.from_numpy(x))
    answer: NDArray[np.float32] = y.numpy()
    return answer


def test_extremec3_answers_like_the_authors_code(reference: Path) -> None:
    """Its logits reach 45; processors differ by 2e-4 in them."""
    spec, network, expected = _load(reference, "extremec3", "ExtremeC3.pth", "extremec3")
    image = torch.from_numpy(expected["image_bgr"][None, :, :, ::-1].copy())
    np.testing.assert_allclose(_run(network, expected["input"]), expected["logits"], atol=1e-3)
    on_image = _run(network, spec.normalise(image).numpy())
    np.testing.assert_allclose(on_image, expected["image_logits"], atol=1e-3)
    with torch.no_grad():
        score = ScoreNetwork(network, spec)(image).numpy()
    np.testing.assert_allclose(score, expected["image_logits"][:, 0] * spec.gain, atol=1e-3)


def test_portraitnet_answers_like_the_authors_code(reference: Path) -> None:
    spec, network, expected = _load(
        reference, "portraitnet", "portraitnet_edge.pth.tar", "portraitnet_edge"
    )
    assert dict(spec.options) == {"edge": True}
    assert isinstance(network, PortraitNet)
    np.testing.assert_allclose(_run(network, expected["input"]), expected["logits"], atol=1e-4)
    assert network.edge is not None
    with torch.no_grad():
        edge = network.edge(network.features(torch.from_numpy(expected["input"]))).numpy()
    np.testing.assert_allclose(edge, expected["edge_logits"], atol=1e-4)


@pytest.mark.parametrize("model", ["portraitnet", "portraitnet_prior"])
def test_portraitnet_with_a_prior_answers_like_the_authors_code(
    reference: Path, model: str
) -> None:
    spec, network, expected = _load(
        reference, model, "portraitnet_prior.pth.tar", "portraitnet_prior"
    )
    assert (spec.name, spec.memory) == (model, True)
    np.testing.assert_allclose(_run(network, expected["input"]), expected["logits"], atol=1e-4)


@pytest.mark.parametrize(("name", "classes"), [("segformer_b0_fp", 8), ("segformer_b0_v1", 9)])
def test_segformer_answers_like_the_authors_code(reference: Path, name: str, classes: int) -> None:
    spec, network, expected = _load(reference, "segformer_b0", f"{name}.pth", name)
    assert spec.classes == CLASS_NAMES[classes]
    assert spec.task == "face"
    np.testing.assert_allclose(
        _run(network, expected["input"]), expected["logits_quarter"], atol=1e-4
    )


def test_boundary_is_for_training_only() -> None:
    network = PortraitNet(edge=True)
    x = torch.zeros(2, 3, 32, 32)
    logits, edge = network(x)
    assert (logits.shape, edge.shape) == ((2, 2, 32, 32), (2, 2, 32, 32))
    assert network.eval()(x).shape == (2, 2, 32, 32)
    assert PortraitNet()(x).shape == (2, 2, 32, 32)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("sinet", 0.087),
        ("extremec3", 0.038),
        ("portraitnet", 2.1),
        ("segformer_b0", 3.7),
        ("segformer_b2", 24.7),
        ("segformer_b5", 82.0),
    ],
)
def test_size_of_the_networks(name: str, parameters: float) -> None:
    """Millions; SegFormer's paper has 3.8, 27.5 and 84.7, with a decoder of 768 channels in the
    larger two.
    """
    with torch.device("meta"):
        network = find_model(name).build()
    assert sum(x.numel() for x in network.parameters()) / 1e6 == pytest.approx(parameters, rel=0.02)


def test_normalisations() -> None:
    """Of one colour, as each authors' files say it."""
    image = torch.tensor([10, 100, 200], dtype=torch.uint8).view(1, 1, 1, 3)
    red, green, blue = 10, 100, 200
    expected = {
        "extremec3": [
            (blue - 107.304565) / 63.97182 / 255,
            (green - 115.69884) / 65.1337 / 255,
            (red - 132.35703) / 68.29726 / 255,
        ],
        "portraitnet": [(blue - 103.94) * 0.017, (green - 116.78) * 0.017, (red - 123.68) * 0.017],
        "segformer_b0": [
            (red - 143.55267075) / 60.2625333,
            (green - 132.96705975) / 60.32740275,
            (blue - 126.94924335) / 59.30988645,
        ],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(
            find_model(name).normalise(image).flatten().numpy(), values, rtol=1e-5
        )


def test_a_margin_of_one_is_certain() -> None:
    """A Lovász hinge loss asks for no more; a plain sigmoid would leave a quarter of the room in
    the picture.
    """
    score = MODELS["extremec3"].score(torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2))
    alpha = (torch.sigmoid(score) * 255).round().flatten().tolist()
    assert alpha == [1.0, 254.0]


def test_published_weights_of_another_network(reference: Path) -> None:
    with pytest.raises(
        ExportError, match="the published weights of sinet, not of extremec3; convert sinet"
    ):
        load_network("extremec3", reference / "SINet.pth")
