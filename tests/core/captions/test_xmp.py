"""XMP sidecars: what other programs wrote stays, and real programs read what we write."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.captions.forms import CaptionError, clean
from core.captions.xmp.document import Xmp
from core.captions.xmp.sidecars import CaptionFields, caption_of, read_xmp, write_caption, write_fields
from tests.core.captions.programs import exiftool, exiv2, needs_exiftool, needs_exiv2

FIELDS = CaptionFields(
    description="A red car & two <dogs>.\nIt rains — “über” 東京 🦆.",
    language="en-GB",
    alt_text="Red car with dogs.",
    keywords=("car", "dog", "Car"),
    writer="Inquisight (vision model pocket, questioner scripted)",
    tool="Inquisight 0.1.0",
    date=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
)
# As digiKam, darktable and Lightroom write them: attributes, other namespaces, comments, structures, padding.
FOREIGN = (
    """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- kept by its owner -->
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
   xmp:Rating="4"
   xmp:CreatorTool="Adobe Photoshop Lightroom 6.0"
   darktable:xmp_version="5"
   crs:Exposure2012="+0.35">
   <!-- inside -->
   <darktable:history>
    <rdf:Seq>
     <rdf:li darktable:num="0" darktable:operation="exposure" darktable:params="00000000beef"/>
    </rdf:Seq>
   </darktable:history>
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Places/Köln</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Köln</rdf:li></rdf:Bag></lr:hierarchicalSubject>
   <dc:subject><rdf:Bag><rdf:li>Köln</rdf:li></rdf:Bag></dc:subject>
   <dc:description>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">old</rdf:li>
     <rdf:li xml:lang="de">alt</rdf:li>
     <rdf:li xml:lang="en-us">old</rdf:li>
    </rdf:Alt>
   </dc:description>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Title</rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
    + "\n".join([" " * 99] * 20)
    + '\n<?xpacket end="w"?>'
)


