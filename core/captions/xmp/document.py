"""One XMP document: properties are read and set, everything else is kept.

    xmp = Xmp.parse(data, "photo.jpg.xmp")      # or Xmp.new()
    xmp.set_text("dc:description", "A red car.", "en")
    xmp.add_items("dc:subject", ["car"], "Bag")
    data = xmp.to_bytes()

The packet's wrapper, its padding, comments, and the properties of other programs stay. A file is never trusted: a
document type, and so every entity, is refused before the document is parsed, and size and depth have limits.

Data model and serialisation: ISO 16684-1; https://developer.adobe.com/xmp/docs/.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Final, NoReturn
from xml.parsers import expat

from lxml import etree

from core.captions.forms import CaptionError
from core.errors import printable

LARGEST: Final = 16 << 20  # bytes; Lightroom's sidecars with masks reach a few MiB
DEFAULT: Final = "x-default"
NAMESPACES: Final = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
}
_RDF: Final = f"{{{NAMESPACES['rdf']}}}"
_LANGUAGE: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_TAG: Final = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8}")  # BCP 47, roughly
_INVALID: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0
_NEW: Final = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


class Xmp:
    """An XMP document in memory."""

    def __init__(self, root: etree._Element, around: tuple[str, str], encoding: str) -> None:
        self._root, self._around, self._encoding = root, around, encoding

    @classmethod
    def new(cls) -> Xmp:
        """A document without properties."""
        return cls.parse(_NEW.encode(), "a new document")

    @classmethod
    def parse(cls, data: bytes, name: object) -> Xmp:
        """Read a sidecar; `name` is for messages. Raises CaptionError if it is damaged, too large, or no XMP."""
        if len(data) > LARGEST:
            _refuse(name, f"it is larger than {LARGEST >> 20} MiB")
        encoding = _encoding(data)
        try:
            text = data.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            _refuse(name, f"it is not {encoding.upper()}")
        plain = text.rstrip("\0").encode()
        begin, end = _root_span(plain, name)
        try:
            root = etree.fromstring(plain[begin:end], _parser())
        except etree.XMLSyntaxError as error:
            _refuse(name, str(error.msg))
        xmp = cls(root, (plain[:begin].decode(), plain[end:].decode()), encoding)
        if xmp._rdf() is None:
            _refuse(name, "it has no rdf:RDF in it")
        return xmp

    def to_bytes(self) -> bytes:
        """The document, in the encoding in which it was read."""
        body = etree.tostring(self._root, encoding="unicode", with_tail=False)
        mark = "\ufeff" if self._encoding in ("utf-16", "utf-32") else ""
        encoding = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8-sig"}.get(
            self._encoding, self._encoding
        )
        return f"{mark}{self._around[0]}{body}{self._around[1]}".encode(encoding)

    # --- properties -----------------------------------------------------------------------------------------------

    def languages(self, name: str) -> dict[str, str]:
        """Language -> text of a property with alternatives, in order; "x-default" is the default."""
        element = self._element(name)
        if element is None:
            value = self._attribute(name)
            return {} if value is None else {DEFAULT: value}
        items = _items(element)
        if not items and not len(element):
            return {DEFAULT: element.text or ""}  # written as a simple property, against the standard
        return {_language(one): _value(one) for one in reversed(items)}

    def text(self, name: str, language: str = "") -> str | None:
        """The text of a property in `language`, else the default, else the first; None if it has none."""
        found = self.languages(name)
        if not found:
            return None
        wanted = next((value for tag, value in found.items() if tag.lower() == language.lower()), None)
        return found.get(DEFAULT, next(reversed(found.values()))) if wanted is None else wanted

    def set_text(self, name: str, text: str | None, language: str = "") -> None:
        """Set the default of a property with alternatives, and its `language`; None removes the property.

        Alternatives in other languages stay, except those that say the same as the old default.
        """
        if text is None:
            self._remove(name)
            return
        text = _valid(text)
        found = dict(reversed(self.languages(name).items()))
        before = found.pop(DEFAULT, None)
        others = {one: text if value == before else value for one, value in found.items()}
        if is_language(language):
            others[next((tag for tag in others if tag.lower() == language.lower()), language)] = text
        values = [(DEFAULT, text), *others.items()]
        container = self._replaced(name, "Alt")
        for tag, value in values:
            item = _add(container, f"{_RDF}li")
            item.set(_LANGUAGE, tag)
            item.text = value

    def items(self, name: str) -> list[str]:
        """The values of a list, such as keywords."""
        element = self._element(name)
        if element is None:
            value = self._attribute(name)
            return [] if value is None else [value]
        items = _items(element)
        if not items and element.text and element.text.strip():
            return [element.text.strip()]
        return [_value(one) for one in items]

    def add_items(self, name: str, values: Iterable[str], kind: str = "Bag") -> None:
        """Add values that a list does not hold yet; `kind` of a new list: "Bag" or "Seq"."""
        element = self._element(name)
        there = self.items(name)
        known = {one.casefold() for one in there}
        new = []
        for value in values:
            value = _valid(value).strip()
            if value and value.casefold() not in known:
                known.add(value.casefold())
                new.append(value)
        if not new:
            return
        if element is None or not len(element):
            container = self._replaced(name, kind)
            new = there + new
        else:
            container = element[0]
        for value in new:
            _add(container, f"{_RDF}li").text = value

    def simple(self, name: str) -> str | None:
        """The value of a property that is one text."""
        element = self._element(name)
        return self._attribute(name) if element is None else (element.text or "")

    def set_simple(self, name: str, value: str) -> None:
        """Set a property that is one text, where it stands."""
        value = " ".join(_valid(value).split())
        for description in self._descriptions():
            if description.get(_qualified(name)) is not None:
                description.set(_qualified(name), value)
                return
        element = self._element(name)
        if element is None:
            element = self._new(name)
        else:
            element.clear(keep_tail=True)
        element.text = value

    def names(self) -> set[str]:
        """The qualified names, "{namespace}name", of all properties."""
        found: set[str] = set()
        for description in self._descriptions():
            found.update(
                str(key) for key in description.attrib if not str(key).startswith((_RDF, "{http://www.w3.org/XML"))
            )
            found.update(str(child.tag) for child in description if isinstance(child.tag, str))
        return found

    # --- the tree -------------------------------------------------------------------------------------------------

    def _rdf(self) -> etree._Element | None:
        return self._root if self._root.tag == f"{_RDF}RDF" else self._root.find(f"{_RDF}RDF")

    def _descriptions(self) -> list[etree._Element]:
        rdf = self._rdf()
        return [] if rdf is None else rdf.findall(f"{_RDF}Description")

    def _element(self, name: str) -> etree._Element | None:
        found = (one.find(_qualified(name)) for one in self._descriptions())
        return next((one for one in found if one is not None), None)

    def _attribute(self, name: str) -> str | None:
        found = (one.get(_qualified(name)) for one in self._descriptions())
        return next((one for one in found if one is not None), None)

    def _new(self, name: str) -> etree._Element:
        """A new element for a property."""
        descriptions = self._descriptions()
        rdf = self._rdf()
        assert rdf is not None
        parent = descriptions[0] if descriptions else _add(rdf, f"{_RDF}Description")
        if not descriptions:
            parent.set(f"{_RDF}about", "")
        prefix = name.partition(":")[0]
        return _add(parent, _qualified(name), {prefix: NAMESPACES[prefix]})

    def _replaced(self, name: str, kind: str) -> etree._Element:
        """A new empty container in the property's element, where that stood; other copies of it are removed."""
        element = self._element(name)
        for description in self._descriptions():
            description.attrib.pop(_qualified(name), None)
            for copy in description.findall(_qualified(name)):
                if copy is not element:
                    _drop(copy)
        if element is None:
            element = self._new(name)
        else:
            element.clear(keep_tail=True)
        return _add(element, f"{_RDF}{kind}")

    def _remove(self, name: str) -> None:
        for description in self._descriptions():
            description.attrib.pop(_qualified(name), None)
            for element in description.findall(_qualified(name)):
                _drop(element)


