import bisect
import itertools

import pytest
import seqio
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import WORDS, texts

from commit_t5x import resources
from commit_t5x.data import pair_features, pairs, preprocessors, templates
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.segmenters import LongestMatchSegmenter, SpaceSegmenter
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.seqio_vocabulary import TokenizerVocabulary

VOCABULARY = TokenizerVocabulary(configured.load(resources.path("samples") / "tokenizer.model"))
LEXICON = Lexicon.from_pairs(
    [*zip(WORDS[::2], reversed(WORDS), strict=False), ("hot tea", "गरम चाय"), ("tea water", "x")]
)
MIXERS = {
    "space": CodeMixer(LEXICON, 0.7, phrases=True),
    "words touch": CodeMixer(LEXICON, 0.7, segmenter=LongestMatchSegmenter(LEXICON)),
}
EPOCH = 5
examples = st.fixed_dictionaries(dict.fromkeys(preprocessors.FIELDS, texts))


def pairing(mixer, **options):
    """Returns what gives the pairs of a list of examples; making its graph is the dear part."""
    given = []
    numbers = dict.fromkeys(("index", "position", "epoch_seed"), tf.TensorSpec((), tf.int64))
    fields = dict.fromkeys(preprocessors.FIELDS, tf.TensorSpec((), tf.string))
    ds = tf.data.Dataset.from_generator(lambda: given, output_signature={**fields, **numbers})
    features = {"targets": seqio.Feature(VOCABULARY, add_eos=False)}
    ds = pairs.add_pairs(preprocessors.batch_examples(ds), features, mixer=lambda: mixer, **options)

    def paired(examples):
        given[:] = [
            {**example, "index": index, "position": index, "epoch_seed": EPOCH}
            for index, example in enumerate(examples)
        ]
        return [
            [row[name].tolist() for name in pair_features.TASK_FEATURES]
            for row in ds.unbatch().as_numpy_iterator()
        ]

    return paired


def units_by_hand(example, index, mixer):
    """Returns the units of an example: [(text before, text after), ...]."""
    mixed = {}
    for field, name in enumerate(preprocessors.FIELDS):
        seed = preprocessors.mixing_seeds(EPOCH, index, field)
        found = mixer.mix_with_replacements(example[name], seed).pieces
        sides = [[piece.source for piece in found], [piece.text for piece in found]]
        for side in sides:
            for place in range(1, len(side), 2):  # between words
                gap = side[place].rstrip(" ")
                side[place + 1] = side[place][len(gap) :] + side[place + 1]
                side[place] = gap
        mixed[name] = list(zip(*sides, strict=True))
    units = []
    for segment in templates.get_prompts("en").choose(example).segments:
        if isinstance(segment, templates.Literal):
            units.append((segment.text, segment.text))
        else:
            units += mixed[segment.field]
    return units + mixed["output"]


def pair_by_hand(example, index, mixer):
    ids, places = [], []
    units = units_by_hand(example, index, mixer)
    for side in zip(*units, strict=True):
        tokens, starts, _ = VOCABULARY.tokenizer.encode_batch(["".join(side).encode()])
        ends = list(itertools.accumulate(len(text.encode()) for text in side))
        ids.append(tokens.tolist())
        places.append([bisect.bisect_right(ends, start) for start in starts])
    common = sorted({*places[0]} & {*places[1]})
    numbers = [[common.index(p) + 1 if p in common else 0 for p in side] for side in places]
    return [ids[0], numbers[0], ids[1], numbers[1]]


@pytest.fixture(scope="module", params=MIXERS)
def mixer_and_paired(request):
    mixer = MIXERS[request.param]
    return mixer, pairing(mixer)


@settings(max_examples=3)
@given(st.lists(examples, min_size=10, max_size=30))
def test_pairs_are_those_of_python(mixer_and_paired, examples):
    mixer, paired = mixer_and_paired
    by_hand = [pair_by_hand(example, index, mixer) for index, example in enumerate(examples)]
    assert paired(examples) == by_hand


def test_what_stands_for_a_word_has_its_number():
    mixer = CodeMixer(Lexicon.from_pairs([("tea", "गरम चाय")]), 1.0, segmenter=SpaceSegmenter())
    example = {"instruction": "Drink tea!", "input": "", "output": "No tea, water."}
    [[plain, of_plain, mixed, of_mixed]] = pairing(mixer)([example])
    decode = VOCABULARY.tokenizer.decode

    def words(ids, units):
        groups = {}
        for token, unit in zip(ids, units, strict=True):
            groups.setdefault(unit, []).append(token)
        return [decode(groups[unit]).strip() for unit in sorted(groups)]

    before, after = words(plain, of_plain), words(mixed, of_mixed)
    both = [("Drink", "Drink"), ("tea", "गरम चाय"), ("!", "!"), *[("### Response:",) * 2]]
    both += [("No", "No"), ("tea", "गरम चाय"), (",", ","), ("water", "water"), (".", ".")]
    assert before[0] == after[0] and before[0].endswith("### Instruction:")
    assert list(zip(before[1:], after[1:], strict=True)) == both


def test_the_response_can_have_a_ratio_of_its_own():
    mixer = CodeMixer(Lexicon.from_pairs([("tea", "चाय")]), 1.0)
    example = {"instruction": "tea", "input": "", "output": "tea"}
    [[_, _, mixed, _]] = pairing(mixer, response_ratio=0.0)([example])
    assert VOCABULARY.tokenizer.decode(mixed).endswith(":\nचाय\n\n### Response:tea")
