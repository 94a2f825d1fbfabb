"""Is there a GPU? The answer is what the user reads."""

from __future__ import annotations

import pytest

from tests.backends.fake_gpu import FakeDriver
from vcam.backends.probe import Gpu, Probe, probe_gpu


def test_a_gpu_is_described() -> None:
    found = probe_gpu(FakeDriver)
    assert found == Probe(Gpu("Fake GPU", (8, 9), "13.0"))
    assert found.gpu is not None
    assert found.gpu.architecture == "sm_89"


def no_library() -> FakeDriver:
    raise OSError("libcuda.so.1: cannot open shared object file")


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (no_library, r"^no NVIDIA driver \((libcuda\.so\.1|nvcuda\.dll) is not installed\)$"),
        (lambda: FakeDriver(status=100), "^the NVIDIA driver finds no GPU$"),
        (lambda: FakeDriver(devices=0), "^the NVIDIA driver finds no GPU$"),
        (
            lambda: FakeDriver(status=802),
            r"does not start \(error 802: system not yet initialized\)$",
        ),
    ],
)
def test_without_a_gpu_there_is_a_reason(load: type[FakeDriver], reason: str) -> None:
    found = probe_gpu(load)
    assert found.gpu is None
    with pytest.raises(ValueError, match=reason):
        raise ValueError(found.reason)


def test_the_real_driver_or_its_absence_gives_an_answer() -> None:
    found = probe_gpu()
    assert (found.gpu is None) == bool(found.reason)