def is_language(tag: str) -> bool:
    """Whether `tag` has the form of a language, such as "de" or "en-GB" (BCP 47)."""
    return _TAG.fullmatch(tag) is not None


def _valid(text: str) -> str:
    """`text` without the characters that XML cannot hold."""
    return _INVALID.sub(lambda one: "\ufffd" if "\ud800" <= one[0] <= "\udfff" else "", text)


def _qualified(name: str) -> str:
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def _items(element: etree._Element) -> list[etree._Element]:
    return [one for container in element for one in container.findall(f"{_RDF}li")]


def _language(item: etree._Element) -> str:
    tag = item.get(_LANGUAGE) or DEFAULT
    return DEFAULT if tag.lower() == DEFAULT else str(tag)


def _value(item: etree._Element) -> str:
    """The text of an item; one with qualifiers holds it in rdf:value."""
    inner = item.find(f".//{_RDF}value")
    return (item.text if inner is None else inner.text) or ""


def _add(parent: etree._Element, tag: str, names: dict[str, str] | None = None) -> etree._Element:
    """A new last child, on its own line with the indentation of the others."""
    outer = "\n"
    above = parent.getparent()
    if above is not None and above.text and not above.text.strip():
        outer = above.text
    inner = parent.text if len(parent) and parent.text and not parent.text.strip() else f"{outer} "
    child = etree.SubElement(parent, tag, nsmap=names)
    before = child.getprevious()
    if before is None:
        parent.text = inner
        child.tail = outer
    else:
        child.tail = before.tail if before.tail and before.tail.strip() == "" else outer
        before.tail = inner
    return child


def _drop(element: etree._Element) -> None:
    """Remove an element; the white space after it takes the place of that before it."""
    parent, before = element.getparent(), element.getprevious()
    assert parent is not None
    if before is not None:
        before.tail = element.tail
    else:
        parent.text = element.tail
    element.tail = None
    parent.remove(element)


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_pis=False
    )


def _encoding(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "utf-8"


def _root_span(data: bytes, name: object) -> tuple[int, int]:
    """First and last byte + 1 of the root element. Refuses a document type, and what is not well-formed."""
    reader = expat.ParserCreate("utf-8")
    depth, begin, end = 0, -1, -1

    def start(tag: str, attributes: object) -> None:
        nonlocal depth, begin
        if depth == 0:
            begin = reader.CurrentByteIndex
        depth += 1

    def stop(tag: str) -> None:
        nonlocal depth, end
        depth -= 1
        if depth == 0:
            end = data.find(b">", reader.CurrentByteIndex) + 1

    def refuse(*_: object) -> NoReturn:
        _refuse(name, "it declares a document type, which XMP never needs")

    reader.StartElementHandler, reader.EndElementHandler = start, stop
    reader.StartDoctypeDeclHandler = refuse
    try:
        reader.Parse(data, True)
    except expat.ExpatError as error:
        _refuse(name, f"{expat.ErrorString(error.code)} in line {error.lineno}")
    if not data.startswith(b"</", data.rfind(b"<", begin, end)):
        _refuse(name, "it is empty, without rdf:RDF")
    return begin, end


def _refuse(name: object, reason: str) -> NoReturn:
    shown = printable(reason, 120)
    raise CaptionError(
        f"'{printable(name)}' cannot be read as XMP: {shown}; mend it or move it away, it was not changed"
    )
