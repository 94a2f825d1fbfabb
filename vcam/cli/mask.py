"""`vcam mask`: masks of pictures and films, written to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vcam.catalogue import AUTO_ENGINE
from vcam.cli.options import OUTLINES, Backend, Engine, Engines, Recursive, Threads, Verbose
from vcam.cli.signals import stopped_by
from vcam.errors import UsageError


def mask(
    images: Annotated[
        list[str],
        typer.Argument(help="Pictures, films, folders or patterns of them.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the masks; created.")],
    engine: Engine = AUTO_ENGINE,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Minimum share of person, or of the class."),
    ] = None,
    heatmap: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS", help="Soft values 0..255 of a class: person; face, lips, teeth ..."
        ),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="With a face engine: the number of each class, 0..8.")
    ] = False,
    palette: Annotated[
        str | None,
        typer.Option(
            metavar="[NAME]",
            help="With a face engine: a colour for each class, vcam or easyportrait; and a legend.",
        ),
    ] = None,
    landmarks: Annotated[
        bool, typer.Option("--landmarks", help="The 478 points of each face, as JSON.")
    ] = False,
    overlay: Annotated[
        str,
        typer.Option(
            metavar="[OPACITY]",
            help="The mask over the picture, 0..1; without a number: the outlines of its faces.",
        ),
    ] = "",
    film: Annotated[
        str,
        typer.Option(
            help="Of films: mp4 and mkv are grey; mov (ProRes 4444) and webm (VP9) are the film"
            " with the mask as transparency."
        ),
    ] = "mp4",
    suffix: Annotated[
        str, typer.Option(metavar="TEXT", help="Text after each file's stem, for instance _lips.")
    ] = "",
    recursive: Recursive = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace masks that exist.")
    ] = False,
    backend: Backend = "auto",
    threads: Threads = 1,
    engines: Engines = None,
    verbose: Verbose = False,
) -> None:
    """Write a mask of the people in each picture, an 8-bit PNG of the picture's own size and stem,
    and in each film, a film of its own length.

    Examples:

    ```sh
    vcam mask photo.jpg --out masks
    vcam mask holiday/ --out masks --heatmap person
    # the picture with people coloured
    vcam mask photo.jpg --out masks --overlay 0.5
    # a film with transparency
    vcam mask talk.mp4 --out masks --film mov
    # the parts of faces: 0 background, 1 person, 2 skin, 3 left brow, 4 right
    # brow, 5 left eye, 6 right eye, 7 lips, 8 teeth
    vcam mask photo.jpg --out masks --engine portraitnet_face_fp32 --labels
    # the points of faces in faces/photo.json, and the picture with their
    # outlines in faces/photo.png
    vcam mask photo.jpg --out faces --landmarks --overlay
    ```
    """
    from vcam.cli.masking import FILM_SUFFIXES, MaskRequest, kind_of, run_masks

    outlines = overlay == OUTLINES
    kind = kind_of(labels, palette, heatmap, threshold, overlay)
    others = {
        "--labels": labels,
        "--palette": palette is not None,
        "--heatmap": heatmap is not None,
        "--threshold": threshold is not None,
        "--overlay with a number": kind.overlay is not None,
    }
    if landmarks and (given := [name for name, on in others.items() if on]):
        raise UsageError(f"--landmarks goes with --overlay alone, not with {' and '.join(given)}")
    if film not in FILM_SUFFIXES:
        raise UsageError(f"--film {film}: unknown; known: {', '.join(FILM_SUFFIXES)}")
    request = MaskRequest(
        tuple(images),
        out,
        kind,
        landmarks,
        outlines,
        film,
        suffix,
        recursive,
        overwrite,
        engine,
        tuple(engines or ()),
        backend,
        threads,
    )
    run_masks(request, stopped_by)
