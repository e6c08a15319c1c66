import itertools
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from texts import EDGES, WORDS, texts

from commit_t5x.errors import InputError
from commit_t5x.lexicon import Lexicon
from commit_t5x.mixer import CodeMixer, Replacement, make_mixer
from commit_t5x.segmenters import LongestMatchSegmenter, SpaceSegmenter, WhitespaceSegmenter

# Replacements that a careless implementation would not copy as they are.
TARGETS = (*WORDS, "दो शब्द", "(ti)", " x ", "\\1", "$1", "{input}", "a\nb", "\0", ".", "ti\u0301")
INTEGERS = st.integers(-(2**80), 2**80)
SEEDS = st.tuples(INTEGERS, INTEGERS)

words = st.sampled_from(WORDS)
sources = st.one_of(words, words, words, st.text(min_size=1, max_size=2), st.just("tea."))
targets = st.sampled_from(TARGETS) | st.text(min_size=1, max_size=4)
# Most words of a text are found, many of them with several translations.
KNOWN = list(zip(WORDS[::2], TARGETS[5::2], strict=False))
pairs = st.lists(st.tuples(sources, targets), max_size=40).map(lambda more: [*KNOWN, *more])
ratios = st.sampled_from([1.0, 0.9, 0.5, 0.1, 0.0]) | st.floats(0.01, 1)
lexicons = pairs.map(Lexicon.from_pairs)

SEGMENTERS = {
    "space": lambda lexicon: SpaceSegmenter(),
    "whitespace": lambda lexicon: WhitespaceSegmenter(),
    "longest_match": LongestMatchSegmenter,
}


def mix_tf(mixer, batch, seeds):
    """Mixes in TensorFlow; seeds count modulo 2^64, which is all that an int64 holds."""
    seeds = np.array(seeds, object).reshape(-1, 2) % 2**64
    seeds = seeds.astype(np.uint64).astype(np.int64)
    mixed = mixer.mix_tf(tf.constant(batch, tf.string), tf.constant(seeds))
    return [text.decode() for text in mixed.numpy()]


def original(text, dictionary):
    """The original's algorithm with nothing random left, told anew from its description.

    Split at U+0020 only. From each piece strip what is white space (space, tab, newline, carriage
    return, Zs) or punctuation (ASCII that is neither letter nor digit, P*); look the core up.
    """

    def is_stripped(character):
        category = unicodedata.category(character)
        if character in " \t\n\r" or category == "Zs" or category[0] == "P":
            return True
        return ord(character) < 128 and not character.isalpha() and not character.isdigit()

    mixed = []
    for piece in text.split(" "):
        first, last = 0, len(piece)
        while first < last and is_stripped(piece[first]):
            first += 1
        while first < last and is_stripped(piece[last - 1]):
            last -= 1
        core = piece[first:last]
        mixed.append(piece[:first] + dictionary.get(core, core) + piece[last:])
    return " ".join(mixed)


@settings(max_examples=300)
@given(text=texts, dictionary=pairs.map(dict), seed=SEEDS)
@example(text="", dictionary={"tea": "चाय"}, seed=(0, 0))
@example(text="".join(EDGES), dictionary={"tea": "चाय"}, seed=(0, 0))
@example(text="a\0b (a\0b)", dictionary={"a\0b": "x\0y\0"}, seed=(0, 0))
def test_the_original_algorithm_exactly(text, dictionary, seed):
    mixer = CodeMixer(Lexicon({word: (target,) for word, target in dictionary.items()}), ratio=1.0)
    assert mixer.mix(text, seed) == original(text, dictionary)


def test_every_character_is_stripped_or_kept_as_in_the_original():
    # One text whose pieces wrap a word in each of the characters that could be meant.
    characters = [
        c
        for c in map(chr, range(0x110000))
        if ord(c) < 0x3000 or unicodedata.category(c)[0] in "PZSM"
    ]
    text = " ".join(f"{c}tea{c}" for c in characters)
    mixer = CodeMixer(Lexicon({"tea": ("चाय",)}), ratio=1.0)
    expected = original(text, {"tea": "चाय"})
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
    case_variants=st.booleans(),
    drop_identity=st.booleans(),
)
def test_tensorflow_agrees_to_the_byte(
    lexicon, batch, ratio, segmenter, case_variants, drop_identity
):
    mixer = CodeMixer(
        lexicon,
        ratio,
        segmenter=SEGMENTERS[segmenter](lexicon),
        case_variants=case_variants,
        drop_identity=drop_identity,
    )
    batch, seeds = zip(*batch, strict=True)
    expected = [mixer.mix(text, seed) for text, seed in zip(batch, seeds, strict=True)]
    assert mix_tf(mixer, batch, seeds) == expected
    assert mix_tf(mixer, batch[:1], seeds[:1]) == expected[:1]  # alone as in a batch


