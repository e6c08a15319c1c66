"""Files as StarDict's own StarDictFileFormat says (github.com/huzheng001/stardict-3)."""

import gzip
import struct

import pytest

from commit_t5x.dictionaries.formats import stardict
from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError

PAIRS = [("ice", "बर्फ़"), ("water", "पानी"), ("water", "जल")]
PLAIN = [("ice", "बर्फ़ (noun)".encode()), ("water", "1. पानी; जल".encode())]


def write(folder, entries, *info, packed=False, wide=False):
    header = ["StarDict's dict ifo file", "version=3.0.0", "bookname=x", *info]
    (folder / "x.ifo").write_text("\n".join(header) + "\n", encoding="utf-8")
    index, definitions = b"", b""
    for word, data in entries:
        place = struct.pack(">QI" if wide else ">II", len(definitions), len(data))
        index += word.encode() + b"\0" + place
        definitions += data
    if packed:
        (folder / "x.idx.gz").write_bytes(gzip.compress(index))
        (folder / "x.dict.dz").write_bytes(gzip.compress(definitions))
    else:
        (folder / "x.idx").write_bytes(index)
        (folder / "x.dict").write_bytes(definitions)
    return folder / "x.ifo"


def read(path):
    return [record[:2] for record in stardict.read(Job(str(path), "en", "hi"))]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_plain_definitions(tmp_path, packed, wide):
    info = ["sametypesequence=m"] + ["idxoffsetbits=64"] * wide
    assert read(write(tmp_path, PLAIN, *info, packed=packed, wide=wide)) == PAIRS


def test_a_pronunciation_before_marked_up_text(tmp_path):
    entries = [
        ("ice", b"ais\0" + "<b>बर्फ़</b>".encode()),
        ("water", b"wo\0" + "<p>पानी</p><p>जल</p>".encode()),
    ]
    assert read(write(tmp_path, entries, "sametypesequence=th")) == PAIRS


def test_entities_are_characters(tmp_path):
    entries = [("tea", "<b>चाय &amp; दूध</b> &lt;कप&gt;".encode())]
    found = [("tea", "चाय & दूध"), ("tea", "<कप>")]
    assert read(write(tmp_path, entries, "sametypesequence=h")) == found


def test_fields_that_say_their_types(tmp_path):
    entries = [
        ("ice", b"tais\0W\0\0\0\3\0m\1m" + "बर्फ़".encode() + b"\0"),
        ("water", "mपानी".encode() + b"\0" + "mजल".encode() + b"\0"),
    ]
    assert read(write(tmp_path, entries)) == PAIRS


def test_files_that_are_missing_or_cut_off(tmp_path):
    path = write(tmp_path, PLAIN, "sametypesequence=m")
    for name, what in (("x.dict", "the .dict file is cut off"), ("x.idx", "the .idx file is cut")):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-3])
        with pytest.raises(InputError, match=f"x.ifo: {what}"):
            read(path)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "x.dict").unlink()
    with pytest.raises(InputError, match="x.ifo: no x.dict or x.dict.dz beside it"):
        read(path)
    (tmp_path / "x.ifo").write_text("version=3.0.0\n", encoding="utf-8")
    with pytest.raises(InputError, match="x.ifo: not an .ifo file, which begins with"):
        read(path)
