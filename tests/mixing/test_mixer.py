import itertools
import re
import unicodedata

import naive_original
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from texts import EDGES, WORDS, texts

from commit_t5x.errors import InputError
from commit_t5x.mixing.graph_mixer import GraphMixer
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer, Mixed, Piece, Replacement, make_mixer
from commit_t5x.mixing.segmenters import (
    LongestMatchSegmenter,
    ProtectingSegmenter,
    SpaceSegmenter,
    WhitespaceSegmenter,
)

# Replacements that a careless implementation would not copy as they are.
TARGETS = (*WORDS, "दो शब्द", "(ti)", " x ", "\\1", "$1", "{input}", "a\nb", "\0", ".", "ti\u0301")
INTEGERS = st.integers(-(2**80), 2**80)
SEEDS = st.tuples(INTEGERS, INTEGERS)

words = st.sampled_from(WORDS)
_sources = st.one_of(words, words, words, st.text(min_size=1, max_size=2), st.just("tea."))
sources = _sources | st.lists(words, min_size=2, max_size=3).map(" ".join)
targets = st.sampled_from(TARGETS) | st.text(min_size=1, max_size=4)
# Most words of a text are found, many of them with several translations.
KNOWN = list(zip(WORDS[::2], TARGETS[5::2], strict=False))
pairs = st.lists(st.tuples(sources, targets), max_size=40).map(lambda more: [*KNOWN, *more])
ratios = st.sampled_from([1.0, 0.9, 0.5, 0.1, 0.0]) | st.floats(0.01, 1)
lexicons = pairs.map(Lexicon.from_pairs)

PARTS = ("noun", "verb", "noun", "", "adjective")


def tag_by_turns(text):
    """Tags each run of other characters than spaces by its place."""
    tags = itertools.cycle(("NOUN", "AUX", "X", "ADJ"))
    return [(match.start(), next(tags)) for match in re.finditer(r"[^ ]+", text)]


SEGMENTERS = {
    "space": lambda lexicon: SpaceSegmenter(),
    "whitespace": lambda lexicon: WhitespaceSegmenter(),
    "longest_match": LongestMatchSegmenter,
}


def mix_tf(mixer, batch, seeds):
    """Mixes in TensorFlow; seeds count modulo 2^64, which is all that an int64 holds."""
    seeds = np.array(seeds, object).reshape(-1, 2) % 2**64
    seeds = seeds.astype(np.uint64).astype(np.int64)
    mixed = GraphMixer(mixer)(tf.constant(batch, tf.string), tf.constant(seeds))
    return [text.decode() for text in mixed.numpy()]


def aligned_tf(mixer, batch, seeds):
    """Returns as `mix_tf` does, and the bytes of the units on either side."""
    seeds = (np.array(seeds, object) % 2**64).astype(np.uint64).astype(np.int64)
    mixed, *sides = GraphMixer(mixer).aligned(tf.constant(batch, tf.string), tf.constant(seeds))
    return [text.decode() for text in mixed.numpy()], *(side.to_list() for side in sides)


def unit_bytes(texts):
    """Returns the bytes of pieces, the spaces at a gap's end counted with the next word's."""
    texts = list(texts)
    for place in range(1, len(texts), 2):
        gap = texts[place].rstrip(" ")
        texts[place + 1] = " " * (len(texts[place]) - len(gap)) + texts[place + 1]
        texts[place] = gap
    return [len(text.encode()) for text in texts]


@settings(max_examples=300)
@given(text=texts, dictionary=pairs.map(dict), seed=SEEDS)
@example(text="", dictionary={"tea": "चाय"}, seed=(0, 0))
@example(text="".join(EDGES), dictionary={"tea": "चाय"}, seed=(0, 0))
@example(text="a\0b (a\0b)", dictionary={"a\0b": "x\0y\0"}, seed=(0, 0))
def test_the_original_algorithm_exactly(text, dictionary, seed):
    mixer = CodeMixer(Lexicon({word: (target,) for word, target in dictionary.items()}), ratio=1.0)
    assert mixer.mix(text, seed) == naive_original.mix(text, dictionary)


