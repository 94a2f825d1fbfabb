"""Turn MediaPipe's published face detectors and face mesh into engine folders: graph, parity,
`engine.toml`, card.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.data.image import Image
from export.engine.card_quality import table
from export.engine.convert import parity_pictures
from export.engine.folder import new_folder, write_graph, write_manifest
from export.errors import ExportError
from export.onnx.face_engines import (
    POINTS,
    FaceEngine,
    anchor_centres,
    fast_face_graph,
    half_face_graph,
    plain_face_graph,
)
from export.onnx.graph import OPSET
from export.onnx.parity import FEWEST_IMAGES, cpu_session
from export.weights.tflite import is_tflite, parse_tflite
from vcam.engine_toml import EngineFile, EngineManifest, Origin

_TEMPLATES = Path(__file__).resolve().parents[1] / "cards"
_LARGEST_BYTES = 64 * 2**20
_IMAGES = 32
_LICENCE = "Apache-2.0"
RELATIVE_LIMIT = 1e-4
"""Of the largest number in an output: the float32 file from LiteRT."""
SCORE_LIMIT, PLACE_LIMIT = 0.02, 0.004
"""The float16 file from the float32 one: scores, and means of places in shares of the input's
side.
"""


@dataclass(frozen=True, slots=True)
class FaceConvertConfig:
    """What to convert. checkpoint: the .tflite file, or the .task archive that holds it; pictures
    as `ConvertConfig`.
    """

    engine: FaceEngine
    checkpoint: Path
    out: Path
    images: Path | None = None
    data: Path | None = None


@dataclass(frozen=True, slots=True)
class FaceParity:
    """How far a file is from its reference, over `images` pictures.

    score_max: the largest difference of scores. place_max, place_mean: the largest difference and
    the mean over pictures of places, in shares of the input's side; of a detector those of the
    surest box. relative_max: of all outputs, as a share of the largest number in any picture's.
    """

    reference: str
    images: int
    relative_max: float
    score_max: float
    place_max: float
    place_mean: float


def convert_faces(config: FaceConvertConfig) -> Path:
    """Write the engine folder `config.out`, in the place of an older one, and return it.

    Raises:
        ExportError: the file or the pictures are not usable, or parity fails; `out` is as before.
    """
    engine = config.engine
    data = read_published(engine, config.checkpoint)
    plain = plain_face_graph(engine, parse_tflite(data, str(config.checkpoint)))
    single, half = fast_face_graph(plain), half_face_graph(plain)
    images = parity_pictures(
        "face", (engine.side, engine.side), config.images, config.data, _IMAGES
    )
    parity = {
        "fp32": asdict(check_litert(engine, data, single, images)),
        "fp16": asdict(check_half_faces(engine, single, half, images)),
    }
    with new_folder(config.out) as made:
        files = [
            write_graph(made, f"{engine.name}_{precision}", precision, model, parity[precision])
            for precision, model in (("fp32", single), ("fp16", half))
        ]
        write_manifest(made, _manifest(engine, files))
        (made / "CARD.md").write_text(_card(engine, files), encoding="utf-8")
    return config.out


def read_published(engine: FaceEngine, path: Path) -> bytes:
    """The bytes of the published .tflite file, which may lie in a .task archive.

    Raises:
        ExportError: it cannot be read or is another file.
    """
    try:
        data = path.read_bytes() if is_tflite(path) else _member(engine, path)
    except OSError as error:
        raise ExportError(
            f"{path}: {error.strerror}; give {engine.member} or the .task file that holds it"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != engine.sha256:
        raise ExportError(
            f"{path}: not the published {engine.member} (sha256 {found[:12]}..., wanted "
            f"{engine.sha256[:12]}...); "
            f"it comes from {engine.source}"
        )
    return data


def _member(engine: FaceEngine, path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(engine.member).file_size > _LARGEST_BYTES:
                raise ExportError(
                    f"{path}: {engine.member} in it is larger than {_LARGEST_BYTES >> 20} MiB"
                )
            return archive.read(engine.member)
    except KeyError as error:
        raise ExportError(
            f"{path}: holds no {engine.member}; it comes from {engine.source}"
        ) from error
    except zipfile.BadZipFile as error:
        raise ExportError(
            f"{path}: neither a .tflite file nor an archive; it comes from {engine.source}"
        ) from error
    except (NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ExportError(f"{path}: a damaged archive ({error}); download it again") from error


def check_litert(
    engine: FaceEngine, data: bytes, model: onnx.ModelProto, images: Image
) -> FaceParity:
    """Compare a graph with the published file in LiteRT. images: uint8 [N, S, S, 3] RGB.

    Raises:
        ExportError: LiteRT is missing, there are fewer than 8 pictures, or the difference is beyond
            the limit.
    """
    parity = _compared(
        "litert", engine, [litert_answer(engine, data, image) for image in images], model, images
    )
    if parity.relative_max >= RELATIVE_LIMIT:
        raise ExportError(
            f"parity: ONNX is off by {parity.relative_max:.1e} of the largest number (limit "
            f"{RELATIVE_LIMIT:.0e}) "
            "from LiteRT"
        )
    return parity


def check_half_faces(
    engine: FaceEngine, single: onnx.ModelProto, half: onnx.ModelProto, images: Image
) -> FaceParity:
    """Compare the float16 graph with the float32 one. images: uint8 [N, S, S, 3] RGB.

    Raises:
        ExportError: there are fewer than 8 pictures, or the differences are beyond the limits.
    """
    session = cpu_session(single.SerializeToString())
    parity = _compared(
        "fp32",
        engine,
        [session.run(None, {"image": image[None]}) for image in images],
        half,
        images,
    )
    if parity.score_max >= SCORE_LIMIT or parity.place_mean >= PLACE_LIMIT:
        raise ExportError(
            f"parity: float16 is off from float32 by {parity.score_max:.3f} in scores (limit "
            f"{SCORE_LIMIT}) and by "
            f"{parity.place_mean:.4f} of the side in places (limit {PLACE_LIMIT})"
        )
    return parity


def litert_answer(engine: FaceEngine, data: bytes, image: Image) -> list[NDArray[np.float32]]:
    """What the published network answers in LiteRT, in the engine's words. image: uint8 [S, S, 3]
    RGB.

    Raises:
        ExportError: LiteRT is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ExportError(
            "parity needs the package ai-edge-litert; pip install 'vcam[export]'"
        ) from error
    interpreter: Any = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    pixels = (image.astype(np.float32) - np.float32(engine.offset)) * np.float32(engine.scale)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None])
    interpreter.invoke()
    found = {
        int(x["shape"][-1]): interpreter.get_tensor(x["index"])
        for x in interpreter.get_output_details()
    }
    score = 1 / (1 + np.exp(-np.clip(found[1], -80, 80)))
    if engine.task == "landmarks":
        return [found[3 * POINTS].reshape(1, POINTS, 3) / engine.side, score.reshape(1)]
    boxes, centres = found[16] / engine.side, anchor_centres(engine.anchors)
    boxes[0, :, :2] += centres
    for column in range(4, 16, 2):
        boxes[0, :, column : column + 2] += centres
    return [np.concatenate([score, boxes], axis=2)]


