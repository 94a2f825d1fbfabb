"""An engine is one file, and the bytes that were compared are the bytes that run."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.catalogues import spec_of, write_catalogue, write_person_engine
from vcam.backends import make_backend
from vcam.catalogue import find_engine, read_catalogue, shipped_engines
from vcam.errors import EngineError
from vcam.onnx_bytes import has_external_data

onnx = pytest.importorskip("onnx")
helper = onnx.helper


def _outside(location: str = "w.bin") -> Any:
    """A tensor whose values are in another file."""
    tensor = helper.make_tensor("w", onnx.TensorProto.UINT8, [1], [0])
    tensor.ClearField("raw_data")
    tensor.ClearField("int32_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def _graph(nodes: Any = (), **more: Any) -> Any:
    value = helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [1])
    return helper.make_graph(list(nodes), "g", [value], [value], **more)


def _in_initializer() -> Any:
    return helper.make_model(_graph(initializer=[_outside()]))


def _in_attribute() -> Any:
    return helper.make_model(_graph([helper.make_node("Constant", [], ["y"], value=_outside())]))


def _in_attribute_list() -> Any:
    node = helper.make_node("Custom", [], ["y"])
    attribute = node.attribute.add()
    attribute.name, attribute.type = "all", onnx.AttributeProto.TENSORS
    attribute.tensors.append(_outside())
    return helper.make_model(_graph([node]))


def _in_branch() -> Any:
    inner = _graph(initializer=[_outside()])
    middle = _graph([helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=_graph())])
    return helper.make_model(_graph([helper.make_node("Loop", ["n", "c"], ["y"], body=middle)]))


def _in_function() -> Any:
    model = helper.make_model(_graph())
    node = helper.make_node("Constant", [], ["y"], value=_outside())
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "f", [], ["y"], [node], opset))
    return model


def _in_sparse() -> Any:
    indices = helper.make_tensor("i", onnx.TensorProto.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(_outside(), indices, [4])
    return helper.make_model(_graph(sparse_initializer=[sparse]))


def _in_training() -> Any:
    model = helper.make_model(_graph())
    info = model.training_info.add()
    info.algorithm.CopyFrom(_graph(initializer=[_outside()]))
    return model


def _location_alone() -> Any:
    """The place is said without the note that it is used."""
    tensor = _outside()
    tensor.ClearField("data_location")
    return helper.make_model(_graph(initializer=[tensor]))


PLACES = [
    _in_initializer,
    _in_attribute,
    _in_attribute_list,
    _in_branch,
    _in_function,
    _in_sparse,
    _in_training,
    _location_alone,
]


@pytest.mark.parametrize("make", PLACES)
def test_another_file_is_seen_wherever_it_is_named(make: Callable[[], Any]) -> None:
    assert has_external_data(make().SerializeToString())


def test_a_second_graph_field_is_looked_into() -> None:
    """Protocol buffers merge a field that comes twice."""
    inside = helper.make_model(_graph()).SerializeToString()
    outside = helper.make_model(_graph(initializer=[_outside()])).SerializeToString()
    assert not has_external_data(inside)
    assert has_external_data(inside + outside)


def test_the_shipped_engines_are_whole() -> None:
    for spec in read_catalogue(shipped_engines()):
        assert not has_external_data(spec.path.read_bytes())


@pytest.mark.parametrize(
    "content",
    [b"", b"\x3a\xff\xff\xff\xff\x0f", b"\x3b", b"\x3a\x05ab", b"\xff" * 20, b"\x38\x01", b"\0\0"],
)
def test_what_is_no_model_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="no ONNX model"):
        has_external_data(content)


def test_messages_in_messages_end() -> None:
    content = b""
    for _ in range(200):  # graph in attribute in node in graph ...
        for tag in (0x32, 0x2A, 0x0A):
            length, size = len(content), b""
            while length > 127:
                size, length = size + bytes([length & 127 | 128]), length >> 7
            content = bytes([tag]) + size + bytes([length]) + content
    with pytest.raises(ValueError, match="no ONNX model"):
        has_external_data(b"\x3a" + _varint(len(content)) + content)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _described(folder: Path, name: str, content: bytes | None = None) -> Path:
    """A catalogue whose engine.toml names that file, with the right sha256 of `content`."""
    write_catalogue(folder)
    file = folder / "green" / "engine.toml"
    text = file.read_text().replace("green_fp32.onnx", name)
    if content is not None:
        (folder / "green" / "green_fp32.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        head, _, rest = text.partition('sha256 = "')
        text = f'{head}sha256 = "{digest}"{rest[65:]}'
    file.write_text(text)
    return folder


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_an_engine_in_two_files_is_refused(
    tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(backend)
    path = tmp_path / "green_fp32.onnx"
    write_person_engine(path)
    model = onnx.load(path)
    model.graph.initializer[0].CopyFrom(_outside())
    model.graph.initializer[0].name = "index"
    content = model.SerializeToString()
    folder = _described(tmp_path / "engines", "green_fp32.onnx", content)
    (folder / "green" / "w.bin").write_bytes(b"\0" * 8)
    monkeypatch.chdir(folder / "green")
    with pytest.raises(EngineError, match="a part of it is in another file"):
        make_backend(backend, find_engine("green_fp32", [folder]))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_file_that_is_swapped_after_it_was_compared_does_not_run(
    tmp_path: Path, backend: str
) -> None:
    pytest.importorskip(backend)
    path = tmp_path / "green_fp32.onnx"
    write_person_engine(path)
    made = make_backend(backend, spec_of(path))
    write_person_engine(path, size=(64, 64))
    with pytest.raises(EngineError, match="sha256 is"), made:
        pass


@pytest.mark.parametrize(
    "name",
    ["../green_fp32.onnx", "/etc/passwd", "a/b.onnx", "..", ".", "a\\u0000b.onnx", "\\u001b[31m"],
)
def test_a_name_in_engine_toml_is_a_plain_name(tmp_path: Path, name: str) -> None:
    folder = _described(tmp_path, name)
    with pytest.raises(EngineError, match=r"engine\.toml: \[file 1\] name") as refused:
        read_catalogue(folder)
    assert str(refused.value).isprintable()


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links and pipes of POSIX")
@pytest.mark.parametrize("kind", ["link out", "loop", "pipe", "endless", "folder", "huge"])
def test_only_a_regular_file_of_the_folder_is_read(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_catalogue(tmp_path / "engines")
    path = folder / "green" / "green_fp32.onnx"
    outside = path.rename(tmp_path / "outside.onnx")
    if kind == "link out":
        path.symlink_to(outside)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        monkeypatch.setattr("vcam.catalogue._MOST_BYTES", 10)
        outside.rename(path)
    with pytest.raises(EngineError, match=r"green_fp32\.onnx: ") as refused:
        find_engine("green_fp32", [folder]).read()
    assert "\n" not in str(refused.value)


def test_two_engines_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write_catalogue(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "engine.toml").write_text((folder / "green" / "engine.toml").read_text())
    with pytest.raises(EngineError, match="two engines are called green_fp32"):
        read_catalogue(folder)


BAD_LINES = {
    'task = "person"': ["task = 1", 'task = ""', "task = []", 'task = "\\u0007"', "tusk = 1"],
    "height = 32": [
        "height = inf",
        "height = -5",
        "height = true",
        "height = 32.0",
        "height = 1e9",
    ],
    'classes = ["room", "person"]': ["classes = 5", "classes = [1]", 'classes = "room"'],
    "[input]": ["[inputs]", "[[input]]"],
    "[[file]]": ["[file]", "[[files]]"],
    'precision = "fp32"': ["precision = 1979-05-27", 'precision = "../x"'],
}


@pytest.mark.parametrize(
    ("old", "new"), [(old, new) for old, lines in BAD_LINES.items() for new in lines]
)
def test_every_value_of_engine_toml_is_read_by_its_kind(tmp_path: Path, old: str, new: str) -> None:
    file = write_catalogue(tmp_path) / "green" / "engine.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(EngineError, match=r"engine\.toml: ") as refused:
        read_catalogue(tmp_path)
    assert str(refused.value).isprintable()


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("kind", ["nested", "pipe", "latin-1", "sha256", "huge"])
def test_an_engine_toml_that_is_none_is_named(tmp_path: Path, kind: str) -> None:
    file = write_catalogue(tmp_path) / "green" / "engine.toml"
    text = file.read_text()
    if kind == "nested":
        file.write_text("a = " + "[" * 100_000)
    elif kind == "pipe":
        file.unlink()
        os.mkfifo(file)
    elif kind == "latin-1":
        file.write_bytes(text.replace("Apache", "Ä").encode("latin-1"))
    elif kind == "sha256":
        file.write_text(text.replace('sha256 = "', 'sha256 = 7 #"'))
    else:
        file.write_text(text + "#" * (1 << 21))
    with pytest.raises(EngineError, match=r"engine\.toml: ") as refused:
        read_catalogue(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    file = write_catalogue(tmp_path) / "green" / "engine.toml"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_catalogue(tmp_path)[0].name == "green_fp32"
