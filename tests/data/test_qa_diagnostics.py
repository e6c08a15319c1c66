import sys

import pytest

from commit_t5x.data import qa_diagnostics

SCRIPTS = {"hi": ["DEVANAGARI"], "th": ["THAI"], "zh": ["CJK"], "lo": ["LAO"], "de": ["LATIN"]}


def measure(prediction, answers=("x",), context="", language="hi"):
    return qa_diagnostics.diagnostics(prediction, answers, context, language, SCRIPTS[language])


@pytest.mark.parametrize(
    "answer, target, latin, empty, span",
    [
        ("नई दिल्ली", 100, 0, 0, 100),
        (" दिल्ली ", 100, 0, 0, 100),
        ("मुंबई", 100, 0, 0, 0),
        ("New Delhi", 0, 100, 0, 0),
        ("Delhi में बारिश है", 100, 0, 0, 0),  # most letters, though not all
        ("2019", 0, 0, 0, 100),  # no letters
        ("  ", 0, 0, 100, 0),
        ("Δελχί", 0, 0, 0, 0),
    ],
)
def test_scripts_silence_and_copies(answer, target, latin, empty, span):
    expected = {"target_script": target, "latin_script": latin, "empty": empty}
    found = measure(answer, context="नई दिल्ली में 2019 से")
    assert found == {**expected, "context_span": span}


def test_latin_is_told_from_other_scripts_only():
    assert "latin_script" not in measure("Berlin", language="de")
    assert measure("Berlin", language="de")["target_script"] == 100


def test_main_scripts():
    assert qa_diagnostics.main_scripts(["नई दिल्ली में IBM और Google"]) == ["DEVANAGARI"]
    assert qa_diagnostics.main_scripts(
        ["Der Name, den sich Odysseus in dieser alten Sage gibt, lautet Οὔτις"]
    ) == ["LATIN"]
    japanese = ["東京タワーは333メートル", "NHKの本社がある"]
    assert qa_diagnostics.main_scripts(japanese) == ["CJK", "HIRAGANA", "KATAKANA"]
    assert qa_diagnostics.main_scripts(["2019"]) == []


def test_chinese_is_scored_by_characters_as_mlqa_does():
    found = measure("北京市。", ["北京"], language="zh")
    assert (found["character_exact_match"], found["character_f1"]) == (0.0, pytest.approx(80.0))


def test_thai_is_scored_by_words():
    pytest.importorskip("pythainlp")
    # SQuAD's normaliser sees one word here, and two others there.
    found = measure("ประเทศ ไทย", ["ประเทศไทย"], language="th")
    assert (found["word_exact_match"], found["word_f1"]) == (100.0, 100.0)
    found = measure("เพียงสี่ครั้ง", ["สี่ครั้ง"], language="th")
    assert found["word_exact_match"] == 0.0 and 50 < found["word_f1"] < 100


def test_graphemes_where_no_segmenter_is(monkeypatch):
    found = measure("ກຳແພງ", ["ກຳ"], language="lo")  # ກຳ is one, of two code points
    assert (found["grapheme_exact_match"], found["grapheme_f1"]) == (0.0, pytest.approx(40.0))
    monkeypatch.setitem(sys.modules, "pythainlp.tokenize", None)
    qa_diagnostics._segmentation.cache_clear()
    try:
        assert measure("สี่ ครั้ง", ["สี่ครั้ง"], language="th")["grapheme_exact_match"] == 100.0
    finally:
        qa_diagnostics._segmentation.cache_clear()


def test_every_measure_is_known():
    found = {name for language in SCRIPTS for name in measure("x", language=language)}
    assert found <= set(qa_diagnostics.MEASURES)
