"""Hypothesis makes engines, descriptions, settings, pictures, films, names and addresses.

A fixed seed and a share of 60 seconds for each by default; VCAM_FUZZ_S and VCAM_FUZZ_SEED change
both. `pytest tests/fuzz -s` prints how much was tried.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.catalogues import spec_of, write_catalogue, write_person_engine
from vcam.backends import make_backend
from vcam.catalogue import read_catalogue
from vcam.config import Known, read_defaults
from vcam.effects import make_effect
from vcam.errors import VcamError
from vcam.linux.systemd import quote
from vcam.matting.matter import Matter
from vcam.onnx_bytes import has_external_data
from vcam.sinks import SinkRequest, make_sink
from vcam.sources import make_source
from vcam.sources.base import SourceRequest
from vcam.sources.image import read_image
from vcam.text import one_line

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("VCAM_FUZZ_SEED", "20261128"))
SECONDS = float(os.environ.get("VCAM_FUZZ_S", "60"))
FUZZERS = 8
_SLOWEST_S = 20.0
TRIED: Counter[str] = Counter()

Test = Callable[..., None]


def fuzz(**strategies: Any) -> Callable[[Test], Test]:
    """Run a test with generated arguments for its share of the time, from the fixed seed."""

    def decorate(test: Test) -> Test:
        deadline = [0.0]

        def timed(**arguments: Any) -> None:
            deadline[0] = deadline[0] or time.monotonic() + SECONDS / FUZZERS
            if time.monotonic() > deadline[0]:
                return
            start = time.monotonic()
            test(**arguments)
            TRIED[test.__name__] += 1
            assert time.monotonic() - start < _SLOWEST_S

        timed.__name__ = test.__name__
        wrapped = settings(
            max_examples=100_000 if SECONDS > 60 else 2000,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(seed(SEED)(given(**strategies)(timed)))

        def run() -> None:
            wrapped()

        run.__name__ = test.__name__
        return run

    return decorate


@pytest.fixture(scope="module", autouse=True)
def _counts() -> Iterator[None]:
    yield
    sys.stdout.write(f"\nfuzzing, seed {SEED}: {dict(TRIED)}\n")


@cache
def _folder() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="vcam-fuzz-"))


def _one_line(error: VcamError) -> None:
    assert one_line(error) == str(error), repr(str(error))
    assert str(error)


MUTATIONS = st.lists(
    st.tuples(st.floats(0, 1), st.binary(min_size=0, max_size=8), st.integers(0, 8)),
    min_size=1,
    max_size=8,
)


def mutated(data: bytes, mutations: list[tuple[float, bytes, int]]) -> bytes:
    """Put bytes in the place of others, at shares of the length; nothing in place cuts off."""
    for where, new, removed in mutations:
        at = int(where * len(data))
        data = data[:at] + new + data[at + removed :] if new else data[: max(at, 1)]
    return data


@cache
def _engine() -> bytes:
    path = _folder() / "seed_fp32.onnx"
    write_person_engine(path)
    return path.read_bytes()


@cache
def _film(kind: str) -> bytes:
    path = _folder() / f"seed.{kind}"
    with av.open(str(path), "w") as container:
        codec = {"gif": "gif", "webm": "libvpx-vp9"}.get(kind, "libx264")
        stream = container.add_stream(codec, 25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt = "rgb8" if kind == "gif" else "yuv420p"
        for index in range(6):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), index * 40, np.uint8))
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path.read_bytes()


@cache
def _picture(kind: str) -> bytes:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()


@fuzz(mutations=MUTATIONS)
def test_engines(mutations: list[tuple[float, bytes, int]]) -> None:
    path = _folder() / "green_fp32.onnx"
    path.write_bytes(mutated(_engine(), mutations))
    try:
        with Matter(make_backend("onnxruntime", spec_of(path))) as matter:
            alpha = matter.alpha(np.zeros((32, 32, 3), np.uint8))
            assert alpha.dtype == np.uint8
            assert alpha.shape == (32, 32)
    except VcamError as error:
        _one_line(error)


@fuzz(data=st.binary(max_size=200))
def test_bytes_that_are_no_model(data: bytes) -> None:
    try:
        has_external_data(data)
    except ValueError as error:
        assert error.args == ("no ONNX model",)  # noqa: PT017 - most bytes raise nothing


@fuzz(mutations=MUTATIONS)
def test_engine_descriptions(mutations: list[tuple[float, bytes, int]]) -> None:
    folder = _folder() / "engines"
    file = folder / "green" / "engine.toml"
    if not file.exists():
        write_catalogue(folder)
        (folder / "seed").write_bytes(file.read_bytes())
    file.write_bytes(mutated((folder / "seed").read_bytes(), mutations))
    try:
        for spec in read_catalogue(folder):
            assert spec.path.parent == file.parent
            spec.read()
    except VcamError as error:
        _one_line(error)


VALUES = st.recursive(
    st.one_of(
        st.integers(), st.floats().map(str), st.booleans(), st.text(max_size=8), st.just("inf")
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
KNOWN = Known({}, {"run": Known({"effect": True, "fps": False}, {})})


@fuzz(
    key=st.one_of(st.sampled_from(["effect", "fps", "profile"]), st.text(max_size=6)),
    value=VALUES,
    tail=st.binary(max_size=12),
)
def test_settings(key: str, value: Any, tail: bytes) -> None:
    file = _folder() / "config.toml"
    file.write_bytes(f'[run]\n"{key}" = {value!r}\n'.encode("utf-8", "replace") + tail)
    try:
        read_defaults(file, None, KNOWN)
    except VcamError as error:
        _one_line(error)


@fuzz(kind=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"]), mutations=MUTATIONS)
def test_pictures(kind: str, mutations: list[tuple[float, bytes, int]]) -> None:
    path = _folder() / f"picture.{kind.lower()}"
    path.write_bytes(mutated(_picture(kind), mutations))
    try:
        image = read_image(path)
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
    except VcamError as error:
        _one_line(error)


@fuzz(kind=st.sampled_from(["mp4", "mkv", "webm", "avi", "gif"]), mutations=MUTATIONS)
def test_films(kind: str, mutations: list[tuple[float, bytes, int]]) -> None:
    path = _folder() / f"film.{kind}"
    path.write_bytes(mutated(_film(kind), mutations))
    try:
        with make_source(f"file:{path}", SourceRequest()) as source:
            count = 0
            while count < 200 and (frame := source.read()) is not None:
                assert frame.data.dtype == np.uint8
                count += 1
    except VcamError as error:
        _one_line(error)


@fuzz(text=st.one_of(st.text(max_size=40), st.from_regex(r"[a-z]+:(//)?[^\x00]{0,20}")))
def test_what_is_typed(text: str) -> None:
    for make in (
        lambda: make_source(text, SourceRequest()),
        lambda: make_sink(text, SinkRequest()),
        lambda: make_effect(text),
    ):
        try:
            make()
        except VcamError as error:
            assert error.args  # noqa: PT017 - most words raise nothing
    assert quote(text).isprintable()
    assert one_line(text).isprintable()


def test_the_seeds_are_good() -> None:
    """The mutations begin with files that work."""
    path = _folder() / "good_fp32.onnx"
    path.write_bytes(_engine())
    assert hashlib.sha256(_engine()).hexdigest() == spec_of(path).sha256
    with Matter(make_backend("onnxruntime", spec_of(path))):
        pass
    for kind in ("mp4", "mkv", "webm", "avi", "gif"):
        (_folder() / f"good.{kind}").write_bytes(_film(kind))
        with make_source(str(_folder() / f"good.{kind}"), SourceRequest()) as source:
            assert source.read() is not None
