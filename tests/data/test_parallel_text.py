"""Parallel text, sentence by sentence, as instructions to translate both ways."""

import gzip
import json

import pytest
from source_files import message_of

from commit_t5x import fingerprints
from commit_t5x.data import parallel_text
from commit_t5x.errors import InputError

EN, HI = "water\nhot tea\n", "पानी\nगरम चाय\n"


def translations(split="train"):
    return list(parallel_text.translation_examples("hi", split))


def write_pair(folder, stem="en-hi", english=EN, hindi=HI):
    (folder / f"{stem}.en").write_text(english, encoding="utf-8")
    (folder / f"{stem}.hi").write_text(hindi, encoding="utf-8")


@pytest.mark.parametrize("stem", ["en-hi", "hi-en", "Tatoeba.en-hi"])
def test_each_pair_is_translated_both_ways(locate, tmp_path, stem):
    write_pair(tmp_path, stem)
    write_pair(tmp_path, "en-hin")  # another language's
    locate(parallel=tmp_path)
    assert [(e["instruction"], e["input"], e["output"]) for e in translations()] == [
        ("Translate the text from English into Hindi.", "water", "पानी"),
        ("Translate the text from Hindi into English.", "पानी", "water"),
        ("Translate the text from English into Hindi.", "hot tea", "गरम चाय"),
        ("Translate the text from Hindi into English.", "गरम चाय", "hot tea"),
    ]


def test_several_and_compressed_texts(locate, tmp_path):
    write_pair(tmp_path)
    for language, text in (("en", "two\n"), ("hi", "दो\n")):
        (tmp_path / f"b.en-hi.{language}.gz").write_bytes(gzip.compress(text.encode()))
    locate(parallel=tmp_path)
    assert [e["input"] for e in translations()] == [
        *("two", "दो", "water", "पानी", "hot tea", "गरम चाय")
    ]


@pytest.mark.parametrize("nested", [False, True])
def test_records(locate, tmp_path, nested):
    pair = {"en": "water", "hi": "पानी"}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"translation": pair} if nested else pair))
    locate(parallel=path)
    assert [(e["input"], e["output"]) for e in translations()] == [
        ("water", "पानी"),
        ("पानी", "water"),
    ]


def test_no_sentence_is_in_both_splits(locate, tmp_path):
    write_pair(tmp_path)
    locate(parallel=tmp_path, validation_examples=1)
    assert {e["input"] for e in translations()} == {"water", "पानी"}
    assert {e["input"] for e in translations("validation")} == {"hot tea", "गरम चाय"}


@pytest.mark.parametrize("second", ["en-hi.en.gz", "hi-en.en"])
def test_two_texts_of_one_name_are_refused(locate, tmp_path, second):
    for name in ("en-hi.en", second):
        (tmp_path / name).touch()
    locate(parallel=str(tmp_path))
    with pytest.raises(InputError, match=f"en-hi.en and {second} are two of one name; take one"):
        parallel_text.translation_examples("hi", "train")


def test_a_broken_pair_is_counted_once(locate, tmp_path, bind, caplog):
    write_pair(tmp_path, english="water\n\nhot tea\n", hindi="पानी\nक\nगरम चाय\n")
    locate(parallel=tmp_path)
    message = message_of(translations)
    assert message.startswith(f"{tmp_path}/en-hi.en:2: no text in 'en'; ")
    bind("sources.Locations.broken_records", "skip")
    assert len(translations()) == 4
    assert "Skipped 1 broken records" in caplog.text


def test_a_name_that_cldr_lacks_is_given(locate, tmp_path, bind):
    write_pair(tmp_path)
    locate(parallel=tmp_path)
    with pytest.raises(InputError, match="LANGUAGE 'qaa': CLDR has no name for it; "):
        parallel_text.translation_examples("qaa", "train")
    bind("parallel_text.translation_examples.language_name", "Khari Boli")
    assert translations()[0]["instruction"].endswith(" into Khari Boli.")


@pytest.mark.parametrize("instruction", ["Translate {text}.", "Translate {}.", "Translate {source"])
def test_an_instruction_with_other_places(instruction):
    with pytest.raises(InputError, match="instruction: .* something else than source and target"):
        parallel_text.translation_examples("hi", "train", instruction=instruction)


def test_either_side_is_in_the_record_of_a_run(locate, tmp_path):
    def recorded(hindi):
        write_pair(tmp_path, hindi=hindi)
        with fingerprints.recording() as found:
            translations()
        return found["PARALLEL_PATH"]

    locate(parallel=tmp_path)
    assert recorded(HI) == recorded(HI) != recorded("जल\nगरम चाय\n")


def test_english_is_one_side_already():
    with pytest.raises(InputError, match="LANGUAGE 'en': the other side of the text is English"):
        parallel_text.translation_examples("en", "train")


def test_what_is_missing_is_named(locate, tmp_path):
    with pytest.raises(InputError, match="PARALLEL_PATH: not set; "):
        translations()
    locate(parallel=tmp_path)
    with pytest.raises(InputError, match=f"{tmp_path}/en-hi.en: no such file"):
        translations()
    (tmp_path / "en-hi.en").write_text(EN)
    assert message_of(translations).startswith(f"{tmp_path}/en-hi.hi: no such file")
    write_pair(tmp_path, hindi="पानी\n")
    assert message_of(translations).startswith(f"{tmp_path}/en-hi.hi:2: the file ends before")