def _compared(
    reference: str,
    engine: FaceEngine,
    expected: list[list[NDArray[np.float32]]],
    model: onnx.ModelProto,
    images: Image,
) -> FaceParity:
    if len(images) < FEWEST_IMAGES:
        raise ExportError(
            f"parity needs at least {FEWEST_IMAGES} pictures, got {len(images)}; name a folder "
            "with more"
        )
    session = cpu_session(model.SerializeToString())
    scales = [
        max(float(np.abs(answer).max()) for answer in answers)
        for answers in zip(*expected, strict=True)
    ]
    relative, scores, places = 0.0, 0.0, []
    for image, wanted in zip(images, expected, strict=True):
        found = session.run(None, {"image": image[None]})
        if not all(np.isfinite(x).all() for x in found):
            raise ExportError("parity: the network answers with numbers that are not finite")
        errors = [
            float(np.abs(a - b).max()) / scale
            for a, b, scale in zip(wanted, found, scales, strict=True)
        ]
        relative = max(relative, *errors)
        if engine.task == "landmarks":
            scores = max(scores, float(np.abs(wanted[1] - found[1]).max()))
            places.append(np.abs(wanted[0] - found[0])[..., :2])
        else:
            scores = max(scores, float(np.abs(wanted[0][..., 0] - found[0][..., 0]).max()))
            best = int(wanted[0][0, :, 0].argmax())
            places.append(np.abs(wanted[0][0, best, 1:] - found[0][0, best, 1:]))
    largest, mean = max(float(p.max()) for p in places), max(float(p.mean()) for p in places)
    return FaceParity(
        reference, len(images), *(float(f"{x:.2g}") for x in (relative, scores, largest, mean))
    )


def _manifest(engine: FaceEngine, files: list[EngineFile]) -> EngineManifest:
    return EngineManifest(
        task=engine.task,
        model=engine.name,
        classes=("face",),
        licence=_LICENCE,
        opset=OPSET,
        size=(engine.side, engine.side),
        threshold=engine.threshold if engine.task == "detect" else None,
        origin=Origin(f"published, {engine.source}"),
        files=tuple(files),
    )


def _card(engine: FaceEngine, files: list[EngineFile]) -> str:
    rows = [
        [
            f"`{file.name}`",
            file.precision,
            f"{file.bytes / 1e6:.2f} MB",
            file.parity["reference"],
            f"{file.parity['relative_max']:.1e}",
            f"{file.parity['score_max']:.1e}",
            f"{file.parity['place_mean']:.1e}",
            str(file.parity["images"]),
        ]
        for file in files
    ]
    head = [
        "File",
        "precision",
        "size",
        "against",
        "largest relative difference",
        "scores",
        "places",
        "pictures",
    ]
    template = Template((_TEMPLATES / f"{engine.name}.md").read_text(encoding="utf-8"))
    quality = _TEMPLATES / "shipped" / f"{engine.name}.md"
    return template.substitute(
        source=engine.source,
        sha256=engine.sha256,
        files=table(head, rows),
        quality=quality.read_text(encoding="utf-8").strip() if quality.is_file() else "",
    )
