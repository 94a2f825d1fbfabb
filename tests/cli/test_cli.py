"""The program as users call it: a process of its own, real files in, real files out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.catalogues import write_catalogue
from tests.data import SHARED, why_absent
from tests.helpers import STRICT
from vcam.backends.probe import probe_gpu
from vcam.effects import EFFECTS

pytestmark = pytest.mark.slow

DATA = SHARED / "data"


Done = subprocess.CompletedProcess[str]


def vcam(*arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Done:
    return subprocess.run(
        [sys.executable, *STRICT, "-m", "vcam", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=cwd,
        env={**os.environ, "XDG_CONFIG_HOME": "/nonexistent", **(env or {})},
    )


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue whose engine calls green things person."""
    return write_catalogue(tmp_path_factory.mktemp("engines"))


def video_info(path: Path) -> tuple[int, tuple[int, int], float]:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(video=0))
        return (
            frames,
            (stream.codec_context.width, stream.codec_context.height),
            float(stream.average_rate or 0),
        )


def refused(done: Done, *words: str) -> None:
    """Exactly one line on standard error, with the words; status not 0; no traceback."""
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("vcam: ")
    for word in words:
        assert word in lines[0]


def test_the_main_job_makes_a_video(tmp_path: Path) -> None:
    out = tmp_path / "demo.mp4"
    done = vcam(
        "run",
        "--source",
        "demo",
        "--effect",
        "blur",
        "--sink",
        out,
        "--duration",
        1,
        "--size",
        "640x360",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert video_info(out) == (30, (640, 360), 30.0)
    assert [p.name for p in tmp_path.iterdir()] == ["demo.mp4"]


def test_a_long_file_keeps_every_frame_and_a_duration_is_in_its_own_time(tmp_path: Path) -> None:
    long, out, short = (tmp_path / name for name in ("long.mp4", "out.mp4", "short.mp4"))
    made = vcam(
        "run",
        "-s",
        "pattern",
        "-e",
        "none",
        "-o",
        long,
        "--duration",
        16,
        "--fps",
        25,
        "--size",
        "64x64",
    )
    assert made.returncode == 0, made.stderr
    assert vcam("run", "-s", long, "-e", "none", "-o", out).returncode == 0
    assert vcam("run", "-s", long, "-e", "none", "-o", short, "--duration", 2).returncode == 0
    assert video_info(out)[0] == video_info(long)[0] == 400
    assert video_info(short)[0] == 50


def test_run_reports_as_json(tmp_path: Path) -> None:
    done = vcam("run", "-s", "demo", "-o", "null", "--duration", 0.5, "--json")
    report = json.loads(done.stdout)
    assert report["frames"] == 15
    assert report["stages"]["infer"]["p50_ms"] > 0


def test_a_transparent_video_and_pictures(tmp_path: Path, engines: Path) -> None:
    done = vcam(
        "run",
        "-s",
        "pattern",
        "-e",
        "remove",
        "-o",
        f"{tmp_path}/frames/",
        "--duration",
        0.1,
        "--size",
        "64x64",
        "--engines",
        engines,
        "--engine",
        "green_fp32",
    )
    assert done.returncode == 0, done.stderr
    pictures = sorted((tmp_path / "frames").glob("*.png"))
    assert len(pictures) == 3
    picture = cv2.imread(str(pictures[0]), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.shape == (64, 64, 4)
    assert picture[..., 3].min() == 0


def test_interrupting_finishes_the_file(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        out = tmp_path / f"{number}.mp4"
        command = [
            sys.executable,
            "-m",
            "vcam",
            "run",
            "-s",
            "demo",
            "-o",
            str(out),
            "--duration",
            "10000",
            "--size",
            "320x180",
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(f"*{number}*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=15)
        assert (process.returncode, errors) == (0, "")
        assert video_info(out)[0] > 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("run", "--effect", "blurr", "-s", "demo", "-o", "null"),
            ("unknown effect 'blurr'", "blur"),
        ),
        (
            ("run", "--effect", "blur:sigma=2", "-s", "demo", "-o", "null"),
            ("no key 'sigma'", "strength"),
        ),
        (
            ("run", "--engine", "nope_fp32", "-s", "demo", "-o", "null"),
            ("unknown engine 'nope_fp32'", "sinet_fp32"),
        ),
        (
            ("run", "--backend", "abacus", "-s", "demo", "-o", "null"),
            ("unknown backend", "onnxruntime"),
        ),
        (("run", "--size", "640", "-s", "demo", "-o", "null"), ("--size", "1280x720")),
        (("run", "--size", "641x360", "-s", "demo", "-o", "null"), ("even", "640x360")),
        (("run", "-s", "nothing.mp4", "-o", "null"), ("nothing.mp4",)),
        (("run", "-s", "demo", "-o", "out.xyz"), (".xyz", ".mp4")),
        (
            ("run", "-s", "demo", "-o", "null", "--engines", "nowhere"),
            ("nowhere", "no such folder"),
        ),
        (("run", "-s", "demo", "-o", "missing/out.mp4"), ("missing",)),
        (("mask", "nothing.jpg", "--out", "masks"), ("nothing.jpg",)),
        (("mask", "x.jpg", "--out", "m", "--labels", "--threshold", "1"), ("--heatmap CLASS",)),
        (("mask", "x.jpg", "--out", "m", "--palette", "rainbow"), ("rainbow", "easyportrait")),
        (("mask", "x.jpg", "--out", "m", "--overlay", "5"), ("--overlay 5", "0.5")),
        (("mask", "x.jpg", "--out", "m", "--film", "gif"), ("gif", "webm")),
        (("mask", "x.jpg", "--out", "m", "--labels", "--palette"), ("--labels and --palette",)),
        (("run", "-e", "eyes:color=mauve", "-s", "demo", "-o", "null"), ("'mauve'", "blue")),
        (("run", "-e", "teeth:1.5", "-s", "demo", "-o", "null"), ("strength '1.5'", "0 to 1")),
        (
            ("run", "-e", "teeth", "--face-engine", "sinet_fp32", "-s", "demo", "-o", "null"),
            ("person engine", "face"),
        ),
        (
            ("run", "-e", "teeth", "--face-engine", "nope_fp32", "-s", "demo", "-o", "null"),
            ("'nope_fp32'", "known"),
        ),
        (("--config", "nothing.toml", "engines"), ("nothing.toml", "--config")),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(vcam(*arguments, cwd=tmp_path), *words)
    assert not list(tmp_path.glob("*.mp4*"))


def test_plain_run_without_devices_says_what_to_type() -> None:
    if Path("/dev/video0").exists():
        pytest.skip("this machine has video devices")
    done = vcam("run", "--effect", "blur")
    refused(done)
    assert "--sink" in done.stderr or "--source" in done.stderr


def test_verbose_shows_where_an_error_came_from() -> None:
    done = vcam("run", "-v", "--effect", "blurr", "-s", "demo", "-o", "null")
    assert done.returncode != 0
    assert "Traceback" in done.stderr or "UsageError" in done.stderr


@pytest.mark.parametrize("content", [b"", b"this is no video\n" * 50, None])
def test_a_file_that_is_no_video(tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "clip.mp4"
    if content is None:
        source.mkdir()
    else:
        source.write_bytes(content)
    said = "out.mp4: many files need a folder" if content is None else "clip.mp4"
    refused(vcam("run", "-s", source, "-o", tmp_path / "out.mp4"), said)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_truncated_video_yields_what_can_be_read_and_says_so(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mkv"
    assert (
        vcam(
            "run", "-s", "pattern", "-e", "none", "-o", whole, "--duration", 2, "--size", "320x180"
        ).returncode
        == 0
    )
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    done = vcam("run", "-s", cut, "-e", "color", "-o", tmp_path / "out.mp4")
    assert done.returncode == 3
    assert "cut.mkv: truncated" in done.stderr
    assert done.stderr.count("\n") == 1
    assert video_info(tmp_path / "out.mp4")[0] > 20


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    out = tmp_path / "out.mp4"
    done = subprocess.run(
        [sys.executable, "-m", "vcam", "run", "-s", "demo", "-o", str(out), "--duration", "3"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=limit,
    )
    refused(done, "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("precious")
    refused(vcam("run", "-s", "demo", "-o", out, "--duration", 0.1), "out.mp4", "--overwrite")
    assert out.read_text() == "precious"
    assert vcam("run", "-s", "demo", "-o", out, "--duration", 0.1, "--overwrite").returncode == 0
    assert video_info(out)[0] == 3


def test_a_damaged_engine_is_refused(tmp_path: Path) -> None:
    folder = write_catalogue(tmp_path)
    file = folder / "green" / "green_fp32.onnx"
    file.write_bytes(file.read_bytes()[:-5])
    refused(
        vcam("run", "--engines", folder, "--engine", "green_fp32", "-s", "demo", "-o", "null"),
        "sha256",
        "green",
    )


def test_masks_have_the_pictures_own_size_and_stem(tmp_path: Path, engines: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[Any, ...]] = {
        "odd.png": (37, 51, 3),
        "pixel.png": (1, 1, 3),
        "thin.png": (1, 300, 3),
        "grey.png": (40, 40),
        "alpha.png": (40, 60, 4),
        "large.jpg": (4320, 7680, 3),
    }
    for name, shape in shapes.items():
        cv2.imwrite(
            str(pictures / name),
            (
                rng.integers(0, 256, shape, np.uint8)
                if "large" not in name
                else np.full(shape, 200, np.uint8)
            ),
        )
    cv2.imwrite(str(pictures / "deep.png"), rng.integers(0, 65536, (30, 20), np.uint16))
    done = vcam(
        "mask",
        pictures,
        "--out",
        tmp_path / "masks",
        "--engines",
        engines,
        "--engine",
        "green_fp32",
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name, shape in {**shapes, "deep.png": (30, 20)}.items():
        mask = cv2.imread(str(tmp_path / "masks" / f"{Path(name).stem}.png"), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        assert mask.shape == shape[:2]
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 255}
    assert len(list((tmp_path / "masks").iterdir())) == len(shapes) + 1


def test_a_heatmap_is_soft_and_a_threshold_cuts(tmp_path: Path, engines: Path) -> None:
    ramp = np.zeros((64, 256, 3), np.uint8)
    ramp[..., 1] = np.arange(256)
    cv2.imwrite(str(tmp_path / "ramp.png"), ramp)
    common = (
        "mask",
        tmp_path / "ramp.png",
        "--engines",
        engines,
        "--engine",
        "green_fp32",
        "--out",
    )
    assert vcam(*common, tmp_path / "soft", "--heatmap", "person").returncode == 0
    assert vcam(*common, tmp_path / "hard", "--threshold", "0.75").returncode == 0
    soft, hard = (
        cv2.imread(str(tmp_path / kind / "ramp.png"), cv2.IMREAD_UNCHANGED)
        for kind in ("soft", "hard")
    )
    assert soft is not None
    assert hard is not None
    assert len(np.unique(soft)) > 50
    assert ((soft >= 191) == (hard == 255)).all()


def test_one_bad_picture_does_not_stop_the_others(tmp_path: Path, engines: Path) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "bad.png").write_bytes(b"")
    done = vcam(
        "mask",
        tmp_path,
        "--out",
        tmp_path / "masks",
        "--engines",
        engines,
        "--engine",
        "green_fp32",
    )
    refused(done, "bad.png")
    assert [p.name for p in (tmp_path / "masks").iterdir()] == ["good.png"]


def test_two_pictures_of_one_stem_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    refused(vcam("mask", tmp_path, "--out", tmp_path / "masks"), "a.png", "a.jpg")


def test_engines_and_devices_as_json() -> None:
    names = [row["name"] for row in json.loads(vcam("engines", "--json").stdout)]
    assert "sinet_fp32" in names
    listed = json.loads(vcam("devices", "--json").stdout)
    assert set(listed) == {"cameras", "virtual_cameras"}


def test_bench_of_an_engine_and_of_the_pipeline(engines: Path) -> None:
    report = json.loads(vcam("bench", "--engine", "sinet_fp32", "--runs", 5, "--json").stdout)
    assert report["engine"] == "sinet_fp32"
    assert report["backend"] == "onnxruntime"
    assert 0 < report["latency"]["p50_ms"] <= report["latency"]["p99_ms"]
    assert report["images_per_s"] > 0
    assert report["machine"]["versions"]["onnxruntime"]
    report = json.loads(
        vcam("bench", "--pipeline", "--runs", 20, "--json", "--size", "320x180").stdout
    )
    assert report["frames"] == 20
    assert report["size"] == [320, 180]
    assert {"infer", "refine", "effects"} <= set(report["stages"])


def test_an_engine_is_measured_on_whatever_can_run_it(tmp_path: Path) -> None:
    folder = write_catalogue(tmp_path / "engines", precisions=("fp32", "fp16"))
    report = json.loads(
        vcam("bench", "--engines", folder, "--engine", "green_fp16", "--runs", 3, "--json").stdout
    )
    assert report["asked_for"] == "green_fp16"
    if report["backend"] == "onnxruntime":
        assert report["engine"] == "green_fp32"
        assert set(report["refused"]) == {"tensorrt", "onnxruntime-cuda"}
    done = vcam("bench", "--all", "--engines", folder, "--runs", 10, "--json")
    rows = {(row["engine"], row["backend"]): row for row in json.loads(done.stdout)["rows"]}
    assert {engine for engine, _ in rows} >= {"green_fp32", "green_fp16", "sinet_fp32"}
    assert all(("latency" in row) != ("reason" in row) for row in rows.values())
    assert rows["green_fp32", "onnxruntime"]["runs"] == 10
    assert rows["green_fp16", "onnxruntime"]["reason"] == "runs green_fp32 in its place"
    text = vcam("bench", "--all", "--engines", folder, "--runs", 10).stdout.splitlines()
    assert len(text) == len(rows)
    refused(vcam("bench", "--all", "--pipeline"), "--all", "--pipeline")


def test_verbose_says_what_runs_and_why(engines: Path) -> None:
    plain = (
        "run",
        "-s",
        "pattern",
        "-o",
        "null",
        "--duration",
        0.1,
        "--engines",
        engines,
        "--engine",
        "green_fp32",
    )
    assert vcam(*plain).stderr == ""
    (line,) = vcam(*plain, "-v").stderr.splitlines()
    assert line.startswith("vcam: green_fp32 by onnxruntime")
    assert "; not tensorrt: " in line


def test_engines_are_verified(tmp_path: Path) -> None:
    folder = write_catalogue(tmp_path)
    done = vcam("engines", "verify", "--engines", folder)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == ["green_fp32", "ok"]
    (folder / "green" / "green_fp32.onnx").write_bytes(b"")
    done = vcam("engines", "verify", "--engines", folder)
    refused(done, "green_fp32", "sha256")
    assert "sinet_fp32" in done.stdout


def test_a_thread_that_hangs_in_a_library_does_not_keep_vcam_from_ending() -> None:
    program = (
        "import threading; from vcam.cli import program\n"
        "threading.Thread(target=threading.Event().wait, args=(60,), name='vcam-infer').start()\n"
        "print('said'); program._leave(3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "")


def test_what_needs_a_gpu_is_refused_in_one_line_without_one() -> None:
    reason = probe_gpu().reason
    if not reason:
        pytest.skip("this machine has a GPU")
    refused(vcam("engines", "build", "sinet_fp32"), "no plan can be built here", reason)
    for backend in ("tensorrt", "onnxruntime-cuda"):
        refused(
            vcam("run", "-s", "demo", "-o", "null", "--backend", backend),
            f"--backend {backend}",
            reason,
        )
    refused(vcam("engines", "build", "nope_fp16"), "unknown engine 'nope_fp16'")


def test_settings_come_from_flag_then_environment_then_profile_then_file(tmp_path: Path) -> None:
    folder = tmp_path / "vcam"
    folder.mkdir()
    (folder / "config.toml").write_text(
        '[run]\nsource = "file-a"\n[profile.b.run]\nsource = "file-b"\n'
    )

    def source_used(*arguments: str, env: dict[str, str] | None = None) -> str:
        return vcam(*arguments, env={"XDG_CONFIG_HOME": str(tmp_path), **(env or {})}).stderr

    assert "file-a" in source_used("run", "-o", "null")
    assert "file-b" in source_used("--profile", "b", "run", "-o", "null")
    assert "file-c" in source_used(
        "--profile", "b", "run", "-o", "null", env={"VCAM_RUN_SOURCE": "file-c"}
    )
    assert "file-d" in source_used(
        "run", "-o", "null", "-s", "file-d", env={"VCAM_RUN_SOURCE": "file-c"}
    )
    refused(
        vcam("--profile", "z", "run", env={"XDG_CONFIG_HOME": str(tmp_path)}),
        "no profile 'z'",
        "known: b",
    )


@pytest.mark.parametrize("command", ["run", "devices", "engines", "mask", "bench"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = vcam(command, "--help")
    assert done.returncode == 0
    assert f"vcam {command}" in done.stdout.split("Usage:")[1].split("\n", 1)[1]


def test_help_lists_run_first_and_examples_on_lines_of_their_own() -> None:
    commands = vcam("--help").stdout.split("Commands")[1].splitlines()[1:]
    assert commands[0].split()[1] == "run"
    told = vcam("run", "--help").stdout
    lines = [line.strip() for line in told.splitlines()]
    assert "vcam run --effect blur --effect skin:0.4 --effect teeth" in lines
    assert "VCAM_" not in told


def test_the_help_of_run_says_what_every_effect_does() -> None:
    words = " ".join(vcam("run", "--help").stdout.replace("•", " ").split())
    for name, spec in EFFECTS.items():
        assert f" {name}: {spec.help.replace('`', '')} " in f"{words} "


def test_the_real_clip_keeps_its_length_and_loses_its_room(tmp_path: Path) -> None:
    clip = DATA / "video" / "webcam_a" / "webcam_a_720p.mp4"
    if not clip.exists():
        pytest.skip(why_absent(clip))
    out = tmp_path / "out.mp4"
    assert vcam("run", "-s", clip, "-e", "color:#00ff00", "-o", out).returncode == 0
    assert video_info(out) == video_info(clip)
    import av

    with av.open(str(out)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    corner = picture[:120, :200].reshape(-1, 3).mean(axis=0)
    assert np.abs(corner - (0, 255, 0)).max() < 12