@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_tensorflow_agrees_on_long_texts_inside_a_pipeline(segmenter):
    rng = np.random.default_rng(0)
    pieces = [*WORDS, *EDGES, *[" "] * 30]
    batch = ["".join(rng.choice(pieces, 400)) for _ in range(40)]
    lexicon = Lexicon.from_pairs(zip(rng.choice(WORDS, 60), rng.choice(TARGETS, 60), strict=True))
    mixer = CodeMixer(lexicon, 0.6, segmenter=SEGMENTERS[segmenter](lexicon), case_variants=True)
    seeds = [(7, -n) for n in range(len(batch))]
    ds = tf.data.Dataset.from_tensor_slices((batch, tf.constant(seeds, tf.int64)))
    ds = ds.batch(16).map(mixer.mix_tf, num_parallel_calls=2).unbatch()
    mixed = [text.decode() for text in ds.as_numpy_iterator()]
    assert mixed == [mixer.mix(text, seed) for text, seed in zip(batch, seeds, strict=True)]
    assert mixed != batch


def test_tensorflow_on_nothing():
    mixer = CodeMixer(Lexicon({"tea": ("चाय",)}), 1.0)
    assert mix_tf(mixer, [], []) == []
    assert mix_tf(mixer, ["", ""], [(0, 0), (0, 1)]) == ["", ""]
    assert mix_tf(mixer, ["!", "coffee"], [(0, 0), (0, 1)]) == ["!", "coffee"]


def test_a_lexicon_that_the_identity_filter_empties():
    mixer = CodeMixer(Lexicon({"ok": ("OK",)}), 1.0, drop_identity=True)
    assert mixer.mix("ok then", (0, 0)) == "ok then"
    assert mix_tf(mixer, ["ok then"], [(0, 0)]) == ["ok then"]


@given(texts, lexicons, SEEDS)
def test_ratio_0_is_the_identity(text, lexicon, seed):
    assert CodeMixer(lexicon, 0.0).mix_with_replacements(text, seed) == (text, [])


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
    mixed, replacements = CodeMixer(lexicon, ratio).mix_with_replacements(text, seed)
    assert replacements == sorted(replacements, key=lambda r: r.start)
    restored = mixed
    for replacement in reversed(replacements):
        assert replacement.target in lexicon.translations(replacement.source)
        end = replacement.start + len(replacement.target)
        assert restored[replacement.start : end] == replacement.target
        restored = restored[: replacement.start] + replacement.source + restored[end:]
    assert restored == text


def test_offsets_count_characters_of_the_mixed_text():
    mixer = CodeMixer(Lexicon({"tea": ("चाय",), "milk": ("m",)}), 1.0)
    mixed, replacements = mixer.mix_with_replacements("«tea» और milk, tea", (0, 0))
    assert mixed == "«चाय» और m, चाय"
    assert replacements == [
        Replacement(1, "tea", "चाय"),
        Replacement(9, "milk", "m"),
        Replacement(12, "tea", "चाय"),
    ]


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


def test_options_are_off_by_default_and_do_what_they_say():
    lexicon = Lexicon({"tea": ("tea", "τσάι"), "water": ("νερό",)})

    def mixes(text, **options):
        mixer = CodeMixer(lexicon, 1.0, **options)
        return {mixer.mix(text, (0, n)) for n in range(50)}

    assert mixes("Tea") == {"Tea"}
    assert mixes("Tea", case_variants=True) == {"Tea", "Τσάι"}
    assert mixes("Tea", case_variants=True, drop_identity=True) == {"Τσάι"}
    assert mixes("tea") == {"tea", "τσάι"}
    assert mixes("tea", drop_identity=True) == {"τσάι"}
    assert mixes("my\nwater") == {"my\nwater"}
    assert mixes("my\nwater", segmenter=WhitespaceSegmenter()) == {"my\nνερό"}
    assert CodeMixer(lexicon).ratio == 0.9


@pytest.mark.parametrize("ratio", [-0.001, 1.001, 90, float("nan"), float("inf")])
def test_a_ratio_out_of_range_is_an_input_error(ratio):
    with pytest.raises(InputError, match="ratio .*: must lie between 0 and 1"):
        CodeMixer(Lexicon({"a": ("b",)}), ratio)


def test_gin_configures_a_mixer(bind):
    bind("lexicon.load_dictionary.directory", "samples")
    assert make_mixer("en", "hi").ratio == 0.9
    assert isinstance(make_mixer("en", "hi").segmenter, SpaceSegmenter)
    bind("mixer.make_mixer.ratio", 1.0)
    bind("mixer.make_mixer.segmenter", "language")
    bind("mixer.make_mixer.case_variants", True)
    bind("mixer.make_mixer.drop_identity", True)
    mixer = make_mixer("th", "en")
    assert mixer.ratio == 1.0
    assert isinstance(mixer.segmenter, LongestMatchSegmenter)
    assert mixer.mix("น้ำแข็ง", (0, 0)).isascii()
    assert isinstance(make_mixer("en", "th").segmenter, WhitespaceSegmenter)
    assert make_mixer("en", "hi").mix("Water", (0, 0)) != "Water"


def test_gin_with_an_unknown_segmenter_or_language(bind, tmp_path):
    bind("lexicon.load_dictionary.directory", "samples")
    bind("mixer.make_mixer.segmenter", "characters")
    with pytest.raises(InputError, match="segmenter 'characters'"):
        make_mixer("en", "hi")
    with pytest.raises(InputError, match="no dictionary en-xx"):
        make_mixer("en", "xx")
