from __future__ import annotations

import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from export.engine.card_training import sets_of
from export.engine.convert import CHECKPOINTS
from export.errors import ExportError
from export.models import PRESETS, find_model
from export.weights.files import preset_of, read_checkpoint, write_half
from export.weights.record import record_of, samples_seen

_SPEC = find_model("sinet")


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def _same(path: Path, network: nn.Module, atol: float = 0.0) -> None:
    state = read_checkpoint(path, _SPEC)
    assert list(state) == list(network.state_dict())
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(state[key], value, atol=atol, rtol=atol)


def test_published_weights_answer_like_the_authors_code(reference: Path) -> None:
    path = reference / "SINet.pth"
    name = preset_of(path)
    assert name == "clovaai"
    spec = PRESETS[name].applied(find_model("sinet"))
    network = spec.build().eval()
    network.load_state_dict(read_checkpoint(path, spec))
    expected = np.load(reference / "sinet.npz")
    image = torch.from_numpy(expected["image_bgr"][None, :, :, ::-1].copy())
    with torch.no_grad():
        on_image = network(spec.normalise(image)).numpy()
        on_input = network(torch.from_numpy(expected["input"])).numpy()
    np.testing.assert_allclose(on_image, expected["image_logits"], atol=1e-4)
    np.testing.assert_allclose(
        on_input, expected["logits"], atol=1e-6 * np.abs(expected["logits"]).max()
    )


def test_safetensors_without_counters(tmp_path: Path, network: nn.Module) -> None:
    save_file(
        {k: v for k, v in _weights(network).items() if v.is_floating_point()},
        tmp_path / "w.safetensors",
    )
    _same(tmp_path / "w.safetensors", network)


def test_half_precision(tmp_path: Path, network: nn.Module) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in _weights(network).items()}
    save_file(halves, tmp_path / "w.safetensors")
    _same(tmp_path / "w.safetensors", network, atol=1e-3)


@pytest.mark.parametrize("wrapper", ["state_dict", "average", None])
def test_torch_layouts(tmp_path: Path, network: nn.Module, wrapper: str | None) -> None:
    weights: dict[str, Any] = {f"module.{key}": value for key, value in _weights(network).items()}
    broken = {key: torch.zeros_like(value) for key, value in _weights(network).items()}
    stored = {"epoch": 3, "network": broken, wrapper: weights} if wrapper else weights
    torch.save(stored, tmp_path / "w.pth")
    _same(tmp_path / "w.pth", network)


def _refused(path: Path, message: str) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        read_checkpoint(path, _SPEC)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_absent(tmp_path: Path) -> None:
    _refused(tmp_path / "none.pth", "cannot be read")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_not_even_a_checkpoint(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    _refused(tmp_path / name, message)


@pytest.mark.parametrize("content", [b"", b"\x00\x01 nothing"])
def test_noise(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    _refused(tmp_path / "w.pth", "not a torch checkpoint")
    (tmp_path / "w.safetensors").write_bytes(content)
    _refused(tmp_path / "w.safetensors", "not a complete safetensors file")


def test_truncated(tmp_path: Path, network: nn.Module) -> None:
    torch.save(_weights(network), tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:5000])
    _refused(tmp_path / "w.pth", "damaged or not a torch checkpoint")
    save_file(_weights(network), tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:-100])
    _refused(tmp_path / "w.safetensors", "not a complete safetensors file")


class _Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str, int]]:
        return os.mkdir, ("exploded", 0o700)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_that_runs_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    if zipped:
        torch.save({"state_dict": _Bomb()}, path)
    else:
        path.write_bytes(pickle.dumps({"state_dict": _Bomb()}, protocol=2))
    _refused(path, r"would run code when loaded \(\w+\.mkdir\)")
    assert not (tmp_path / "exploded").exists()


def test_wrong_network(tmp_path: Path, network: nn.Module) -> None:
    save_file({f"stem.{index}": torch.zeros(2) for index in range(5)}, tmp_path / "w.safetensors")
    _refused(
        tmp_path / "w.safetensors",
        r"not the weights of sinet: \d+ missing \(.+, \.\.\.\); 5 unknown \(stem\.0, ",
    )
    weights = _weights(network) | {"bn_2.weight": torch.zeros(9)}
    torch.save(weights, tmp_path / "w.pth")
    _refused(tmp_path / "w.pth", re.escape("1 of another shape (bn_2.weight (9,) instead of (2,))"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("portraitnet_edge.pth.tar", "portraitnet"),
        ("portraitnet_prior.pth.tar", "portraitnet_prior"),
        ("segformer_b0_fp.pth", "segformer_b0"),
        ("ExtremeC3.pth", "extremec3"),
    ],
)
def test_another_networks_file(reference: Path, name: str, told: str) -> None:
    _refused(reference / name, f"not the weights of sinet but of {told}: ")


def test_file_from_before_zip(tmp_path: Path, network: nn.Module) -> None:
    state = {f"module.{key}": value for key, value in _weights(network).items()}
    torch.save(
        {"epoch": 1, "state_dict": state},
        tmp_path / "w.pth.tar",
        _use_new_zipfile_serialization=False,
    )
    _same(tmp_path / "w.pth.tar", network)


def test_loss_of_python_2_beside_the_weights(tmp_path: Path, network: nn.Module) -> None:
    """A NumPy scalar, whose bytes are a string that is not UTF-8, as old training scripts left
    them.
    """
    dtype = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"  # noqa: E501
    scalar = (
        b"cnumpy.core.multiarray\nscalar\n"
        + dtype
        + b"U\x08"
        + struct.pack("<d", 0.0695)
        + b"\x86R"
    )
    torch.save({"minLoss": 0.5, "state_dict": _weights(network)}, tmp_path / "new.pth")
    with (
        zipfile.ZipFile(tmp_path / "new.pth") as new,
        zipfile.ZipFile(tmp_path / "old.pth", "w") as old,
    ):
        for item in new.infolist():
            old.writestr(item, new.read(item).replace(b"G" + struct.pack(">d", 0.5), scalar))
    _same(tmp_path / "old.pth", network)


