import pytest

from commit_t5x.mixing import lemmas


@pytest.fixture(scope="module")
def english():
    return dict(lemmas.inflected_forms("en"))


def test_forms_have_their_lemmas(english):
    words = {"rallies": "rally", "baked": "bake", "rivers": "river", "mice": "mouse"}
    assert {word: english[word] for word in words} == words


@pytest.mark.parametrize(
    "word",
    [
        *("during", "thus", "wedding", "string", "news"),  # no forms of other words
        *("having", "being", "does", "those", "whose", "won't", "could"),  # of closed classes
        *("river", "Londoners", "PMs", "as", "is"),
    ],
)
def test_what_is_no_inflected_form_of_an_open_class(english, word):
    assert word not in english


@pytest.mark.parametrize(
    "language, form, lemma",
    [
        ("hi", "लड़कों", "लड़का"),
        # Their tables take seconds to load.
        pytest.param("el", "θανάτου", "θάνατος", marks=pytest.mark.slow),
        pytest.param("de", "häuser", "haus", marks=pytest.mark.slow),
    ],
)
def test_other_languages(language, form, lemma):
    assert (form, lemma) in set(lemmas.inflected_forms(language))


def test_greek_closed_classes_whatever_the_accents():
    assert not {"στην", "αυτήν", "κάποιο"} & set(dict(lemmas.inflected_forms("el")))


@pytest.mark.parametrize("language", ["th", "xx"])
def test_languages_of_which_nothing_is_known(language):
    assert not list(lemmas.inflected_forms(language))