def test_every_character_is_stripped_or_kept_as_in_the_original():
    # One text whose pieces wrap a word in each of the characters that could be meant.
    characters = [
        c
        for c in map(chr, range(0x110000))
        if ord(c) < 0x3000 or unicodedata.category(c)[0] in "PZSM"
    ]
    text = " ".join(f"{c}tea{c}" for c in characters)
    mixer = CodeMixer(Lexicon({"tea": ("चाय",)}), ratio=1.0)
    expected = naive_original.mix(text, {"tea": "चाय"})
    assert expected.count("चाय") > 800
    assert mixer.mix(text, (0, 0)) == expected
    assert mix_tf(mixer, [text], [(0, 0)]) == [expected]


@pytest.mark.parametrize(
    ("text", "mixed"),
    [
        ("Please drink (water)!", "Please पियो (पानी)!"),
        ("drink water", "पियो पानी"),
        ("drink  water ", "पियो  पानी "),
        ("Water WATER watery", "Water WATER watery"),  # the lookup isn't folded
        ("drink\nwater drink\twater", "drink\nwater drink\twater"),  # hidden by the white space
        ("\nwater\t \r\nwater\xa0", "\nपानी\t \r\nपानी\xa0"),  # but not at a piece's ends
        ("drink-water x/water", "drink-water x/water"),
        ("“water” «water» ¿water? water।", "“पानी” «पानी» ¿पानी? पानी।"),
        ("$water= ~water|", "$पानी= ~पानी|"),  # ASCII symbols count as punctuation
        ("€water water°", "€water water°"),  # others don't
        ("... --- !?", "... --- !?"),
        ("", ""),
        (" ", " "),
        ("वे water", "वे पानी"),
        ("water\u0301", "water\u0301"),
    ],
)
def test_original_behaviour_by_example(text, mixed):
    mixer = CodeMixer(Lexicon({"drink": ("पियो",), "water": ("पानी",)}), ratio=1.0)
    assert mixer.mix(text, (42, 0)) == mixed
    assert mix_tf(mixer, [text], [(42, 0)]) == [mixed]


@settings(max_examples=40)
@given(
    lexicon=lexicons,
    batch=st.lists(st.tuples(texts, SEEDS), min_size=4, max_size=24),
    ratio=ratios,
    segmenter=st.sampled_from(sorted(SEGMENTERS)),
    phrases=st.booleans(),
    calibrated=st.booleans(),
    more=lexicons,
    tagger=st.sampled_from([None, tag_by_turns]),
)
def test_tensorflow_agrees_to_the_byte(
    lexicon, batch, ratio, segmenter, phrases, calibrated, more, tagger
):
    parts = {word: (PARTS * 3)[: len(lexicon.translations(word))] for word in list(lexicon)[::2]}
    lexicon = Lexicon(dict(lexicon.items()), parts_of_speech=parts)
    lexicon = Lexicon.merged([(lexicon.with_case_variants(), 1), (more, 0.3)])
    mixer = CodeMixer(
        lexicon,
        ratio,
        segmenter=SEGMENTERS[segmenter](lexicon),
        phrases=phrases,
        calibrated=calibrated,
        tagger=tagger,
    )
    batch, seeds = zip(*batch, strict=True)
    expected = [mixer.mix(text, seed) for text, seed in zip(batch, seeds, strict=True)]
    assert mix_tf(mixer, batch, seeds) == expected
    assert mix_tf(mixer, batch[:1], seeds[:1]) == expected[:1]  # alone as in a batch
    found = [mixer.mix_with_replacements(*text).pieces for text in zip(batch, seeds, strict=True)]
    before = [unit_bytes(piece.source for piece in pieces) for pieces in found]
    after = [unit_bytes(piece.text for piece in pieces) for pieces in found]
    assert aligned_tf(mixer, batch, seeds) == (expected, before, after)


