import numpy as np
import pytest

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.extension import rows, translations
from commit_t5x.extension.merging import Addition
from commit_t5x.vocabularies import configured


@pytest.fixture
def known(tmp_path):
    (tmp_path / "en-el.txt").write_text("water\tνερό\ntea\tτσάι\nmap\tmap\n", encoding="utf-8")
    (tmp_path / "el-en.txt").write_text("νερό\twaters\n", encoding="utf-8")
    paths = [tmp_path / name for name in ("en-el.txt", "el-en.txt")]
    return translations.Translations(paths, ["Greek"])


@pytest.mark.parametrize(
    "token, english",
    [
        (" νερό", ["water", "waters"]),
        (" νερόν", ["water", "waters"]),  # a form near it
        (" νερ", ["water", "waters"]),
        (" νύχτα", []),
        ("νερό", ["water", "waters"]),  # as long as that it isn't by chance
        ("νερ", []),
        (" map", []),
        ("", []),
    ],
)
def test_translations(known, token, english):
    assert known.of(token) == english


def test_rows_of_translations(known):
    tokenizer = configured.load(resources.path("samples") / "tokenizer.model")
    additions = [Addition("▁τσάι", (), ()), Addition("▁νερό", (), ()), Addition("▁χ", (), ())]
    tea, water, none = translations.sources(tokenizer, additions, known)
    assert list(tea.ids) == tokenizer.encode("tea")
    table = np.random.default_rng(0).normal(size=(tokenizer.vocab_size, 4))
    means = [table[tokenizer.encode(word)].mean(axis=0) for word in ("water", "waters")]
    np.testing.assert_allclose(water.weights @ table[water.ids], np.mean(means, axis=0))
    assert none is None
    pieces = rows.mean([5, 6])
    mixed, alone = translations.mixed([pieces, pieces], [water, none])
    expected = (np.mean(means, axis=0) + table[[5, 6]].mean(axis=0)) / 2
    np.testing.assert_allclose(mixed.weights @ table[mixed.ids], expected)
    assert alone is pieces


def test_of_latin_script_the_name_says_which_side_is_english(tmp_path):
    for name, text in (("en-sw.txt", "water\tmaji\n"), ("sw-en.tsv", "chai\ttea\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    known = translations.Translations([tmp_path / "en-sw.txt", tmp_path / "sw-en.tsv"], ["Latin"])
    assert [known.of(token) for token in (" maji", " chai", " water")] == [["water"], ["tea"], []]
    (tmp_path / "en-sw.txt").rename(tmp_path / "words.txt")
    with pytest.raises(InputError, match="words.txt: its name doesn't say which side is English"):
        translations.Translations([tmp_path / "words.txt"], ["Latin"])


def test_a_dictionary_of_another_language(tmp_path, known):
    with pytest.raises(InputError, match="en-el.txt: no word in Thai"):
        translations.Translations([tmp_path / "en-el.txt"], ["Thai"])
