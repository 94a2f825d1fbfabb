from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from export.data.files import read_image
from export.errors import ExportError
from export.models.selfie import Selfie, from_published
from export.weights.files import read_weights
from export.weights.tflite import parse_tflite, read_tflite
from tests.data import SHARED, why_absent

pytestmark = pytest.mark.slow

_FILES = ("selfie_segmentation_landscape.tflite", "selfie_segmentation.tflite")


def _published(name: str) -> Path:
    path = SHARED / "data" / "teachers" / name
    if not path.is_file():
        pytest.skip(why_absent(path))
    return path


@pytest.mark.parametrize("name", _FILES)
def test_the_published_weights_answer_as_in_their_own_runtime(name: str) -> None:
    """LiteRT's kernels are themselves up to 4e-5 off from the same sums in float64."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="no ai-edge-litert")
    path = _published(name)
    network = Selfie().eval()
    network.load_state_dict(read_weights(path))
    interpreter = litert.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    image, share = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    height, width = (int(x) for x in image["shape"][1:3])
    photos = sorted((SHARED / "data/person/webcam_people/images").glob("*.jpg"))[:24:3]
    assert len(photos) == 8
    for photo in photos:
        picture = cv2.resize(read_image(photo), (width, height))
        pixels = picture.astype(np.float32)[None] / 255
        interpreter.set_tensor(image["index"], pixels)
        interpreter.invoke()
        wanted = interpreter.get_tensor(share["index"])[0, ..., 0]
        with torch.no_grad():
            found = torch.sigmoid(network(torch.from_numpy(pixels).permute(0, 3, 1, 2)))[0, 0]
        np.testing.assert_allclose(found.numpy(), wanted, atol=1.2e-4)


def test_a_damaged_file_is_one_clear_line() -> None:
    data = _published(_FILES[0]).read_bytes()
    rng = np.random.default_rng(5)
    refused: list[str] = []
    for _ in range(300):
        spoilt = bytearray(data)
        start = int(rng.choice([0, 8, len(data) - 40_000])) + int(rng.integers(39_000))
        for place in rng.integers(start, min(start + 400, len(data)), 12):
            spoilt[place] = int(rng.integers(256))
        cut = bytes(spoilt[: int(rng.integers(16, len(data)))] if rng.random() < 0.3 else spoilt)
        try:
            state = from_published(parse_tflite(cut, "model.tflite"), "model.tflite")
        except ExportError as error:
            refused.append(str(error))
        else:
            assert len(state) == len(Selfie().state_dict())
    assert len(refused) > 30
    assert all(x.startswith("model.tflite: ") and "\n" not in x for x in refused)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x00\x00\x00\x00TFL3" + bytes(64))
    with pytest.raises(ExportError, match=r"model.tflite: "):
        read_weights(path)
    path.write_bytes(b"no flatbuffer at all")
    with pytest.raises(ExportError, match=r"not a TensorFlow Lite model"):
        read_tflite(path)
