"""CodeMixer: replaces words of a text by dictionary translations (COMMIT).

One stateless algorithm with two faces that agree to the byte: plain Python (`mix`), the readable
truth, and TensorFlow (`mix_tf`), which mixes a batch inside a tf.data graph.
"""

import dataclasses
import functools
import sys
import unicodedata

import gin
import tensorflow as tf

from commit_t5x import stateless_random
from commit_t5x.errors import InputError
from commit_t5x.lexicon import Lexicon, load_dictionary
from commit_t5x.segmenters import Segmenter, SpaceSegmenter, get_segmenter


@dataclasses.dataclass(frozen=True)
class Replacement:
    """One replaced word: its place in the mixed text, in characters, and what stood there."""

    start: int
    source: str
    target: str


class CodeMixer:
    """Replaces the words of a text that a lexicon knows, each with probability `ratio`.

    The text is cut into pieces, white space and punctuation at a piece's ends are set aside, the
    rest is looked up, and on a hit one translation is drawn uniformly from the lexicon's list. Two
    numbers are drawn for each hit and none for a miss, from a stream that the seed alone fixes.
    The defaults are the paper's algorithm: pieces end at U+0020, lookup is exact.

    Args:
      lexicon: source words and their translations.
      ratio: probability, 0 to 1, that a hit is replaced.
      segmenter: cuts the text into pieces.
      case_variants: also find words written with their first or all letters in upper case.
      drop_identity: ignore pairs that would replace a word by itself.

    Raises:
      InputError: `ratio` is not between 0 and 1.

    Example:
      >>> lexicon = Lexicon.from_pairs([("drink", "पियो"), ("water", "पानी")])
      >>> CodeMixer(lexicon, ratio=1.0).mix("Please drink (water)!", seed=(42, 0))
      'Please पियो (पानी)!'
    """

    def __init__(
        self,
        lexicon: Lexicon,
        ratio: float = 0.9,
        *,
        segmenter: Segmenter | None = None,
        case_variants: bool = False,
        drop_identity: bool = False,
    ):
        if not 0 <= ratio <= 1:
            raise InputError(f"code-mixing ratio {ratio}: must lie between 0 and 1")
        if drop_identity:
            lexicon = lexicon.without_identity()
        if case_variants:
            lexicon = lexicon.with_case_variants()
        self.lexicon = lexicon
        self.ratio = ratio
        self.segmenter = segmenter or SpaceSegmenter()
        # A hit is replaced if its 32-bit draw is below this.
        self._threshold = round(ratio * 2**32)

    def mix(self, text: str, seed: tuple[int, int]) -> str:
        """Returns the mixed text; the same seed gives the same text everywhere."""
        return self.mix_with_replacements(text, seed)[0]

    def mix_with_replacements(
        self, text: str, seed: tuple[int, int]
    ) -> tuple[str, list[Replacement]]:
        """Returns the mixed text and what was replaced in it, from left to right."""
        stream = stateless_random.key(seed)
        mixed, replacements, length, hits = [], [], 0, 0
        for piece in self.segmenter.segment(text):
            stripped = piece.lstrip(_edge_characters())
            core = stripped.rstrip(_edge_characters())
            translations = self.lexicon.translations(core)
            if translations:
                if stateless_random.bits(stream, 2 * hits) < self._threshold:
                    choice = stateless_random.below(stream, 2 * hits + 1, len(translations))
                    prefix = piece[: len(piece) - len(stripped)]
                    suffix = stripped[len(core) :]
                    target = translations[choice]
                    replacements.append(Replacement(length + len(prefix), core, target))
                    piece = prefix + target + suffix
                hits += 1
            mixed.append(piece)
            length += len(piece)
        return "".join(mixed), replacements

    def mix_tf(self, texts: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Mixes a batch of UTF-8 texts: string [n], int64 [n, 2] -> string [n]."""
        if not self.lexicon:
            return tf.identity(texts)  # TensorFlow's tables can't be empty
        pieces = self.segmenter.segment_tf(texts)
        flat = pieces.flat_values
        stripped = tf.strings.regex_replace(flat, f"^{_edge_class()}+", "", replace_global=False)
        cores = tf.strings.regex_replace(stripped, f"{_edge_class()}+$", "", replace_global=False)
        table, first, values = self._tables()
        entries = table.lookup(cores)

        places = tf.where(entries >= 0)[:, 0]  # of the hits, among all pieces
        entries = tf.gather(entries, places)
        rows = tf.gather(pieces.value_rowids(), places)
        streams = tf.gather(stateless_random.key_tf(seeds), rows)
        counters = 2 * _rank_in_row(rows)
        replace = stateless_random.bits_tf(streams, counters) < tf.constant(
            self._threshold, tf.uint64
        )
        starts, ends = tf.gather(first, entries), tf.gather(first, entries + 1)
        choices = starts + stateless_random.below_tf(streams, counters + 1, ends - starts)

        choices, places = choices[replace], places[replace]
        piece, rest = tf.gather(flat, places), tf.gather(stripped, places)
        core_length = tf.strings.length(tf.gather(cores, places))
        rest_length = tf.strings.length(rest)
        prefix_length = tf.strings.length(piece) - rest_length
        prefix = tf.strings.substr(piece, tf.zeros_like(prefix_length), prefix_length)
        suffix = tf.strings.substr(rest, core_length, rest_length - core_length)
        replaced = tf.strings.join([prefix, tf.gather(values, choices), suffix])
        flat = tf.tensor_scatter_nd_update(flat, places[:, tf.newaxis], replaced)
        return tf.strings.reduce_join(pieces.with_flat_values(flat), axis=-1)

    def _tables(self) -> tuple[tf.lookup.StaticHashTable, tf.Tensor, tf.Tensor]:
        """Returns word -> entry, entry -> first translation, and all translations in a row."""
        # Made outside of any graph and kept, so that every graph that mixes shares one table.
        if not hasattr(self, "_tf_tables"):
            with tf.init_scope():
                words, translations = zip(*self.lexicon.items(), strict=True)
                entries = tf.range(len(words), dtype=tf.int64)
                initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(words), entries)
                lengths = tf.constant([0, *map(len, translations)], tf.int64)
                self._tf_tables = (
                    tf.lookup.StaticHashTable(initializer, default_value=-1),
                    tf.cumsum(lengths),
                    tf.constant([target for row in translations for target in row]),
                )
        return self._tf_tables


@gin.configurable
def make_mixer(
    source_language: str,
    target_language: str,
    *,
    ratio: float = 0.9,
    segmenter: str = "space",
    case_variants: bool = False,
    drop_identity: bool = False,
) -> CodeMixer:
    """Returns the mixer that gin configures for a language pair; see `CodeMixer`.

    Args:
      source_language: the language of the texts.
      target_language: the language mixed in; the dictionary is `{source}-{target}` of `DICT_DIR`.
      ratio: as in `CodeMixer`.
      segmenter: a name that `segmenters.get_segmenter` knows.
      case_variants: as in `CodeMixer`.
      drop_identity: as in `CodeMixer`.
    """
    lexicon = load_dictionary(source_language, target_language)
    return CodeMixer(
        lexicon,
        ratio,
        segmenter=get_segmenter(segmenter, source_language, lexicon),
        case_variants=case_variants,
        drop_identity=drop_identity,
    )


@functools.cache
def _edge_characters() -> str:
    """White space and punctuation, which the paper's code strips from a piece before lookup.

    That is space, tab, newline, carriage return, Unicode Zs; every ASCII character that is neither
    letter nor digit; and Unicode P*.
    """

    def is_edge(character):
        if character.isascii():
            return not character.isalnum()
        category = unicodedata.category(character)
        return category == "Zs" or category.startswith("P")

    return "".join(filter(is_edge, map(chr, range(sys.maxunicode + 1))))


@functools.cache
def _edge_class() -> str:
    """The same characters as a class for RE2, whose tables may follow another Unicode version."""
    ranges = []
    for code in map(ord, _edge_characters()):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges) + "]"


def _rank_in_row(rows: tf.Tensor) -> tf.Tensor:
    """Counts 0, 1, 2, ... within each run of equal values: int64 [n] -> int64 [n].

    Example: [0, 0, 3, 3, 3, 5] -> [0, 1, 0, 1, 2, 0]
    """
    positions = tf.range(tf.size(rows, tf.int64))
    return positions - tf.searchsorted(rows, rows, side="left", out_type=tf.int64)
