import re

import pytest
import seqio

import commit_t5x.tasks  # noqa: F401 (registration)
from commit_t5x.errors import InputError
from commit_t5x.tasks import families


@pytest.mark.parametrize("language", ["hi", "el", "th"])
def test_each_language_has_every_task(language):
    expected = {
        "alpaca_en",
        f"alpaca_codemix_{language}",
        f"alpaca_naive_codemix_{language}",
        f"alpaca_codemix_pairs_{language}",
        f"commit_mix_{language}",
        f"translation_{language}",
        f"wikipedia_{language}",
        f"wikipedia_codemix_{language}",
        f"xquad_{language}",
        f"xquad_en{language}",
    }
    assert expected <= {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}
    built = {
        families.name(family, language) for family in families.FAMILIES if "mlqa" not in family
    }
    assert built == expected


def test_every_name_of_a_shipped_language_is_registered():
    for family, (_, languages) in families.FAMILIES.items():
        for language in languages or families.DICTIONARY_LANGUAGES:
            seqio.get_mixture_or_task(families.name(family, language))


@pytest.mark.parametrize("language", ["ht", "quy", "zh_Hant", "pt_BR", "sr_Latn_RS"])
def test_any_language_has_names(language):
    for family, (pattern, languages) in families.FAMILIES.items():
        if languages is None:
            name = families.name(family, language)
            assert name == pattern.format(language)
            assert families.language_of(name) == language


def test_languages_stand_behind_the_labels():
    names = ["xquad_en", "xquad_enhi", "xquad_hi", "xquad_enm", "xquad_enzh_Hant"]
    assert list(map(families.language_of, names)) == ["en", "hi", "hi", "enm", "zh_Hant"]


@pytest.mark.parametrize(
    "language", ["", None, "Hindi", "HI", "h", "hi ", "zh-Hant", "hi_", "hi.x"]
)
def test_what_is_no_language_code_is_refused(language):
    message = re.escape(f"LANGUAGE {language!r}: not a language code; use one as in")
    with pytest.raises(InputError, match=message):
        families.name("alpaca_codemix", language)


def test_languages_that_mlqa_lacks_are_refused():
    for family in ("mlqa", "mlqa_en"):
        message = f"LANGUAGE 'sw': no {family} task in that language; use one of "
        with pytest.raises(InputError, match=message):
            families.name(family, "sw")
    with pytest.raises(
        InputError, match="TASK_FAMILY 'alpaca_mixed': unknown; use one of alpaca.*did you mean"
    ):
        families.name("alpaca_mixed", "hi")


@pytest.mark.parametrize("name", ["alpaca_en", "mlqa_hi", "mlqa_enhi", "mine", "wikipedia_Hindi"])
def test_other_names_have_no_language(name):
    assert families.language_of(name) is None
