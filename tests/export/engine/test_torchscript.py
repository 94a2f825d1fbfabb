from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from export.engine.convert import load_network
from export.engine.torchscript import ScriptConfig, write_script
from export.errors import ExportError
from export.models import find_model
from export.onnx.graph import torch_engine

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


@pytest.mark.parametrize("model", ["extremec3", "fastscnn", "portraitnet_prior"])
@pytest.mark.slow
def test_torchscript_answers_as_torch(tmp_path: Path, model: str) -> None:
    """Also at another size than that with which it was traced."""
    torch.manual_seed(1)
    save_file(find_model(model).build().state_dict(), tmp_path / "w.safetensors")
    options = {"preset": "easyportrait_v2"} if model == "fastscnn" else {}
    config = ScriptConfig(
        model, tmp_path / "w.safetensors", tmp_path / "w.pt", size=(64, 96), **options
    )
    (line,) = write_script(config)
    assert "any size in steps of 32" in line
    extra = {"engine.json": ""}
    loaded = torch.jit.load(tmp_path / "w.pt", _extra_files=extra)  # type: ignore[no-untyped-call]
    about = json.loads(extra["engine.json"])
    assert about["any_size"]
    spec, network = load_network(model, config.checkpoint, config.preset)
    assert about["classes"] == list(spec.classes)
    size = (128, 64)
    image = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8)
    state = (torch.rand(1, 1, *size),) if spec.memory else ()
    with torch.no_grad():
        wanted, found = torch_engine(network, spec)(image, *state), loaded(image, *state)
    if spec.memory:
        torch.testing.assert_close(found[1], wanted[1], atol=1e-5, rtol=0)
        wanted, found = wanted[0], found[0]
    assert found.dtype == torch.uint8
    assert int((wanted.int() - found.int()).abs().max()) <= 1


def test_a_size_that_does_not_fit(tmp_path: Path) -> None:
    save_file(find_model("extremec3").build().state_dict(), tmp_path / "w.safetensors")
    config = ScriptConfig("extremec3", tmp_path / "w.safetensors", tmp_path / "w.pt", size=(50, 64))
    with pytest.raises(ExportError, match="must be multiples of 32"):
        write_script(config)
    assert not (tmp_path / "w.pt").exists()