def test_not_finite(tmp_path: Path, network: nn.Module) -> None:
    torch.save(
        _weights(network) | {"bn_2.bias": torch.tensor([0.0, float("nan")])}, tmp_path / "w.pth"
    )
    _refused(tmp_path / "w.pth", "1 weights are not finite")


@pytest.mark.parametrize(
    ("stored", "message"), [([1, 2], "holds a list"), ({"epoch": 3}, "holds no weights")]
)
def test_no_weights(tmp_path: Path, stored: Any, message: str) -> None:
    torch.save(stored, tmp_path / "w.pth")
    _refused(tmp_path / "w.pth", message)


@pytest.mark.parametrize("name", ["sinet", "portraitnet_lite", "portraitnet_face", "segformer_b0"])
def test_the_kept_weights_know_their_training(name: str) -> None:
    record = record_of(CHECKPOINTS / f"{find_model(name).engine_name}.safetensors")
    assert record is not None
    assert record.settings.model == name
    assert sets_of(record)
    assert samples_seen(record) > 10_000


def test_numbers_that_are_not_there_are_not_made(tmp_path: Path) -> None:
    """A view with stride 0 claims a terabyte of one number; networks are built to fit a file."""
    path = tmp_path / "wide.pth"
    torch.save({"decode_head.conv_seg.weight": torch.zeros(1).expand(2**30, 256, 1, 1)}, path)
    assert path.stat().st_size < 10_000
    with pytest.raises(ExportError, match="claims more numbers than the file holds"):
        read_checkpoint(path, _SPEC)


def _zipped(path: Path, pickled: bytes, **parts: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {"data.pkl": pickled, "version": b"3\n", **parts}.items():
            file.writestr(f"w/{name}", content)


_TEXT = b"\x80\x02X" + struct.pack("<I", 2**30) + b"a" * 2**30 + b"."
_BYTEARRAY = b"cbuiltins\nbytearray\n\x8a\x05" + (10**10).to_bytes(5, "little") + b"\x85R."
_BEFORE_ZIP = b"".join(
    pickle.dumps(x, protocol=2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux")
@pytest.mark.parametrize("kind", ["text", "lists", "bytearray", "bytearray before zip", "zeros"])
def test_a_small_file_that_unfolds_to_much_takes_little_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bomb.pth"
    if kind == "text":
        _zipped(path, _TEXT)
    elif kind == "lists":  # each byte an object of 56
        _zipped(path, b"\x80\x02(" + b"]" * 2**26 + b"l.")
    elif kind == "bytearray":
        _zipped(path, b"\x80\x02" + _BYTEARRAY)
    elif kind == "bytearray before zip":
        path.write_bytes(_BEFORE_ZIP + b"\x80\x02" + _BYTEARRAY)
    else:
        torch.save({"w": torch.zeros(2**27)}, tmp_path / "plain.pth")
        with zipfile.ZipFile(tmp_path / "plain.pth") as plain:
            parts = {name.partition("/")[2]: plain.read(name) for name in plain.namelist()}
        (tmp_path / "plain.pth").unlink()
        _zipped(path, parts.pop("data.pkl"), **parts)
    assert path.stat().st_size < 2**21
    program = "import sys; from export.weights.files import read_weights; from pathlib import Path"
    asked = "\n".join(
        [
            program,
            "def peak():",
            "    return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])",
            "before = peak()",
            "try: read_weights(Path(sys.argv[1]))",
            "except Exception as error: print(type(error).__name__, peak() - before, error)",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", asked, str(path)], check=True, capture_output=True, text=True
    )
    name, grown_kb, message = done.stdout.split(" ", 2)
    assert (name, message.count("\n"), done.stderr) == ("ExportError", 1, "")
    assert "unfolds to more than" in message
    assert int(grown_kb) < 200_000


@pytest.mark.parametrize(
    "pickled",
    [b"K\x01Q.", b"ctorch\nSize\nK\x01\x85R.", b"K\x01" + b"\x85" * 10_000 + b".", b"h\x07."],
)
def test_whatever_a_pickle_asks_for_is_one_line(tmp_path: Path, pickled: bytes) -> None:
    (tmp_path / "old.pth").write_bytes(_BEFORE_ZIP + b"\x80\x02" + pickled)
    _refused(tmp_path / "old.pth", "torch checkpoint|holds a tuple")
    _zipped(tmp_path / "new.pth", b"\x80\x02" + pickled)
    _refused(tmp_path / "new.pth", "torch checkpoint|holds a tuple")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.caffemodel", "w.tflite"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    _refused(tmp_path / name, "not a regular file")


def test_weights_are_written_whole_and_through_no_link(tmp_path: Path, network: nn.Module) -> None:
    torch.save(_weights(network), tmp_path / "w.pth")
    write_half(tmp_path / "w.pth", tmp_path / "half.safetensors")
    _same(tmp_path / "half.safetensors", network, atol=1e-3)
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "link.safetensors").symlink_to("mine.txt")
    with pytest.raises(ExportError, match="is a symbolic link to mine"):
        write_half(tmp_path / "w.pth", tmp_path / "link.safetensors")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    names = ["half.safetensors", "link.safetensors", "mine.txt", "w.pth"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