def test_weights_of_a_file_reach_both_faces(tmp_path):
    path = tmp_path / "en-xx.tsv"
    header = "source\ttarget\tweight\n"
    path.write_text(header + "tea\tti\t6\ntea\tcha\t\ntea\tte\t1e-9\n", encoding="utf-8")
    mixer, seeds = CodeMixer(Lexicon.load(path), 1.0), [(3, n) for n in range(700)]
    mixed = [mixer.mix("tea", seed) for seed in seeds]
    assert mix_tf(mixer, ["tea"] * 700, seeds) == mixed
    assert 570 < mixed.count("ti") < 630 and mixed.count("te") == 0
    # Weights that don't differ are none.
    path.write_text(header + "tea\tti\t3\ntea\tcha\t3\ntea\tte\t3\n", encoding="utf-8")
    plain = CodeMixer(Lexicon.from_pairs([("tea", "ti"), ("tea", "cha"), ("tea", "te")]), 1.0)
    same = CodeMixer(Lexicon.load(path), 1.0)
    assert [same.mix("tea", seed) for seed in seeds] == [plain.mix("tea", seed) for seed in seeds]


@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_tensorflow_agrees_on_long_texts_inside_a_pipeline(segmenter):
    rng = np.random.default_rng(0)
    pieces = [*WORDS, *EDGES, *[" "] * 30]
    batch = ["".join(rng.choice(pieces, 400)) for _ in range(40)]
    lexicon = Lexicon.from_pairs(zip(rng.choice(WORDS, 60), rng.choice(TARGETS, 60), strict=True))
    mixer = CodeMixer(lexicon, 0.6, segmenter=SEGMENTERS[segmenter](lexicon))
    seeds = [(7, -n) for n in range(len(batch))]
    ds = tf.data.Dataset.from_tensor_slices((batch, tf.constant(seeds, tf.int64)))
    ds = ds.batch(16).map(GraphMixer(mixer), num_parallel_calls=2).unbatch()
    mixed = [text.decode() for text in ds.as_numpy_iterator()]
    assert mixed == [mixer.mix(text, seed) for text, seed in zip(batch, seeds, strict=True)]
    assert mixed != batch


def test_tensorflow_on_nothing():
    mixer = CodeMixer(Lexicon({"tea": ("चाय",)}), 1.0)
    assert mix_tf(mixer, [], []) == []
    assert mix_tf(mixer, ["", ""], [(0, 0), (0, 1)]) == ["", ""]
    assert mix_tf(mixer, ["!", "coffee"], [(0, 0), (0, 1)]) == ["!", "coffee"]


def test_a_lexicon_that_the_identity_filter_empties():
    mixer = CodeMixer(Lexicon({"ok": ("OK",)}).without_identity(), 1.0)
    assert mixer.mix("ok then", (0, 0)) == "ok then"
    assert mix_tf(mixer, ["ok then"], [(0, 0)]) == ["ok then"]


@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_a_word_of_a_megabyte(segmenter):
    lexicon = Lexicon({"tea": ("चाय",)})
    mixer = CodeMixer(lexicon, 1.0, segmenter=SEGMENTERS[segmenter](lexicon))
    text = f"tea {'ก' * 350_000} tea"
    expected = text.replace("tea", "चाय")
    assert mixer.mix(text, (0, 0)) == expected
    assert mix_tf(mixer, [text], [(0, 0)]) == [expected]


@given(texts, lexicons, SEEDS)
def test_ratio_0_is_the_identity(text, lexicon, seed):
    mixed = CodeMixer(lexicon, 0.0).mix_with_replacements(text, seed)
    assert (mixed.text, mixed.replacements, mixed.replaced) == (text, (), 0)


@given(texts, lexicons, SEEDS)
def test_the_same_seed_gives_the_same_text(text, lexicon, seed):
    mixed = CodeMixer(lexicon, 0.5).mix(text, seed)
    assert CodeMixer(lexicon, 0.5).mix(text, seed) == mixed
    assert CodeMixer(lexicon, 0.5).mix(text, (seed[0] + 2**64, seed[1] - 2**64)) == mixed


def test_other_seeds_give_other_texts():
    mixer = CodeMixer(Lexicon({"tea": ("a", "b", "c")}), 0.5)
    seeds = itertools.product((0, 1, -1, 2, 42, 2**31, -(2**63), 2**64 - 2), repeat=2)
    mixed = {seed: mixer.mix("tea " * 60, seed) for seed in seeds}
    assert len(set(mixed.values())) == len(mixed)


