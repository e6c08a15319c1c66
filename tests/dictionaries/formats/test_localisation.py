"""Catalogues as https://www.gnu.org/software/gettext/manual says; CLDR as babel ships it."""

import io

import pytest
from babel.messages import mofile, pofile

from commit_t5x.dictionaries.formats import localisation
from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError

CATALOGUE = r"""
msgid ""
msgstr ""
"Language: sw\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=n != 1;\n"

msgctxt "menu"
msgid "_Open:"
msgstr "_Fungua:"

msgid "day"
msgid_plural "days"
msgstr[0] "siku"
msgstr[1] "masiku"

msgid "%(count)s files"
msgstr "faili %(count)s"

msgid "<b>bold</b>"
msgstr "<b>nzito</b>"

#, fuzzy
msgid "guess"
msgstr "kisio"

msgid "untranslated"
msgstr ""

#~ msgid "gone"
#~ msgstr "imeondoka"
"""
RECORDS = [("Open", "Fungua", "menu"), ("day", "siku", ""), ("days", "masiku", "")]


def compiled():
    file = io.BytesIO()
    mofile.write_mo(file, pofile.read_po(io.BytesIO(CATALOGUE.encode())))
    return file.getvalue()


def read(place, target="sw"):
    job = Job(str(place), "en", target)
    return [(r.source, r.target, r.sense) for r in localisation.read_gettext(job)], job.skipped


def test_po_and_mo(tmp_path):
    (tmp_path / "x.po").write_text(CATALOGUE, encoding="utf-8")
    records, skipped = read(tmp_path / "x.po")
    assert records == RECORDS
    assert skipped == {"messages with placeholders or markup": 2}
    (tmp_path / "x.mo").write_bytes(compiled())
    records, _ = read(tmp_path / "x.mo")
    assert sorted(records) == sorted(RECORDS)


def test_a_folder_of_catalogues(tmp_path):
    for language, name in (("sw", "a"), ("sw", "b"), ("zh_Hans", "a")):
        folder = tmp_path / name / "locale" / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "app.po").write_text(CATALOGUE.replace("sw", language), encoding="utf-8")
        (folder / "app.mo").write_bytes(b"not read: the text beside it is")
    assert read(tmp_path)[0] == RECORDS * 2
    assert read(tmp_path, "zh-Hans")[0] == RECORDS
    with pytest.raises(InputError, match="nothing in language 'sv'; it has sw, zh_Hans"):
        read(tmp_path, "sv")


def test_a_catalogue_in_another_language(tmp_path):
    (tmp_path / "x.po").write_text(CATALOGUE, encoding="utf-8")
    with pytest.raises(InputError, match="nothing in language 'bn'; it has sw"):
        read(tmp_path / "x.po", "bn")


@pytest.mark.parametrize("cut", [2, 100])
def test_a_compiled_catalogue_cut_off(tmp_path, cut):
    (tmp_path / "x.mo").write_bytes(compiled()[:cut])
    with pytest.raises(InputError, match=r"x\.mo: not a gettext catalogue"):
        read(tmp_path / "x.mo")


def test_names_of_cldr():
    records = list(localisation.read_cldr(Job("all", "en", "sw")))
    pairs = {(r.source, r.target, r.sense) for r in records}
    assert len(pairs) == len(records) > 1000
    assert {r.sense for r in records} == set(localisation.KINDS)
    assert pairs >= {
        ("Egypt", "Misri", "territories"),
        ("August", "Agosti", "months"),
        ("Sunday", "Jumapili", "days"),
        ("yesterday", "jana", "relative_dates"),
        ("kilograms", "kilogramu", "units"),
    }


def test_kinds_and_languages_of_cldr():
    days = list(localisation.read_cldr(Job("days,months", "en", "ur")))
    assert {r.sense for r in days} == {"days", "months"}
    with pytest.raises(InputError, match="^moths: CLDR has no such names; expected all, or terr"):
        list(localisation.read_cldr(Job("days,moths", "en", "ur")))
    with pytest.raises(
        InputError, match=r"^CLDR: nothing in language 'xx'; it has .* and \d+ more"
    ):
        list(localisation.read_cldr(Job("days", "en", "xx")))