def test_a_new_sidecar_has_all_fields(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg.xmp"
    write_fields(path, FIELDS)
    xmp = read_xmp(path)
    assert xmp is not None
    assert caption_of(xmp) == FIELDS.description
    assert xmp.languages("dc:description") == {"x-default": FIELDS.description, "en-GB": FIELDS.description}
    assert xmp.items("dc:subject") == ["car", "dog"]
    assert xmp.simple("xmp:CreatorTool") == "Inquisight 0.1.0"
    assert path.read_text("utf-8").splitlines()[3] == '  <rdf:Description rdf:about="">'


@needs_exiftool
def test_exiftool_reads_every_field(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg.xmp"
    write_fields(path, FIELDS)
    found = exiftool(path)
    assert found["XMP-dc:Description"] == FIELDS.description
    assert found["XMP-tiff:ImageDescription"] == FIELDS.description
    assert found["XMP-iptcCore:AltTextAccessibility"] == FIELDS.alt_text
    assert found["XMP-dc:Subject"] == ["car", "dog"]
    assert found["XMP-digiKam:TagsList"] == ["car", "dog"]
    assert found["XMP-photoshop:CaptionWriter"] == FIELDS.writer
    assert found["XMP-xmp:CreatorTool"] == "Inquisight 0.1.0"
    assert found["XMP-xmp:MetadataDate"] == "2026:03:04 05:06:07+00:00"
    assert "Warning" not in str(found) and "Error" not in str(found)
    assert exiftool(path, "-lang", "en")["XMP-dc:Description"]
    languages = exiftool(path, "-XMP-dc:Description-en-GB")
    assert languages["XMP-dc:Description-en-GB"] == FIELDS.description


@needs_exiv2
def test_exiv2_reads_every_field(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg.xmp"
    write_fields(path, CaptionFields("A red car.", "de", "Red.", ("car", "dog"), "W", "T", FIELDS.date))
    found = exiv2(path)
    assert found["Xmp.dc.description"] == 'lang="x-default" A red car., lang="de" A red car.'
    assert found["Xmp.tiff.ImageDescription"].startswith('lang="x-default" A red car.')
    assert found["Xmp.iptc.AltTextAccessibility"].startswith('lang="x-default" Red.')
    assert found["Xmp.dc.subject"] == "car, dog"
    assert found["Xmp.digiKam.TagsList"] == "car, dog"


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg.xmp"
    path.write_text(FOREIGN, "utf-8")
    write_fields(path, FIELDS)
    text = path.read_text("utf-8")
    for kept in (
        "<!-- kept by its owner -->",
        "<!-- inside -->",
        'x:xmptk="XMP Core 4.4.0-Exiv2"',
        'xmp:Rating="4"',
        'crs:Exposure2012="+0.35"',
        'darktable:params="00000000beef"',
        "<lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Köln</rdf:li></rdf:Bag></lr:hierarchicalSubject>",
        '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Title</rdf:li></rdf:Alt></dc:title>',
        'xmp:CreatorTool="Adobe Photoshop Lightroom 6.0"',
    ):
        assert kept in text
    assert text.endswith(FOREIGN[FOREIGN.index("</x:xmpmeta>") :])  # the padding, to the byte
    assert text.startswith(FOREIGN[: FOREIGN.index("<x:xmpmeta")])
    xmp = Xmp.parse(text.encode(), path)
    assert xmp.languages("dc:description") == {
        "x-default": FIELDS.description,
        "de": "alt",
        "en-us": FIELDS.description,  # it said the same as the default
        "en-GB": FIELDS.description,
    }
    assert xmp.items("dc:subject") == ["Köln", "car", "dog"]
    assert xmp.items("digiKam:TagsList") == ["Places/Köln", "car", "dog"]


def test_a_change_that_is_taken_back_leaves_the_same_document(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg.xmp"
    path.write_text(FOREIGN, "utf-8")
    xmp = Xmp.parse(FOREIGN.encode(), path)
    same = xmp.to_bytes().decode()
    for name in ("Rating", "Köln", "TagsList", "kept by its owner"):
        assert same.count(name) == FOREIGN.count(name)
    xmp.set_text("tiff:ImageDescription", "new")
    xmp.set_text("tiff:ImageDescription", None)
    assert xmp.to_bytes().decode() == same


def test_properties_written_against_the_standard_are_read_and_mended(tmp_path: Path) -> None:
    document = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        '<rdf:Description rdf:about="" dc:description="an attribute"><dc:subject>one</dc:subject></rdf:Description>'
        '<rdf:Description rdf:about=""><dc:title>t</dc:title></rdf:Description></rdf:RDF>'
    )
    xmp = Xmp.parse(document.encode(), "x")
    assert caption_of(xmp) == "an attribute"
    assert xmp.items("dc:subject") == ["one"]
    xmp.set_text("dc:description", "new")
    xmp.add_items("dc:subject", ["two"])
    again = Xmp.parse(xmp.to_bytes(), "x")
    assert (caption_of(again), again.items("dc:subject")) == ("new", ["one", "two"])
    assert b"an attribute" not in xmp.to_bytes()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_other_encodings_are_kept(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.xmp"
    path.write_bytes(FOREIGN.removeprefix("\ufeff").encode(encoding))
    write_caption(path, "Größe")
    assert path.read_bytes()[:2] == FOREIGN.encode(encoding)[:2]
    xmp = read_xmp(path)
    assert xmp is not None and caption_of(xmp) == "Größe"


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>'
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&a;</x:xmpmeta>'


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"", "no element found"),
        (b"not XML", "line 1"),
        (FOREIGN.encode()[:700], "line"),
        (b"<a/>", "without rdf:RDF"),
        (b"<a></a>", "no rdf:RDF"),
        (BOMB, "document type"),
        (OUTSIDE, "document type"),
        (BOMB.decode().encode("utf-16"), "document type"),
        (FOREIGN.encode("latin-1", "replace"), "not UTF-8"),
        (b"<a>" * 100_000, "line 1"),
        (b"<a>" * 1000 + b"</a>" * 1000, "depth"),
        (b'<rdf:RDF xmlns:rdf="x">&nbsp;</rdf:RDF>', "undefined entity"),
        (b" " * (16 << 20) + b"<a/>", "larger than 16 MiB"),
    ],
)
def test_a_damaged_sidecar_is_one_line_and_stays(damaged: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg.xmp"
    path.write_bytes(damaged)
    with pytest.raises(CaptionError) as caught:
        write_fields(path, FIELDS)
    assert reason in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == damaged


def test_a_caption_that_is_removed_takes_only_our_sidecar_away(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "a.xmp", tmp_path / "b.xmp"
    write_caption(ours, "a caption")
    write_caption(ours, None)
    assert not ours.exists()
    theirs.write_text(FOREIGN, "utf-8")
    write_caption(theirs, None)
    xmp = read_xmp(theirs)
    assert xmp is not None and caption_of(xmp) is None
    assert xmp.items("dc:subject") == ["Köln"]


ANY_TEXT = st.text(st.characters(codec=None), max_size=60) | st.text(string.printable, max_size=60)


@given(ANY_TEXT)
@example("\ufffe\uffff\x00\x0b\x7f\x85\u2028\ud800 ]]> &amp; <!-- --> \r\n\r")
def test_every_caption_comes_back(text: str) -> None:
    xmp = Xmp.new()
    CaptionFields(clean(text), "de", clean(text)).apply(xmp)
    again = Xmp.parse(xmp.to_bytes(), "x")
    assert caption_of(again) == clean(text) == again.text("Iptc4xmpCore:AltTextAccessibility", "de")
    raw = Xmp.new()
    raw.set_text("dc:description", text)  # also without `clean`, nothing unreadable is written
    Xmp.parse(raw.to_bytes(), "x")


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_bytes_of_any_kind_are_read_or_refused_in_one_line(data: bytes) -> None:
    try:
        Xmp.parse(data, "x").to_bytes()
    except CaptionError as error:
        assert "\n" not in str(error)


@given(st.integers(0, len(FOREIGN.encode()) - 1), st.binary(min_size=1, max_size=3))
def test_a_damaged_document_is_read_or_refused(at: int, other: bytes) -> None:
    data = FOREIGN.encode()
    try:
        xmp = Xmp.parse(data[:at] + other + data[at + len(other) :], "x")
        FIELDS.apply(xmp)
        assert caption_of(Xmp.parse(xmp.to_bytes(), "x")) == FIELDS.description
    except CaptionError as error:
        assert "\n" not in str(error)


@needs_exiftool
@settings(max_examples=5, deadline=None)
@given(st.lists(ANY_TEXT, min_size=40, max_size=40))
@example([chr(number) for number in range(0x2000, 0x2028)])
def test_exiftool_reads_every_kind_of_text(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("xmp") / "many.xmp"
    caption = "|".join(clean(text) for text in texts)
    write_caption(path, caption)
    assert exiftool(path)["XMP-dc:Description"] == caption
