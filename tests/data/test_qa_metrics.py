import pytest

from commit_t5x import errors
from commit_t5x.data import qa_metrics


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


@pytest.mark.parametrize(
    "prediction, answers, exact_match, f1",
    [
        ("in New Delhi", ["Mumbai", "new delhi"], 0, 80),  # of the second: precision 2/3, recall 1
        ("The 308!", ["seven", "308"], 100, 100),
        ("no no", ["no yes yes"], 0, 40),  # one word in common: precision 1/2, recall 1/3
        ("", ["308"], 0, 0),
        # Both normalise to nothing: an exact match, without words no F1, as SQuAD's script says.
        ("a", ["the"], 100, 0),
        ("กรุงเทพมหานคร", ["กรุงเทพ"], 0, 0),  # without spaces it is one word
        ("สี่ ครั้ง", ["สี่ครั้ง"], 0, 0),
        ("สี่ ครั้ง", ["สี่ ครั้ง "], 100, 100),
        ("दिल्ली।", ["दिल्ली"], 0, 0),
    ],
)
def test_squad_scores(prediction, answers, exact_match, f1):
    expected = {"exact_match": exact_match, "f1": pytest.approx(f1)}
    assert qa_metrics.squad_scores(prediction, answers) == expected


@pytest.mark.parametrize(
    "language, text, normalized",
    [
        ("en", "The “Golden” Age—an era", "golden agean era"),
        ("en", "$5 + 3 = €8", "5 3 €8"),  # ASCII's symbols go, others stay
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


@pytest.mark.parametrize(
    "prediction, answers, language, exact_match, f1",
    [
        ("北京", ["北京市"], "zh", 0, 80),  # 北 京 of 北 京 市: precision 1, recall 2/3
        ("北京市。", ["上海", "北京市"], "zh", 100, 100),
        ("नई दिल्ली में", ["नई दिल्ली।"], "hi", 0, 80),
        ("दिल्ली।", ["दिल्ली"], "hi", 100, 100),  # unlike SQuAD's
    ],
)
def test_mlqa_scores(prediction, answers, language, exact_match, f1):
    expected = {"exact_match": exact_match, "f1": pytest.approx(f1)}
    assert qa_metrics.mlqa_scores(prediction, answers, language) == expected


def test_mlqa_unknown_language():
    with pytest.raises(errors.InputError, match="MLQA language 'th': no such language; use one of"):
        qa_metrics.mlqa_scores("a", ["a"], "th")
