import re
import sys

import pytest
import tensorflow as tf

from commit_t5x.errors import InputError, message
from commit_t5x.mixing import tagging
from commit_t5x.mixing.graph_mixer import GraphMixer
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer, make_mixer

ENTRIES = {"saw": ("देखा", "आरी", "चीरा"), "light": ("हल्का",), "tea": ("चाय",), "ice tea": ("X",)}
PARTS = {"saw": ("verb", "noun", ""), "light": ("adjective",), "ice tea": ("noun",)}
# What a few words are unless they stand behind "the".
TAGS = {"I": "PRON", "saw": "VERB", "drinks": "AUX", "the": "DET", "light": "NOUN"}


def tag(text):
    """Tags by `TAGS`, but nouns behind "the"; an apostrophe begins a token."""
    tags, before = [], ""
    for match in re.finditer(r"[^\s']+|'\w+", text):
        word = match[0].strip(".,!")
        tags.append((match.start(), "NOUN" if before == "the" else TAGS.get(word, "X")))
        before = word
    return tags


def make_tagger(language):
    assert language == "en"
    return tag


def mixed_alike(mixer, text, seed=(0, 0)):
    """Mixes in Python and in TensorFlow, which agree."""
    mixed = mixer.mix(text, seed)
    assert GraphMixer(mixer)(tf.constant([text]), tf.constant([seed], tf.int64)) == mixed
    return mixed


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("saw", {"देखा", "चीरा"}),
        ("the saw", {"the आरी", "the चीरा"}),
        ("the 'saw", {"the 'आरी", "the 'चीरा"}),  # the mark is of the tagger's token, too
        ("light tea", {"light चाय"}),
        ("the ice tea", {"the X"}),  # phrases have whatever entry there is
        ("saw's", {"saw's"}),
    ],
)
def test_entries_of_another_part_of_speech_do_not_count(text, options):
    mixer = CodeMixer(Lexicon(ENTRIES, parts_of_speech=PARTS), 1.0, phrases=True, tagger=tag)
    assert {mixed_alike(mixer, text, (0, seed)) for seed in range(12)} == options


def test_what_does_not_agree_is_no_hit():
    mixer = CodeMixer(Lexicon(ENTRIES, parts_of_speech=PARTS), 1.0, tagger=tag)
    mixed = mixer.mix_with_replacements("the light tea", (0, 0))
    assert (mixed.words, mixed.hits, mixed.replaced) == (3, 1, 1)


DICTIONARY = """source\ttarget\tweight\tpart_of_speech
drink\tpeena\t\tv.
saw\tdekha\t1\tvblex
saw\taari\t8\tnoun
tea\tchai\t\t
saw\tarra\t1\tname
saw\tdekhi\t1\tidiom
"""


@pytest.fixture
def configured(bind, tmp_path):
    """Makes the mixer of a dictionary, and of options."""

    def configured(content=DICTIONARY, tagger=make_tagger, **options):
        (tmp_path / "en-hi.tsv").write_text(content, encoding="utf-8")
        bind("lexicon.load_dictionary.directory", str(tmp_path))
        for name, value in {"ratio": 1.0, "tagger": tagger, **options}.items():
            bind(f"mixer.make_mixer.{name}", value)
        return make_mixer("en", "hi")

    return configured


def test_a_file_gives_the_parts_of_speech(configured):
    mixer = configured()
    assert {mixer.mix("saw", (0, n)) for n in range(30)} == {"dekha", "dekhi"}
    nouns = [mixer.mix("the saw", (0, n)) for n in range(300)]
    assert {*nouns} == {"the aari", "the arra", "the dekhi"}
    assert 215 < nouns.count("the aari") < 265  # eight in ten, by weight
    assert mixed_alike(mixer, "tea drink") == "chai drink"


def test_forms_of_a_word_have_its_parts_of_speech(configured):
    mixer = configured(case_variants=True, lemma_backoff=True, canonical_equivalence=True)
    assert mixed_alike(mixer, "the SAW") in ("the AARI", "the ARRA", "the DEKHI")
    assert mixed_alike(mixer, "I drinks the drinks") == "I peena the drinks"


def test_each_of_several_languages_has_its_own(configured, tmp_path):
    (tmp_path / "en-el.txt").write_text("saw πριόνι\n", encoding="utf-8")
    mixer = configured(target_languages={"hi": 1.0, "el": 1.0}, drop_identity=True)
    assert {mixer.mix("saw", (0, n)) for n in range(40)} == {"dekha", "dekhi", "πριόνι"}


def test_without_a_tagger_all_entries_count(configured):
    mixer = configured(tagger=None)
    assert {mixer.mix("saw", (0, n)) for n in range(60)} == {"dekha", "aari", "arra", "dekhi"}


def test_a_dictionary_without_parts_of_speech(configured):
    with pytest.raises(InputError, match="POS_TAGGER: dictionary en-hi says no parts of speech"):
        configured("tea\tchai\n")


@pytest.mark.parametrize(
    "tokens",
    [[(0, "NN")], [(0, ["NOUN"])], ["NOUN"], [(0, 1, "NOUN")], None, 7]
    + [[("0", "NOUN")], [(3, "NOUN")], [(-1, "NOUN")], [(2, "NOUN"), (0, "VERB")]],
)
def test_a_tagger_of_another_kind(tokens):
    mixer = CodeMixer(Lexicon(ENTRIES, parts_of_speech=PARTS), tagger=lambda text: tokens)
    with pytest.raises(InputError, match="POS_TAGGER: gives .* for 'tea'; expected "):
        mixer.mix("tea", (0, 0))
    ds = tf.data.Dataset.from_tensors((["tea"], [[0, 0]])).map(GraphMixer(mixer))
    with pytest.raises(tf.errors.OpError) as caught:
        next(iter(ds))
    assert message(caught.value).startswith("POS_TAGGER: gives ")


@pytest.mark.parametrize("tagger", ["tagging.spacy_tagger", 0, lambda language: None])
def test_what_makes_no_tagger(configured, tagger):
    with pytest.raises(InputError, match="POS_TAGGER: .* function"):
        configured(tagger=tagger)


def test_a_library_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    monkeypatch.setitem(sys.modules, "stanza", None)
    with pytest.raises(InputError, match="POS_TAGGER: spacy_tagger needs spaCy: pip install"):
        tagging.spacy_tagger("en")
    with pytest.raises(InputError, match="POS_TAGGER: stanza_tagger needs Stanza: pip install"):
        tagging.stanza_tagger("en")
