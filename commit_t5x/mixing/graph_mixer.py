"""The mixer's TensorFlow face: a batch of texts mixed inside a graph.

It does what `CodeMixer.mix` does in Python, to the byte; there the algorithm is easier to read.
"""

import itertools

import numpy as np
import tensorflow as tf
import tensorflow_text

from commit_t5x.mixing import (
    characters,
    counts,
    graph_random,
    graph_segmenters,
    pointer_jumping,
    ragged_rows,
    tagging,
)
from commit_t5x.mixing.mixer import ALWAYS, CodeMixer


class GraphMixer:
    """Mixes batches of texts inside a TensorFlow graph.

    Args:
      mixer: says how.

    Attributes:
      ratio: the mixer's own.

    Example:
      >>> mix = GraphMixer(CodeMixer(Lexicon.from_pairs([("tea", "चाय")]), ratio=1.0))
      >>> mix(tf.constant(["hot tea"]), tf.constant([[42, 0]], tf.int64)).numpy()[0].decode()
      'hot चाय'
    """

    def __init__(self, mixer: CodeMixer):
        self.ratio = mixer.ratio
        self._mixer = mixer
        self._segmenter = mixer.segmenter
        self._tagger = mixer.tagger
        self._calibrated = mixer.calibrated
        self._canonical_equivalence = mixer.canonical_equivalence
        self._empty = not mixer.lexicon  # TensorFlow's tables can't be
        if self._empty:
            return
        lexicon, phrase_lengths = mixer.lexicon, mixer.phrase_lengths
        # Made outside of any graph, so that every graph that mixes shares one table.
        with tf.init_scope():
            words, translations = zip(*lexicon.items(), strict=True)
            self._entries = _table(words, range(len(words)))
            self._translations = tf.constant([target for row in translations for target in row])
            # Where the share of each translation begins, each entry having 2^32 to share out.
            self._shares = tf.constant(
                [
                    (entry << 32) + share
                    for entry, word in enumerate(words)
                    for share in lexicon.shares(word)
                ],
                tf.int64,
            )
            self._longest_phrase = max(phrase_lengths.values(), default=1)
            if phrase_lengths:
                self._phrase_lengths = _table(phrase_lengths.keys(), phrase_lengths.values())

    def __call__(
        self, texts: tf.Tensor, seeds: tf.Tensor, ratios: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Mixes a batch of UTF-8 texts.

        Args:
          texts: string [n].
          seeds: int64 [n, 2].
          ratios: float64 [n], in place of the mixer's own; or None.

        Returns:
          The mixed texts, string [n].

        Raises:
          InputError: see `graph_segmenters.segment`.
        """
        if self._empty:
            return tf.identity(texts)
        return ragged_rows.join(self._mix(texts, seeds, ratios)[1])

    def aligned(
        self, texts: tf.Tensor, seeds: tf.Tensor, ratios: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Mixes as a call does, and says which bytes stand for which before and after.

        The units are `Mixed.pieces`: words and phrases, and what stands between them; but spaces
        at the end of such a gap go with the word behind, as in tokens.

        Args:
          texts, seeds, ratios: as for a call.

        Returns:
          The mixed texts, string [n], and the bytes of each unit in `texts` and in these: int64
          ragged [n, (units)] each.

        Example:
          >>> mix.aligned(tf.constant(["hot tea"]), tf.constant([[42, 0]], tf.int64))[1:]
          [[0, 3, 4, 0]], [[0, 3, 10, 0]]
        """
        if self._empty:
            whole = tf.strings.length(texts)[:, tf.newaxis]
            whole = tf.RaggedTensor.from_tensor(tf.cast(whole, tf.int64))
            return tf.identity(texts), whole, whole
        before, after, inner = self._mix(texts, seeds, ratios)
        rows = tf.boolean_mask(ragged_rows.ids(before), ~inner)
        units = tf.cumsum(tf.cast(~inner, tf.int64)) - 1
        lengths = (
            tf.RaggedTensor.from_value_rowids(
                tf.math.unsorted_segment_sum(_token_bytes(side), units, tf.size(rows)),
                *(rows, before.nrows()),
                validate=False,
            )
            for side in (before, after)
        )
        return ragged_rows.join(after), *lengths

    def _mix(
        self, texts: tf.Tensor, seeds: tf.Tensor, ratios: tf.Tensor | None
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.Tensor]:
        """Returns the pieces before and after, and which are in a phrase but its first: bool."""
        if ratios is None:
            ratios = tf.fill(tf.shape(texts), tf.constant(self.ratio, tf.float64))
        pieces = graph_segmenters.segment(self._segmenter, texts)
        flat, rows = pieces.flat_values, ragged_rows.ids(pieces)
        keys = pieces
        if self._canonical_equivalence:
            keys = _lookup_keys(texts, pieces)
        entries = self._entries.lookup(keys.flat_values)
        if self._tagger:
            tagged = tf.strings.join([keys.flat_values, _suffixes(self._tagger, pieces)])
            tagged = self._entries.lookup(tagged)
            entries = tf.where(tagged >= 0, tagged, entries)
        starts = _words(tf.where(entries >= 0)[:, 0], pieces)
        entries, ends = tf.gather(entries, starts), starts + 1
        if self._longest_phrase > 1:
            starts, ends, entries = self._with_phrases(keys, starts, entries)

        hit_rows = tf.gather(rows, starts)
        thresholds = tf.cast(tf.round(ratios * ALWAYS), tf.int64)
        if self._calibrated:
            words = ragged_rows.sums(pieces.with_flat_values(tf.cast(_are_words(pieces), tf.int64)))
            hits = tf.math.unsorted_segment_sum((ends - starts + 1) // 2, hit_rows, tf.size(texts))
            thresholds = tf.minimum(thresholds * words // tf.maximum(hits, 1), ALWAYS)
        streams = tf.gather(graph_random.key(seeds), hit_rows)
        counters = 2 * _rank_in_row(hit_rows)
        replace = graph_random.bits(streams, counters) < tf.gather(thresholds, hit_rows)

        inner = _inner(starts, ends, tf.shape(flat, tf.int64))
        hits = tf.reduce_sum((ends - starts + 1) // 2)
        replaced = tf.where(replace)[:, 0]
        starts, ends, entries, streams, counters = (
            tf.gather(a, replaced) for a in (starts, ends, entries, streams, counters)
        )
        if counter := counts.current():
            words = tf.math.count_nonzero(_are_words(pieces))
            counter.add_words_tf(self._mixer, words, hits, tf.reduce_sum((ends - starts + 1) // 2))
        draws = graph_random.bits(streams, counters + 1)
        after = tf.searchsorted(self._shares, entries * ALWAYS + draws, "right", tf.int64)
        targets = tf.gather(self._translations, after - 1)
        if self._segmenter.words_touch:
            flat = _with_spaces(pieces, starts, ends)
        flat = tf.tensor_scatter_nd_update(flat, starts[:, tf.newaxis], targets)
        if self._longest_phrase > 1:
            # The target stands for all pieces of a phrase.
            rest = tf.ragged.range(starts + 1, ends).flat_values
            flat = tf.tensor_scatter_nd_update(
                flat, rest[:, tf.newaxis], tf.fill(tf.shape(rest), "")
            )
        return pieces, pieces.with_flat_values(flat), inner

    def _with_phrases(
        self, keys: tf.RaggedTensor, starts: tf.Tensor, entries: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Puts phrases in place of the single words that they cover.

        Args:
          keys: of the pieces of all texts; places count among their flat values.
          starts: int64 [hits], the places of single words that are hits.
          entries: int64 [hits], their entries.

        Returns:
          Places where each hit starts and ends, and its entry, int64 [hits] each.
        """
        first, last, phrases = self._find_phrases(keys)
        latest = tf.searchsorted(first, starts, "right", tf.int64)  # phrases that start before
        alone = tf.where(starts >= tf.gather(tf.concat([[0], last], axis=0), latest))[:, 0]
        starts, entries = tf.gather(starts, alone), tf.gather(entries, alone)
        ends = tf.concat([starts + 1, last], axis=0)
        starts = tf.concat([starts, first], axis=0)
        entries = tf.concat([entries, phrases], axis=0)
        order = tf.argsort(starts)
        return tf.gather(starts, order), tf.gather(ends, order), tf.gather(entries, order)

    def _find_phrases(self, keys: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns start, end and entry, int64 [phrases] each, of the phrases, none overlapping."""
        flat, rows = keys.flat_values, ragged_rows.ids(keys)
        lengths = self._phrase_lengths.lookup(flat)
        starts = _words(tf.where(lengths > 1)[:, 0], keys)
        lengths = tf.gather(lengths, starts)
        ends, entries = starts, tf.fill(tf.shape(starts), tf.constant(-1, tf.int64))
        past = tf.size(flat, tf.int64) - 1
        for words in range(2, self._longest_phrase + 1):
            stops = starts + 2 * words - 1
            span = tf.minimum(starts[:, tf.newaxis] + tf.range(2 * words - 1, dtype=tf.int64), past)
            parts = tf.gather(flat, span)
            found = self._entries.lookup(tf.strings.reduce_join(parts, axis=1))
            matches = (
                (found >= 0)
                & (words <= lengths)
                & (stops - 1 <= past)
                & (tf.gather(rows, span[:, 0]) == tf.gather(rows, span[:, -1]))
                & tf.reduce_all(parts[:, ::2] != "", axis=1)
            )
            entries, ends = tf.where(matches, found, entries), tf.where(matches, stops, ends)
        hits = tf.where(entries >= 0)[:, 0]
        starts, ends, entries = (tf.gather(a, hits) for a in (starts, ends, entries))
        # From left to right, leaving out those that begin within another.
        kept = pointer_jumping.visited(tf.searchsorted(starts, ends, "left", tf.int64))
        kept = tf.where(kept)[:, 0]
        return tf.gather(starts, kept), tf.gather(ends, kept), tf.gather(entries, kept)


def _table(keys, values) -> tf.lookup.StaticHashTable:
    initializer = tf.lookup.KeyValueTensorInitializer(
        tf.constant(list(keys)), tf.constant(list(values), tf.int64)
    )
    return tf.lookup.StaticHashTable(initializer, default_value=-1)


def _lookup_keys(texts: tf.Tensor, pieces: tf.RaggedTensor) -> tf.RaggedTensor:
    """Does what `characters.lookup_key` does to each piece, in the few texts that it changes."""
    unseen, joiners = map(graph_segmenters.as_ranges, (characters.UNSEEN, characters.JOINERS))

    def key(strings: tf.Tensor, dropped: str) -> tf.Tensor:
        return tensorflow_text.normalize_utf8(tf.strings.regex_replace(strings, dropped, ""), "NFC")

    changed = key(texts, f"[{unseen}{joiners}]+") != texts
    places = tf.where(tf.gather(changed, ragged_rows.ids(pieces)))
    flat = pieces.flat_values
    keys = key(tf.gather_nd(flat, places), f"[{unseen}]+|[{joiners}{unseen}]+$")
    return pieces.with_flat_values(tf.tensor_scatter_nd_update(flat, places, keys))


def _suffixes(tagger: tagging.Tagger, pieces: tf.RaggedTensor) -> tf.Tensor:
    """Does what `tagging.suffixes` does, in Python, to the pieces of each text: string [pieces]."""

    def tag(flat: np.ndarray, splits: np.ndarray) -> np.ndarray:
        texts = [piece.decode("utf-8", "replace") for piece in flat]
        rows = (texts[start:stop] for start, stop in itertools.pairwise(splits))
        found = itertools.chain.from_iterable(tagging.suffixes(tagger, row) for row in rows)
        return np.array([suffix.encode() for suffix in found], object)

    suffixes = tf.numpy_function(tag, [pieces.flat_values, pieces.row_splits], tf.string)
    return tf.ensure_shape(suffixes, [None])


def _words(places: tf.Tensor, pieces: tf.RaggedTensor) -> tf.Tensor:
    """Keeps those of the places, int64 [k], at which words stand: the even ones of each text."""
    return places[_even_in_row(places, tf.gather(ragged_rows.ids(pieces), places))]


def _are_words(pieces: tf.RaggedTensor) -> tf.Tensor:
    """Returns which of the flat pieces are words, empty ones left out: bool [pieces]."""
    flat = pieces.flat_values
    even = _even_in_row(tf.range(tf.size(flat, tf.int64)), ragged_rows.ids(pieces))
    return even & (tf.strings.length(flat) > 0)


def _even_in_row(places: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns which places, int64 [k], are even ones of their texts: bool [k]."""
    # Each text has an odd number of pieces, so those with even numbers start at even places.
    return tf.bitwise.bitwise_and(places + rows, 1) == 0


def _with_spaces(pieces: tf.RaggedTensor, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Returns the flat pieces with a space wherever a word that is replaced touches another.

    Args:
      pieces: of all texts.
      starts: int64 [k], where the pieces of each word or phrase that is replaced start.
      ends: int64 [k], where they end.
    """
    flat = pieces.flat_values
    rows = tf.gather(ragged_rows.ids(pieces), starts)
    # The gaps before and after, but not before a text's first word or after its last.
    before = (starts - 1)[starts > tf.gather(pieces.row_starts(), rows)]
    after = ends[ends < tf.gather(pieces.row_limits(), rows)]
    gaps = tf.concat([before, after], axis=0)
    around = tf.gather(flat, gaps[:, tf.newaxis] + tf.constant([-1, 0, 1], tf.int64))
    touching = (around[:, 0] != "") & (around[:, 1] == "") & (around[:, 2] != "")
    gaps = gaps[touching][:, tf.newaxis]
    return tf.tensor_scatter_nd_update(flat, gaps, tf.fill([tf.shape(gaps)[0]], " "))


def _inner(starts: tf.Tensor, ends: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Returns which pieces are in one of the spans, int64 [k], but its first: bool `shape`."""
    places = tf.ragged.range(starts + 1, ends).flat_values
    return tf.scatter_nd(places[:, tf.newaxis], tf.fill(tf.shape(places), True), shape)


def _token_bytes(pieces: tf.RaggedTensor) -> tf.Tensor:
    """Returns the bytes of the flat pieces, int64; a gap's last spaces count for the next word."""
    flat = pieces.flat_values
    spaces = tf.strings.length(flat) - tf.strings.length(tf.strings.regex_replace(flat, " +$", ""))
    are_gaps = ~_even_in_row(tf.range(tf.size(flat, tf.int64)), ragged_rows.ids(pieces))
    spaces = tf.where(are_gaps, spaces, 0)  # none is a text's last piece
    moved = tf.concat([[0], spaces], axis=0)[:-1] - spaces
    return tf.cast(tf.strings.length(flat) + moved, tf.int64)


def _rank_in_row(rows: tf.Tensor) -> tf.Tensor:
    """Counts 0, 1, 2, ... within each run of equal values: int64 [n] -> int64 [n].

    Example: [0, 0, 3, 3, 3, 5] -> [0, 1, 0, 1, 2, 0]
    """
    positions = tf.range(tf.size(rows, tf.int64))
    return positions - tf.searchsorted(rows, rows, side="left", out_type=tf.int64)
