import pytest
import regex
import tokenizers

from commit_t5x.errors import InputError
from commit_t5x.extension import words


def write(folder, text, name="x.txt", encoding="utf-8"):
    (folder / name).write_text(text, encoding=encoding)
    return folder / name


def test_counts_words_of_other_scripts(tmp_path):
    found = words.read([write(tmp_path, "δύο teas, δύο (δύο) 2 γ")])
    assert found.scripts == ("Greek",)
    assert found.counts == {" δύο": 1, "δύο": 2, " γ": 1}
    assert found.share == pytest.approx(10 / 14)


def test_a_few_words_of_another_script_are_not_learnt(tmp_path):
    assert words.read([write(tmp_path, "δύο " * 50 + "चाय")]).scripts == ("Greek",)
    assert words.read([write(tmp_path, "δύο चाय")]).scripts == ("Greek", "Devanagari")


def test_the_pattern_means_the_same_to_tokenizers():
    text = "x हिन्दी क्\u200dष, Αθήνα α\u0301β २ ν. \u200d👩"
    found = regex.findall(words.pattern(["Devanagari", "Greek"]), text, regex.V1)
    cut = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(words.pattern(["Devanagari", "Greek"])), behavior="isolated"
    )
    assert found == [" हिन्दी", " क्\u200dष", " Αθήνα", " α\u0301β", " ν"]
    assert [part for part, _ in cut.pre_tokenize_str(text) if part in found] == found


@pytest.mark.parametrize(
    "text, encoding, message",
    [
        ("", "utf-8", "no text in it"),
        (" \n\n ", "utf-8", "no text in it"),
        ("<!DOCTYPE html><p>δύο</p>", "utf-8", r":1: a web page, not text"),
        ("δύο", "iso-8859-7", "not UTF-8"),
        ("δύο", "utf-16", "not UTF-8"),
        ("two teas, 2 €", "utf-8", "no letter of a script other than Latin"),
    ],
)
def test_bad_texts(tmp_path, text, encoding, message):
    with pytest.raises(InputError, match=message):
        words.read([write(tmp_path, text, encoding=encoding)])


def test_records(tmp_path):
    path = write(tmp_path, '{"text": "δύο", "url": "ή"}\n{"a": "ένα", "b": 3}\n', "x.jsonl")
    assert words.read([path]).counts == {"δύο": 1, "ένα": 1}
