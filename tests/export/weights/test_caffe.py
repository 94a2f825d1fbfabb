from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from export.errors import ExportError
from export.weights.caffe import is_caffe, read_caffe


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _part(field: int, content: bytes | int) -> bytes:
    """One field on the wire: a number, or bytes with their length before them."""
    if isinstance(content, int):
        return _varint(field << 3) + _varint(content)
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _new(values: list[float], *shape: int) -> bytes:
    dims = _part(1, b"".join(map(_varint, shape)))
    return _part(5, np.array(values, "<f4").tobytes()) + _part(7, dims)


def _old(values: list[float], *shape: int) -> bytes:
    sizes = b"".join(_part(index, length) for index, length in enumerate(shape, start=1))
    return sizes + _part(5, np.array(values, "<f4").tobytes())


def _write(path: Path, *layers: bytes) -> Path:
    path.write_bytes(_part(1, b"a net") + b"".join(layers))
    return path


def _layer(name: str, *blobs: bytes) -> bytes:
    parts = _part(1, name.encode()) + _part(2, b"Convolution")
    return _part(100, parts + b"".join(_part(7, blob) for blob in blobs))


def _old_layer(name: str, *blobs: bytes) -> bytes:
    return _part(2, _part(4, name.encode()) + b"".join(_part(6, blob) for blob in blobs))


def test_both_forms_give_the_same(tmp_path: Path) -> None:
    weights = [1.0, 2, 3, 4]
    new = _layer("a", _new(weights, 2, 2, 1, 1), _new([5, 6], 2)) + _layer("relu")
    old = _old_layer("a", _old(weights, 2, 2, 1, 1), _old([5, 6], 1, 1, 1, 2))
    for form in (new, old):
        state = read_caffe(_write(tmp_path / "x.caffemodel", form))
        assert list(state) == ["a.weight", "a.bias"]
        assert torch.equal(state["a.weight"], torch.tensor(weights).view(2, 2, 1, 1))
        assert torch.equal(state["a.bias"], torch.tensor([5.0, 6]))


def test_numbers_in_chunks_or_doubles(tmp_path: Path) -> None:

    chunks = b"".join(_part(5, np.array([x], "<f4").tobytes()) for x in (1, 2))
    doubles = _part(8, np.array([3, 4], "<f8").tobytes())
    dims = _part(7, _part(1, _varint(2)))
    path = _write(tmp_path / "x", _layer("a", chunks + dims, doubles + dims))
    state = read_caffe(path)
    assert torch.equal(state["a.weight"], torch.tensor([1.0, 2]))
    assert torch.equal(state["a.bias"], torch.tensor([3.0, 4]))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((_layer("a", _new([1, 2], 3)),), "layer 'a' holds 2 numbers, which do not fill its shape"),
        ((_layer("a", _new([], 0)),), "holds 0 numbers"),
        ((_layer("a", _new([1], 2**62, 4)),), "holds 1 numbers"),
        ((_layer("a", _new([1], *[1] * 40)),), "holds 1 numbers"),
        ((_layer("a", _new([1], 1)), _layer("a", _new([1], 1))), "layer 'a' comes twice"),
        ((b"\xff\xff\xff",), "damaged or not a Caffe file"),
        ((_layer("\n\x1b[2J", _new([1], 2)),), r"layer '\\n\\x1b\[2J' holds"),
    ],
)
def test_hostile_files_get_one_line(
    tmp_path: Path, layers: tuple[bytes, ...], message: str
) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        read_caffe(_write(tmp_path / "x.caffemodel", *layers))
    assert "\n" not in str(caught.value)


def test_damage_anywhere_is_an_error_or_weights(tmp_path: Path) -> None:
    """Cut or changed at random, a file never raises anything else."""
    rng = np.random.default_rng(5)
    whole = _layer("conv", _new([1.0] * 24, 2, 3, 2, 2), _new([0, 1], 2)) + _old_layer(
        "old", _old([1.0] * 8, 2, 4, 1, 1), _old([0, 1], 1, 1, 1, 2)
    )
    path, refused = tmp_path / "x.caffemodel", 0
    for _ in range(1500):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for _ in range(rng.integers(0, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(bytes(data))
        try:
            read_caffe(path)
        except ExportError:
            refused += 1
    assert refused > 500


def test_is_told_by_its_first_bytes() -> None:
    assert is_caffe(Path("x.caffemodel"), b"PK")
    assert is_caffe(Path("x"), _layer("a")[:8])
    assert not is_caffe(Path("x.pth"), b"PK\x03\x04")
    assert not is_caffe(Path("x.pth"), b"\x80\x02")


@pytest.mark.parametrize("name", ["fcn8s_small", "fcn8s_small_v1"])
def test_files_of_the_authors_own_module(reference: Path, name: str) -> None:
    """Their values are those of a rule that comes with them."""
    zoo = reference / "zoo"
    if not zoo.is_dir():
        pytest.skip(f"no Caffe files in {reference.name}/zoo")
    found = importlib.util.spec_from_file_location("zoo_weights", zoo / "weights.py")
    assert found is not None
    assert found.loader is not None
    rule = importlib.util.module_from_spec(found)
    found.loader.exec_module(rule)
    gains = {key: gain for key, _, _, gain in rule.read_keys(zoo / "fcn8s_face.keys.csv")}
    state = read_caffe(zoo / f"{name}.caffemodel")
    assert state
    for key, value in state.items():
        expected = rule.tensor(key, value.shape, gains[key])
        np.testing.assert_array_equal(value.numpy(), expected)
