import pytest

from commit_t5x import errors
from commit_t5x.data import qa_metrics


def both(exact_match, f1):
    return {"exact_match": exact_match, "f1": pytest.approx(f1)}


@pytest.mark.parametrize(
    "text, normalized",
    [
        ("The Beatles", "beatles"),
        ("  an   Apple\ta day ", "apple day"),
        ("theory of a-ha", "theory of aha"),  # articles are whole words; hyphens vanish first
        ("$3.50 (ca.)", "350 ca"),
        ("नई दिल्ली।", "नई दिल्ली।"),  # the danda isn't ASCII
        ("“Αθήνα”", "“αθήνα”"),
        ("กรุงเทพฯ", "กรุงเทพฯ"),
        ("", ""),
        ("The", ""),
    ],
)
def test_normalize_squad(text, normalized):
    assert qa_metrics.normalize_squad(text) == normalized


def test_squad_scores_take_the_best_answer_for_each_metric():
    # Precision 2/3, recall 2/2 against the second; nothing in common with the first.
    scores = qa_metrics.squad_scores("in New Delhi", ["Mumbai", "new delhi"])
    assert scores == both(0.0, 100 * 2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert qa_metrics.squad_scores("The 308!", ["seven", "308"]) == both(100.0, 100.0)


def test_squad_f1_counts_repeated_words():
    # Shared bag: {no: 1}. Precision 1/2, recall 1/3.
    assert qa_metrics.squad_scores("no no", ["no yes yes"])["f1"] == pytest.approx(40.0)


def test_squad_empty_prediction():
    assert qa_metrics.squad_scores("", ["308"]) == both(0.0, 0.0)
    # Both normalise to nothing: an exact match, but without words no F1. SQuAD's script says so.
    assert qa_metrics.squad_scores("a", ["the"]) == both(100.0, 0.0)


def test_thai_without_spaces_is_one_word():
    assert qa_metrics.squad_scores("กรุงเทพมหานคร", ["กรุงเทพ"]) == both(0.0, 0.0)
    assert qa_metrics.squad_scores("สี่ ครั้ง", ["สี่ครั้ง"]) == both(0.0, 0.0)
    assert qa_metrics.squad_scores("สี่ ครั้ง", ["สี่ ครั้ง "]) == both(100.0, 100.0)


@pytest.mark.parametrize(
    "language, text, normalized",
    [
        ("en", "The “Golden” Age—an era", "golden agean era"),
        ("es", "¿El Niño y la Niña?", "niño y niña"),
        ("es", "Unos del los", "del"),
        ("de", "Die »Straße« des Königs", "straße königs"),
        ("de", "derweil", "derweil"),
        ("vi", "Những chiếc xe của tôi là đỏ", "xe tôi đỏ"),
        ("hi", "एक नदी, जो बड़ी है।", "एक नदी जो बड़ी है"),  # no articles; the danda goes
        ("ar", "الكتاب على الطاولة", "كتاب على طاولة"),
        ("ar", "خالد", "خ د"),  # alef-lam goes from mid-word too
        ("zh", "北京，在2019年", "北 京 在 2019 年"),
        ("zh", "iPhone 11发布（2019）", "iphone 11 发 布 2019"),
        ("zh", "㐀x鿿y", "㐀x鿿y"),  # outside U+4E00..U+9FA5
    ],
)
def test_normalize_mlqa(language, text, normalized):
    assert qa_metrics.normalize_mlqa(text, language) == normalized


def test_mlqa_drops_ascii_symbols_and_keeps_others():
    assert qa_metrics.normalize_mlqa("$5 + 3 = €8", "en") == "5 3 €8"


def test_mlqa_scores_chinese_by_character():
    # 北 京 against 北 京 市: precision 2/2, recall 2/3.
    assert qa_metrics.mlqa_scores("北京", ["北京市"], "zh") == both(0.0, 80.0)
    assert qa_metrics.mlqa_scores("北京市。", ["上海", "北京市"], "zh") == both(100.0, 100.0)


def test_mlqa_scores_hindi_by_word():
    assert qa_metrics.mlqa_scores("नई दिल्ली में", ["नई दिल्ली।"], "hi") == both(0.0, 80.0)


def test_mlqa_scores_differ_from_squad_scores_by_unicode_punctuation():
    assert qa_metrics.squad_scores("दिल्ली।", ["दिल्ली"])["exact_match"] == 0.0
    assert qa_metrics.mlqa_scores("दिल्ली।", ["दिल्ली"], "hi")["exact_match"] == 100.0


def test_mlqa_unknown_language():
    with pytest.raises(errors.InputError, match="MLQA language 'th': no such language; use one of"):
        qa_metrics.mlqa_scores("a", ["a"], "th")
