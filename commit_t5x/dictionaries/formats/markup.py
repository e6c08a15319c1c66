"""Dictionaries in XML: FreeDict's TEI, and Apertium's bilingual .dix."""

from collections.abc import Iterator
from xml.etree import ElementTree

from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError
from commit_t5x.mixing.dictionary_files import Record

_TEI = "{http://www.tei-c.org/ns/1.0}"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def read_freedict(job: Job) -> Iterator[Record]:
    """Yields the translations of each sense of a TEI dictionary's entries.

    The licence is what the header's <availability> names first, by its link where it has one.

    Raises:
      InputError: the file can't be read, or its translations are all marked as another language's.

    Example, of `<entry><form><orth>tea</orth></form><gramGrp><pos>n</pos></gramGrp><sense>
    <cit type="trans"><quote>चाय</quote></cit></sense></entry>`:
      >>> next(read_freedict(Job("eng-hin.tei", "en", "hi")))[:5]
      ('tea', 'चाय', None, 'n', '')
    """
    licence, others, found = "", {}, False
    for element in _elements(job, f"{_TEI}TEI", (f"{_TEI}availability", f"{_TEI}entry")):
        if element.tag == f"{_TEI}availability":
            links = [link.get("target") for link in element.iter() if link.get("target")]
            licence = (links or [_text(element)])[0]
            continue
        words = [_text(orth) for orth in element.iterfind(f"{_TEI}form//{_TEI}orth")]
        part_of_speech = _text(element.find(f".//{_TEI}pos"))
        for sense in element.iter(f"{_TEI}sense"):
            meaning = _text(sense.find(f"{_TEI}def"))
            for citation in sense.iterfind(f"{_TEI}cit"):
                language = citation.get(_LANGUAGE)
                for quote in citation.iterfind(f"{_TEI}quote"):
                    given = quote.get(_LANGUAGE, language)
                    if citation.get("type") not in ("trans", "translation"):
                        continue
                    if given not in (None, job.target_language):
                        others[given] = None
                        continue
                    found = True
                    for word in words:
                        pair = word, _text(quote)
                        yield Record(*pair, None, part_of_speech, meaning, licence=licence)
    if others and not found:
        raise job.missing(job.target_language, others)


def read_apertium(job: Job) -> Iterator[Record]:
    """Yields the entries of a .dix from its left side to its right side.

    Which languages these are only the file's name says; `dicts invert` turns the result round. Left
    out are entries for the other direction (r="RL"), those that are switched off (i="yes"), and
    those with a regular expression.

    Raises:
      InputError: the file can't be read.

    Example, of `<e><p><l>ice<b/>cream<s n="n"/></l><r>kulfi<s n="n"/></r></p></e>`:
      >>> next(read_apertium(Job("apertium-eng-hin.dix", "en", "hi")))[:5]
      ('ice cream', 'kulfi', None, 'n', '')
    """
    for entry in _elements(job, "dictionary", ("e",)):
        off = entry.get("r") == "RL" or entry.get("i") == "yes"
        if off or entry.find("re") is not None:
            job.skipped["entries for the other direction, switched off, or with a pattern"] += 1
            continue
        left = right = part_of_speech = ""
        for part in entry:
            first, second = (part.find("l"), part.find("r")) if part.tag == "p" else (part, part)
            if part.tag in ("p", "i"):
                left, right = left + _dix_text(first), right + _dix_text(second)
                symbols = [] if first is None else first.findall("s")
                part_of_speech = part_of_speech or next((s.get("n", "") for s in symbols), "")
        yield Record(left, right, None, part_of_speech)


def _elements(job: Job, root: str, tags: tuple[str, ...]) -> Iterator[ElementTree.Element]:
    """Yields the elements of a file with these tags, each forgotten when the next is asked for.

    Raises:
      InputError: the file isn't XML, or its outermost element isn't `root`.
    """
    with job.opened() as file:
        try:
            events = ElementTree.iterparse(file, ("start", "end"))
            _, outermost = next(events)
            if outermost.tag != root:
                raise InputError(
                    f"{job.path}: its outermost element is {outermost.tag}; expected {root}"
                )
            above = [outermost]
            for event, element in events:
                if event == "start":
                    above.append(element)
                    continue
                if element.tag in tags:
                    yield element
                    above[-2].remove(element)
                above.pop()
        except (ElementTree.ParseError, LookupError, ValueError) as error:  # an unknown encoding
            raise InputError(f"{job.path}: not XML, or cut off ({error})") from error


def _text(element: ElementTree.Element | None) -> str:
    return "" if element is None else " ".join("".join(element.itertext()).split())


def _dix_text(element: ElementTree.Element | None) -> str:
    """Returns a side's text; <b/> is a space, and <s/> a grammatical symbol."""
    if element is None:
        return ""

    def inner(child: ElementTree.Element) -> str:
        return " " if child.tag == "b" else _dix_text(child)

    return (element.text or "") + "".join(inner(child) + (child.tail or "") for child in element)
