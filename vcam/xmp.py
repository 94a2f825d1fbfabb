"""XMP, the notes of photographs (ISO 16684-1): what of it stays true of a changed picture."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree

_TIFF = "http://ns.adobe.com/tiff/1.0/"
_XAP = "http://ns.adobe.com/xap/1.0/"
_STALE = {f"{{{_TIFF}}}Orientation", f"{{{_XAP}}}Thumbnails"}
"""The orientation was applied; a thumbnail shows the old picture."""
_STALE_SPACES = (
    "http://ns.google.com/photos/1.0/",  # GDepth, GImage, GCamera, GContainer: depth map, the
    "http://ns.google.com/photos/dd/",  # picture before its blur, film of a motion photo
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.apple.com/HDRGainMap/",
)
"""About parts of a file that are not kept, or such parts themselves, in base 64."""
_GPANO = "http://ns.google.com/photos/1.0/panorama/"
_LONGEST_NOTE = 2000
"""Characters; longer values may be pictures."""
_OWN_PREFIX = re.compile(r"ns\d+")
_BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_END = '\n<?xpacket end="w"?>'


def cleaned_xmp(packet: bytes | str | None, hides: bool = False) -> bytes:
    """The packet without orientation, thumbnails and notes about what is not kept; empty if nothing
    is left, or if it is no XMP.

    hides: an effect hides the room. Then values that are long enough to be pictures go, too.
    """
    data = packet.encode() if isinstance(packet, str) else packet or b""
    data = data.strip(b"\0 \n")
    if not data or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return b""
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - no document type, so no entities
    except (ElementTree.ParseError, ValueError, LookupError):
        return b""
    if not _clean(root, hides):
        return data
    if not any(True for _ in _notes(root)):
        return b""
    for prefix, space in _prefixes(data):
        if not _OWN_PREFIX.fullmatch(prefix):
            ElementTree.register_namespace(prefix, space)
    return f"{_BEGIN}{ElementTree.tostring(root, encoding='unicode')}{_END}".encode()


def _clean(root: ElementTree.Element, hides: bool) -> bool:
    """Remove what is stale; whether anything was."""
    found = False
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if _is_stale(name, value, hides):
                del element.attrib[name]
                found = True
        for child in list(element):
            if _is_stale(child.tag, child.text or "", hides):
                element.remove(child)
                found = True
    return found


def _is_stale(name: str, value: str, hides: bool) -> bool:
    space = name[1:].partition("}")[0]
    gone = space.startswith(_STALE_SPACES) and space != _GPANO
    return name in _STALE or gone or (hides and len(value) > _LONGEST_NOTE)


def _notes(root: ElementTree.Element) -> Iterator[str]:
    """The names of what is noted: properties below or in an rdf:Description."""
    for element in root.iter():
        if element.tag.endswith("}Description"):
            yield from (name for name in element.attrib if not name.endswith("}about"))
            yield from (child.tag for child in element)


def _prefixes(data: bytes) -> Iterator[tuple[str, str]]:
    """(prefix, namespace) as the packet calls them."""
    for _, pair in ElementTree.iterparse(io.BytesIO(data), ["start-ns"]):  # noqa: S314
        prefix, space = pair
        if prefix and space:
            yield prefix, space
