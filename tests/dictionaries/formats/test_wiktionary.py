"""Entries as wiktextract writes them: https://github.com/tatuylonen/wiktextract"""

import gzip
import json

import pytest
from source_files import message_of, write

from commit_t5x.dictionaries.formats import wiktionary
from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError

ENTRIES = [
    {
        "word": "tea",
        "lang": "English",
        "lang_code": "en",
        "pos": "noun",
        "senses": [
            {
                "glosses": ["The drink."],
                "translations": [{"lang": "Hindi", "lang_code": "hi", "word": "चाय"}],
            },
            {"tags": ["no-gloss"]},
        ],
        "translations": [
            {"lang": "Hindi", "code": "hi", "sense": "plant", "word": "चाय का पौधा"},
            {"lang": "Hindi", "code": "hi", "sense": "untranslated"},
            {"lang": "Greek", "code": "el", "sense": "plant", "word": "τσάι"},
        ],
    },
    {"word": "thé", "lang_code": "fr", "pos": "noun", "senses": [{"glosses": ["tea"]}]},
    {"word": "चाय", "lang_code": "hi", "pos": "noun", "translations": [{"code": "en"}]},
    {"redirect": "elsewhere", "title": "x"},
]
LINES = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in ENTRIES).encode()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_translations_of_each_sense(tmp_path, pack):
    (tmp_path / "x.jsonl").write_bytes(pack(LINES))
    assert [r[:5] for r in wiktionary.read(Job(str(tmp_path / "x.jsonl"), "en", "hi"))] == [
        ("tea", "चाय का पौधा", None, "noun", "plant"),
        ("tea", "चाय", None, "noun", "The drink."),
    ]


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        (("en", "ta"), "nothing in language 'ta'; it has hi, el"),
        (("eng", "hi"), "nothing in language 'eng'; it has en, fr, hi; did you mean en?"),
        (("fr", "hi"), "nothing in language 'hi'; it names no language"),
    ],
)
def test_a_language_that_it_lacks(tmp_path, languages, message):
    path = write(tmp_path / "x.jsonl", LINES)
    assert message_of(wiktionary.read, Job(str(path), *languages)) == f"{path}: {message}"


def test_a_line_cut_off(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(LINES[:-3])
    with pytest.raises(InputError, match=r"x\.jsonl:4: not a JSON object; expected .* whole"):
        list(wiktionary.read(Job(str(tmp_path / "x.jsonl"), "en", "hi")))


@pytest.mark.parametrize("wrong", [{"translations": ["hi"]}, {"pos": None}, {"word": 3}])
def test_an_entry_of_another_shape(tmp_path, wrong):
    (tmp_path / "x.jsonl").write_text(json.dumps(ENTRIES[0] | wrong) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.jsonl:1: not as kaikki\.org's entries \("):
        list(wiktionary.read(Job(str(tmp_path / "x.jsonl"), "en", "hi")))
