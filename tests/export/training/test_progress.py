from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from export.errors import ExportError
from export.training.progress import Progress, append_log, draw_curves, sole
from export.weights.record import read_log


def test_a_line_says_how_far_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("export.training.progress.time.monotonic", lambda: now[0])
    progress = Progress(4000, 1000)
    now[0] = 110.0
    line = progress.line(1500, 0.25)
    assert line == "1500 of 4000 samples (37 %), loss 0.2500, 50.0 a second, 50 s left"
    now[0] = 4100.0
    assert progress.line(1500, 0.25).endswith("0.1 a second, 5 h 33 min left")


def test_one_run_for_a_folder(tmp_path: Path) -> None:
    """Also against another process, and free again once that one is gone, however it ended."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom export.training.progress import sole\n"
        "with sole(Path(sys.argv[1])):\n    print('in', flush=True)\n    time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == b"in\n"
        busy = pytest.raises(ExportError, match="another run writes there; wait for it, or give")
        with busy, sole(tmp_path):
            pass
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    with sole(tmp_path):
        assert not list(tmp_path.iterdir())  # nothing is left behind


def test_logs_with_and_without_a_header(tmp_path: Path) -> None:
    append_log(tmp_path, 4, 0.5, 1e-3)
    append_log(tmp_path, 8, 0.25, 2e-3)
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "samples,loss,rate"
    assert read_log(tmp_path / "log.csv") == [(4, 0.5, 1e-3), (8, 0.25, 2e-3)]
    old = tmp_path / "old"
    old.mkdir()
    (old / "log.csv").write_text("4,0.5,0.001\n")
    append_log(old, 8, 0.25, 2e-3)
    assert read_log(old / "log.csv") == [(4, 0.5, 1e-3), (8, 0.25, 2e-3)]


def test_curves(tmp_path: Path) -> None:
    draw_curves(tmp_path)
    assert not (tmp_path / "curves.svg").exists()
    for seen in (4, 8, 12):
        append_log(tmp_path, seen, 1 / seen, 1e-3)
    draw_curves(tmp_path)
    text = (tmp_path / "curves.svg").read_text()
    assert text.startswith("<?xml")
    assert text.rstrip().endswith("</svg>")