@given(
    hits=st.lists(st.sampled_from(["tea", "पानी"]), min_size=1, max_size=20),
    misses=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["miss", "...", "", "Tea"]))),
    seed=SEEDS,
)
def test_random_numbers_are_drawn_on_hits_only(hits, misses, seed):
    mixer = CodeMixer(Lexicon({"tea": ("a", "b", "c"), "पानी": ("d", "e")}), 0.5)
    words = list(hits)
    for place, miss in misses:
        words.insert(min(place, len(words)), miss)
    mixed = mixer.mix(" ".join(words), seed).split(" ")
    kept = [new for old, new in zip(words, mixed, strict=True) if old in mixer.lexicon]
    assert kept == mixer.mix(" ".join(hits), seed).split(" ")


@given(texts, lexicons, ratios, SEEDS)
def test_replacements_say_what_stood_where(text, lexicon, ratio, seed):
    mixed = CodeMixer(lexicon, ratio, phrases=True).mix_with_replacements(text, seed)
    assert list(mixed.replacements) == sorted(mixed.replacements, key=lambda r: r.start)
    assert mixed.words >= mixed.hits >= mixed.replaced >= len(mixed.replacements)
    counts = [
        sum(len(piece.words) for piece in mixed.pieces if holds(piece))
        for holds in (lambda p: True, lambda p: p.known, lambda p: p.replaced)
    ]
    assert counts == [mixed.words, mixed.hits, mixed.replaced]
    assert "".join(piece.text for piece in mixed.pieces) == mixed.text
    assert "".join(piece.source for piece in mixed.pieces) == text
    restored = mixed.text
    for replacement in reversed(mixed.replacements):
        assert replacement.target in lexicon.translations(replacement.source)
        end = replacement.start + len(replacement.target)
        assert restored[replacement.start : end] == replacement.target
        restored = restored[: replacement.start] + replacement.source + restored[end:]
    assert restored == text


def test_offsets_count_characters_of_the_mixed_text():
    mixer = CodeMixer(Lexicon({"tea": ("चाय",), "milk": ("m",)}), 1.0)
    assert mixer.mix_with_replacements("«tea» और milk, tea", (0, 0)) == Mixed(
        text="«चाय» और m, चाय",
        replacements=(
            Replacement(1, "tea", "चाय"),
            Replacement(9, "milk", "m"),
            Replacement(12, "tea", "चाय"),
        ),
        words=4,
        hits=3,
        replaced=3,
        pieces=(
            Piece("", ""),
            Piece("«", "«"),
            Piece("tea", "चाय", ("tea",), known=True, replaced=True),
            Piece("» ", "» "),
            Piece("और", "और", ("और",)),
            Piece(" ", " "),
            Piece("milk", "m", ("milk",), known=True, replaced=True),
            Piece(", ", ", "),
            Piece("tea", "चाय", ("tea",), known=True, replaced=True),
        ),
    )


