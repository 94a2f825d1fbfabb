"""A run never depends on who watches it: closed windows, full pipes, Ctrl-S, and every signal."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX"),
]

BUSY_S = 3.0
"""Two seconds are promised; a machine that does much else meanwhile gets one more."""
RECORD = ["run", "--source", "demo", "--effect", "none", "--size", "640x360"]


@pytest.fixture(autouse=True)
def _a_hangup_counts() -> Iterator[None]:
    """Under nohup the suite ignores hangups, and its children would, too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@contextmanager
def vcam(
    *arguments: str | Path, program: str = "", stderr: int = subprocess.PIPE, before: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """vcam as a process of its own, killed in the end. `program`: run before it is started."""
    text = f"{program}\nfrom vcam.__main__ import main\nmain()\n"
    command = [*before.split(), sys.executable, "-c", text, *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def wait_for_pictures(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a recording in that folder has grown."""
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 1_000 for path in folder.glob(".*.vcam-partial*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(process: subprocess.Popen[bytes], patience_s: float = BUSY_S) -> int:
    start = time.monotonic()
    status = process.wait(30)
    assert time.monotonic() - start < patience_s
    return status


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """(the side that a person sees, the side that a program writes to)."""
    person, program = os.openpty()
    try:
        yield person, program
    finally:
        for side in (person, program):
            try:
                os.close(side)
            except OSError:
                continue


def test_a_run_goes_on_after_its_window_is_closed(tmp_path: Path) -> None:
    with (
        terminal() as (person, program),
        vcam(*RECORD, "--duration", "4", "-o", tmp_path / "a.mp4", stderr=program) as run,
    ):
        os.close(program)
        assert os.read(person, 10), "the status line is shown"
        os.close(person)
        assert run.wait(60) == 0
    assert frames_of(tmp_path / "a.mp4") == 120


def test_a_run_goes_on_after_the_reader_of_its_pipe_has_ended(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with vcam(*RECORD, "-v", "--duration", "1", "-o", tmp_path / "a.mp4", stderr=writing) as run:
        os.close(writing)
        assert run.wait(60) == 0
    assert frames_of(tmp_path / "a.mp4") == 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_terminal_that_is_not_read_holds_nothing_up(tmp_path: Path, number: int) -> None:
    """The terminal is full: whoever writes to it waits for ever."""
    with (
        terminal() as (_, program),
        vcam(*RECORD, "--duration", "600", "-o", tmp_path / "a.mp4", stderr=program) as run,
    ):
        os.set_blocking(program, False)
        wait_for_pictures(tmp_path, run)
        while select.select([], [program], [], 0)[1]:
            try:
                os.write(program, b"x" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(program, True)
        wait_for_pictures(tmp_path, run)
        run.send_signal(number)
        assert ended(run) == 0
    assert frames_of(tmp_path / "a.mp4") > 5
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_completes_a_recording(tmp_path: Path, number: int) -> None:
    with vcam(*RECORD, "--duration", "600", "-o", tmp_path / "a.mp4") as run:
        wait_for_pictures(tmp_path, run)
        run.send_signal(number)
        assert ended(run) == 0
        assert run.stderr is not None
        assert run.stderr.read() == b""
    assert frames_of(tmp_path / "a.mp4") > 5


def test_a_hangup_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"  # as nohup(1) does
    out = tmp_path / "a.mp4"
    with vcam(*RECORD, "--duration", "3", "-o", out, program=ignore) as run:
        wait_for_pictures(tmp_path, run)
        run.send_signal(signal.SIGHUP)
        assert run.wait(60) == 0
    assert frames_of(tmp_path / "a.mp4") == 90


HANG = """
import ctypes, os
def hang(*_, **__):
    os.write(1, b".")
    ctypes.CDLL(None).sleep(60)  # in C: Python's signal handlers do not run
"""
PLACES = {
    "effect": "import vcam.sources.image as m; m.read_image = hang",
    "source": "import vcam.sources.image as m; m.ImageSource._open = hang",
    "looking at the source": "import vcam.sources as m; m.read_head = hang",
    "engine": "import vcam.catalogue as m; m.EngineSpec.read = hang",
    "sink": "import vcam.sinks.png as m; m.ImageSink.__enter__ = hang",
}


@pytest.mark.parametrize(
    ("place", "number"),
    [
        *((place, signal.SIGTERM) for place in PLACES),
        ("effect", signal.SIGINT),
        ("effect", signal.SIGHUP),
    ],
)
def test_stopping_is_quick_whatever_hangs(tmp_path: Path, place: str, number: int) -> None:
    picture = tmp_path / "p.png"
    import cv2
    import numpy as np

    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    program = f"{HANG}\n{PLACES[place]}"
    arguments = ["-s", picture, "-e", f"image:{picture}", "-o", tmp_path / "a.png"]
    text = f"{program}\nfrom vcam.__main__ import main\nmain()\n"
    with subprocess.Popen(
        [sys.executable, "-c", text, "run", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.read(1) == b".", "it hangs now"
        run.send_signal(number)
        assert ended(run) in (0, 1, 128 + number)
        assert b"Traceback" not in run.stderr.read()
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]


@pytest.mark.parametrize("wait_s", [0.0, 0.1, 0.25, 0.5])
def test_ctrl_c_at_the_start_is_quiet(wait_s: float) -> None:
    with vcam("engines", "verify") as run:
        time.sleep(0.05 + wait_s)  # Python itself starts first
        run.send_signal(signal.SIGINT)
        status = ended(run)
        assert status in (0, 130, -signal.SIGINT)
        assert run.stderr is not None
        assert b"Traceback" not in run.stderr.read() or wait_s == 0.0


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    slow = "import vcam.sinks.file as m; m._Writer.finish = lambda *_: __import__('time').sleep(60)"
    with vcam(*RECORD, "--duration", "600", "-o", tmp_path / "a.mp4", program=slow) as run:
        wait_for_pictures(tmp_path, run)
        run.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        run.send_signal(signal.SIGTERM)
        assert ended(run) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("state", ["full", "closed", "broken"])
def test_standard_streams_may_be_full_closed_or_broken(
    tmp_path: Path, stream: str, state: str
) -> None:
    where = {"full": ">/dev/full", "closed": ">&-", "broken": "> >(true)"}[state]
    redirect = f"{'2' if stream == 'stderr' else '1'}{where}"
    out = tmp_path / "a.mp4"
    command = f"'{sys.executable}' -m vcam {' '.join(RECORD)} --duration 0.3 --json -o {out}"
    done = subprocess.run(
        ["bash", "-c", f"{command} {redirect}"], capture_output=True, text=True, check=False
    )
    assert frames_of(out) == 9
    assert "Traceback" not in done.stderr
    if stream == "stderr":
        assert done.returncode == 0
        assert '"frames": 9' in done.stdout or state == "x"
    elif state == "full":
        assert done.returncode == 1
        assert "vcam: standard output: No space left on device" in done.stderr


def test_nothing_that_a_library_prints_is_shown_unless_asked(tmp_path: Path) -> None:
    noisy = "import ctypes, os; os.write(2, b'early '); import vcam.catalogue as m\n"
    noisy += "m.read_catalogue = lambda *_: [os.write(2, b'libpng warning\\n')] and []"
    for flag, shown in (("", b"early "), ("-v", b"early libpng warning\n")):
        with vcam("engines", *filter(None, [flag]), program=noisy) as run:
            assert run.wait(30) == 0
            assert run.stderr is not None
            assert run.stderr.read() == shown