@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("streams", [1, 20_000])
def test_hits_are_replaced_with_probability_ratio(ratio, streams):
    # All hits of one stream, or the first hit of each of many neighbouring ones.
    count = 20_000
    mixer = CodeMixer(Lexicon({"a": ("b",)}), ratio)
    mixed = [mixer.mix("a " * (count // streams), (42, n)) for n in range(streams)]
    deviation = "".join(mixed).count("b") / count - ratio
    assert abs(deviation) < 4 * (ratio * (1 - ratio) / count) ** 0.5


def test_translations_are_drawn_uniformly_and_repeats_count():
    mixer = CodeMixer(Lexicon({"a": ("b", "c", "b", "d", "e", "b")}), 1.0)
    words = mixer.mix("a " * 12_000, (1, 2)).split()
    counts = {word: words.count(word) for word in "bcde"}
    expected = {"b": 6000, "c": 2000, "d": 2000, "e": 2000}
    chi_square = sum((counts[w] - n) ** 2 / n for w, n in expected.items())
    assert sum(counts.values()) == 12_000
    assert chi_square < 21.1  # 3 degrees of freedom: p = 1e-4


def test_choice_does_not_depend_on_whether_others_are_replaced():
    # What is replaced at a ratio is replaced by the same word as with ratio 1.
    lexicon = Lexicon({"a": ("b", "c", "d")})
    whole = CodeMixer(lexicon, 1.0).mix("a " * 200, (5, 5)).split()
    half = CodeMixer(lexicon, 0.5).mix("a " * 200, (5, 5)).split()
    assert {pair for pair in zip(half, whole, strict=True) if pair[0] != "a"} == {
        ("b", "b"),
        ("c", "c"),
        ("d", "d"),
    }


PHRASES = Lexicon.from_pairs(
    [("new", "नया"), ("new york", "न्यूयॉर्क"), ("new york city", "न्यूयॉर्क शहर"), ("city hall", "सभा")]
    + [("york", "यॉर्क"), ("hall", "हॉल"), ("st. louis", "सेंट लुइस"), ("rock 'n' roll", "रॉक")]
)


@pytest.mark.parametrize(
    "text, mixed, hits",
    [
        ("new york", "न्यूयॉर्क", 2),
        ("in new york, new york city!", "in न्यूयॉर्क, न्यूयॉर्क शहर!", 5),
        ("new york city hall", "न्यूयॉर्क शहर हॉल", 4),  # the longest from the left
        ("new  york", "नया  यॉर्क", 2),  # a phrase is written as in the dictionary
        ("new, york", "नया, यॉर्क", 2),
        ("st. louis rock 'n' roll", "सेंट लुइस रॉक", 5),
        ("new", "नया", 1),
        ("york new", "यॉर्क नया", 2),
    ],
)
def test_phrases(text, mixed, hits):
    mixer = CodeMixer(PHRASES, 1.0, phrases=True)
    result = mixer.mix_with_replacements(text, (0, 0))
    assert (result.text, result.hits, result.replaced) == (mixed, hits, hits)
    assert mix_tf(mixer, [text], [(0, 0)]) == [mixed]
    assert "शहर" not in CodeMixer(PHRASES, 1.0).mix(text, (0, 0))


def test_phrases_end_at_the_end_of_a_text():
    mixer = CodeMixer(PHRASES, 1.0, phrases=True)
    assert mix_tf(mixer, ["new", "york"], [(0, 0), (0, 1)]) == ["नया", "यॉर्क"]


def test_phrases_do_not_reach_across_protected_spans():
    lexicon = Lexicon({"a 5 b": ("x",), "5": ("y",)})
    segmenter = ProtectingSegmenter(SpaceSegmenter(), "5")
    mixer = CodeMixer(lexicon, 1.0, phrases=True, segmenter=segmenter)
    assert mixer.mix("a 5 b", (0, 0)) == "a 5 b"
    assert mix_tf(mixer, ["a 5 b"], [(0, 0)]) == ["a 5 b"]
    assert CodeMixer(lexicon, 1.0, phrases=True).mix("a 5 b", (0, 0)) == "x"


@pytest.mark.parametrize("target", [0.1, 0.25, 0.4, 0.5])
def test_a_calibrated_ratio_is_a_share_of_all_words(target):
    rng = np.random.default_rng(3)
    # Of the words of a text, between 50 and 90 percent are known.
    words = [
        rng.choice(["tea", "miss"], p=[known, 1 - known], size=200)
        for known in rng.uniform(0.5, 0.9, 100)
    ]
    batch, seeds = [" ".join(row) for row in words], [(9, n) for n in range(len(words))]
    mixer = CodeMixer(Lexicon({"tea": ("x",)}), target, calibrated=True)
    shares = [text.split().count("x") / 200 for text in mix_tf(mixer, batch, seeds)]
    assert np.mean(shares) == pytest.approx(target, abs=0.01)
    known = np.array([(row == "tea").mean() for row in words])
    assert abs(np.corrcoef(shares, known)[0, 1]) < 0.35  # whatever the coverage of a text


def test_a_calibrated_ratio_beyond_the_coverage_replaces_every_hit():
    mixer = CodeMixer(Lexicon({"tea": ("x",)}), 0.8, calibrated=True)
    assert mixer.mix("tea and tea or milk", (0, 0)) == "x and x or milk"


@given(texts, lexicons, SEEDS)
def test_a_ratio_given_with_the_text_wins(text, lexicon, seed):
    assert CodeMixer(lexicon, 0.2).mix(text, seed, ratio=0.7) == CodeMixer(lexicon, 0.7).mix(
        text, seed
    )


def test_each_text_of_a_batch_can_have_its_ratio():
    mixer = CodeMixer(Lexicon({"tea": ("x",)}), 0.5)
    batch, seeds, ratios = ["tea " * 50] * 3, [(0, n) for n in range(3)], [0.0, 0.3, 1.0]
    mixed = GraphMixer(mixer)(
        tf.constant(batch), tf.constant(seeds, tf.int64), tf.constant(ratios, tf.float64)
    )
    expected = [mixer.mix(*case) for case in zip(batch, seeds, ratios, strict=True)]
    assert [text.decode() for text in mixed.numpy()] == expected
    assert [text.count(b"x") for text in mixed.numpy()][::2] == [0, 50]


@pytest.mark.parametrize("ratio", [-0.001, 1.001, 90, float("nan"), float("inf")])
def test_a_ratio_out_of_range_is_an_input_error(ratio):
    with pytest.raises(InputError, match="ratio .*: must lie between 0 and 1"):
        CodeMixer(Lexicon({"a": ("b",)}), ratio)


def configured(bind, source="en", target="hi", **options):
    bind("lexicon.load_dictionary.directory", "samples")
    for name, value in options.items():
        bind(f"mixer.make_mixer.{name}", value)
    return make_mixer(source, target)


def test_gin_gives_the_papers_mixer_unless_told_otherwise(bind):
    mixer = configured(bind)
    assert mixer.ratio == 0.9
    assert type(mixer.segmenter) is SpaceSegmenter
    assert not mixer.calibrated
    assert mixer.mix("Water\nwater", (0, 0), 1.0) == "Water\nwater"


def test_gin_configures_a_mixer(bind):
    mixer = configured(
        bind,
        source="th",
        target="en",
        ratio=1.0,
        segmenter="language",
        case_variants=True,
        drop_identity=True,
        calibrated=True,
        protected=["number"],
    )
    assert mixer.ratio == 1.0
    assert mixer.calibrated
    assert mixer.mix("น้ำแข็ง", (0, 0)).isascii()
    assert type(make_mixer("en", "th").segmenter) is ProtectingSegmenter
    assert make_mixer("en", "hi").mix("Water", (0, 0)) != "Water"


RECIPE = {
    "segmenter": "language",
    "phrases": True,
    "case_variants": True,
    "lemma_backoff": True,
    "drop_identity": True,
    "canonical_equivalence": True,
}


def of_dictionary(bind, folder, source, target, pairs, **options):
    """Returns a mixer of ratio 1 as the recipes have it, with a dictionary of its own."""
    lines = "".join(f"{source}\t{target}\n" for source, target in pairs)
    (folder / f"{source}-{target}.txt").write_text(lines, encoding="utf-8")
    bind("lexicon.load_dictionary.directory", str(folder))
    return make_mixer(source, target, **{**RECIPE, "ratio": 1.0, **options})


def mixed_alike(mixer, text):
    """Returns a mixed text, the same in Python and in TensorFlow."""
    mixed = mixer.mix(text, (0, 0))
    assert mix_tf(mixer, [text], [(0, 0)]) == [mixed]
    return mixed


def test_an_inflected_word_is_looked_up_by_its_lemma(bind, tmp_path):
    pairs = [("river", "R"), ("rivers", "S"), ("bake", "B"), ("have", "H"), ("be", "E")]
    pairs += [("dur", "D"), ("thu", "T"), ("mak", "M"), ("hav", "V"), ("wolves", "wolves")]
    mixer = of_dictionary(bind, tmp_path, "en", "xx", [*pairs, ("wolf", "W")])
    assert mixed_alike(mixer, "Rivers Baked BAKES") == "S B B"
    text = "during making having thus being wedding rived"  # no forms, or of closed classes
    assert mixed_alike(mixer, text) == text
    assert mixed_alike(mixer, "wolf wolves") == "W wolves"  # an entry, if one of no use
    mixer = of_dictionary(bind, tmp_path, "en", "yy", pairs, lemma_backoff=False)
    assert mixed_alike(mixer, "bakes") == "bakes"


@pytest.mark.parametrize(
    "text, mixed",
    [
        ("na\xefve", "N"),
        ("nai\u0308ve", "N"),
        ("NAI\u0308VE Nai\u0308ve", "N N"),
        ("\u0938\u095c\u0915 \u0938\u0921\u093c\u0915", "S S"),  # a nukta of its own, as NFC has it
        ("wa\xadter wa\u2060ter", "W W"),
        ("water\u2060 \u200ewater\u200f water\u200d", "W\u2060 \u200eW\u200f W"),
        ("hot\xad water, hot wat\xader", "P, P"),  # a phrase
        ("wa\u200dter", "wa\u200dter"),  # joiners make another word
        ("\u212aelvin", "K"),
        (
            "tea=\u0338tea tea\u2260tea =\u0338tea \u2260tea",
            "tea=\u0338tea tea\u2260tea =\u0338T \u2260T",
        ),
    ],
)
def test_canonically_equivalent_words_are_found_alike(text, mixed):
    pairs = [("nai\u0308ve", "N"), ("\u0938\u0921\u093c\u0915", "S"), ("water", "W"), ("tea", "T")]
    pairs += [("Kelvin", "K"), ("Kelvin", "K"), ("hot", "H"), ("hot water", "P")]
    mixer = CodeMixer(
        Lexicon.from_pairs([*pairs, ("NA\xcfVE", "N"), ("Na\xefve", "N"), ("Kelvin", "K")]),
        1.0,
        segmenter=WhitespaceSegmenter(),
        phrases=True,
        canonical_equivalence=True,
    )
    assert mixed_alike(mixer, text) == mixed


# Words with marks that NFC composes, reorders or decomposes.
MARKED = (
    "n\u0323\u0307",
    "e\u0301",
    "\u0391\u0313\u0301",
    "\u0e1c\u0e39\u0e49",
    "\u0921\u093c",
    "\uac01",
    "\u0344",
    "\u212b",
)
marked = st.lists(st.sampled_from((*WORDS, *MARKED)), min_size=1, max_size=3).map("".join)


@settings(max_examples=60)
@given(
    words=st.lists(marked | st.text(min_size=1, max_size=3), min_size=1, max_size=8),
    more=texts,
    segmenter=st.sampled_from(["whitespace", "longest_match"]),
    seed=SEEDS,
)
def test_canonically_equivalent_texts_are_mixed_alike(words, more, segmenter, seed):
    lexicon = Lexicon({word: (f"<{n}>",) for n, word in enumerate(words)})
    mixer = CodeMixer(
        lexicon, 1.0, segmenter=SEGMENTERS[segmenter](lexicon), canonical_equivalence=True
    )
    text = " ".join([*words, more])
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    mixed = [mixer.mix(form, seed) for form in forms]
    assert len({unicodedata.normalize("NFC", text) for text in mixed}) == 1
    assert mix_tf(mixer, forms, [seed, seed]) == mixed


@pytest.mark.parametrize(
    "pair, entry, text, mixed",
    [
        ("tr-en", ("iyi", "good"), "İyi İYİ I\u0307yi Iyi", "Good GOOD Good Iyi"),
        ("az-en", ("ışıq", "light"), "Işıq IŞIQ", "Light LIGHT"),
        ("tr-en", ("i̇stanbul", "city"), "İstanbul", "City"),  # as lower-casing İ leaves it
        ("en-tr", ("work", "iş"), "Work WORK", "İş İŞ"),
        ("el-en", ("νερό", "water"), "ΝΕΡΟ ΝΕΡΌ Νερό", "WATER WATER Water"),
        ("el-en", ("άνθρωπος", "man"), "Άνθρωπος Ανθρωπος ΑΝΘΡΩΠΟΣ", "Man Man MAN"),
        ("el-en", ("ρολόι", "clock"), "ΡΟΛΟΪ ΡΟΛΟΙ", "CLOCK CLOCK"),
        ("en-el", ("word", "λόγος"), "WORD", "ΛΟΓΟΣ"),
        ("en-el", ("or", "ή"), "Or", "Ή"),
        ("de-en", ("straße", "street"), "STRASSE STRAẞE Straße", "STREET STREET Street"),
        ("en-de", ("street", "straße"), "STREET", "STRASSE"),
        ("en-nl", ("ice", "ijs"), "Ice", "IJs"),
        ("en-ka", ("tea", "ჩაი"), "Tea", "ჩაი"),  # Georgian capitals don't begin words
    ],
)
def test_case_follows_the_language_of_each_side(bind, tmp_path, pair, entry, text, mixed):
    mixer = of_dictionary(bind, tmp_path, *pair.split("-"), [entry], lemma_backoff=False)
    assert mixed_alike(mixer, text) == mixed


@pytest.mark.parametrize(
    "text, mixed",
    [
        ("กาใส", "crow clear"),
        ("กาน้ำใส!", "crow น้ำ clear!"),
        ("น้ำกา น้ำ", "น้ำ crow น้ำ"),
        ("(กา)ๆ", "(crow)ๆ"),
        ("กา 5กา", "crow 5crow"),  # a protected span is no word
    ],
)
def test_a_replaced_word_that_touches_another_is_set_apart(text, mixed):
    lexicon = Lexicon({"กา": ("crow",), "ใส": ("clear",), "5": ("five",)})
    segmenter = ProtectingSegmenter(LongestMatchSegmenter([*lexicon, "น้ำ"]), "5")
    mixer = CodeMixer(lexicon, 1.0, segmenter=segmenter)
    result = mixer.mix_with_replacements(text, (0, 0))
    assert result.text == mixed
    assert all(mixed[r.start :].startswith(r.target) for r in result.replacements)
    assert mix_tf(mixer, [text, text], [(0, 0), (0, 1)]) == [mixed] * 2


def test_several_languages_are_drawn_by_weight(bind, tmp_path):
    for language, pairs in {"hi": "tea\tH\n", "th": "tea\tT\ntea\tU\nhot\tV\n"}.items():
        (tmp_path / f"en-{language}.txt").write_text(pairs)
    bind("lexicon.load_dictionary.directory", str(tmp_path))
    bind("mixer.make_mixer.target_languages", {"hi": 3.0, "th": 1.0})
    mixer = make_mixer("en", "el")
    mixed = mixer.mix("tea " * 8000 + "hot", (0, 0), 1.0).split()
    assert [mixed.count(word) / 8000 for word in "HTU"] == pytest.approx(
        [0.75, 0.125, 0.125], abs=0.02
    )
    assert mixed[-1] == "V"


def test_phrases_of_an_alignment_join_the_dictionary(bind, tmp_path):
    (tmp_path / "en-hi.txt").write_text("tea\tD\nmilk\tM\n")
    (tmp_path / "en-hi.en").write_text("hot tea\nhot tea\n")
    (tmp_path / "en-hi.hi").write_text("गर्म चाय\nगर्म चाय\n")
    (tmp_path / "en-hi.align").write_text("0-0 1-1\n0-0 1-1\n")
    bind("lexicon.load_dictionary.directory", str(tmp_path))
    bind("word_alignment.load_alignment_pairs.directory", str(tmp_path))
    bind("mixer.make_mixer.replacements", {"dictionary": 1.0, "alignment": 1.0})
    bind("mixer.make_mixer.phrases", True)
    mixer = make_mixer("en", "hi")
    assert mixer.mix("hot tea with milk", (0, 0), 1.0) == "गर्म चाय with M"
    assert set(mixer.mix("tea " * 60, (0, 0), 1.0).split()) == {"D", "चाय"}


@pytest.mark.parametrize(
    "option, value, message",
    [
        ("segmenter", "characters", "segmenter 'characters'"),
        ("target_languages", {"hi": 0.0, "th": 1.0}, "each must be positive"),
        ("target_languages", {"xx": 1.0}, "no dictionary en-xx"),
        ("protected", ["("], r"protected '\('"),
    ],
)
def test_options_that_cannot_be(bind, option, value, message):
    with pytest.raises(InputError, match=message):
        configured(bind, **{option: value})
