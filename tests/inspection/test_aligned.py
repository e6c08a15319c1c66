import texts
from hypothesis import given
from hypothesis import strategies as st

from commit_t5x.inspection import aligned
from commit_t5x.inspection.aligned import AlignedText, Span, Word, whole
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.segmenters import LongestMatchSegmenter, SpaceSegmenter, get_segmenter

LEXICON = Lexicon(
    {"tea": ("चाय", "tea"), "Tea": ("चाय",), "water x2": ("πολύ νερό",), "น้ำ": ("w",)}
)
SEGMENTERS = {
    "space": SpaceSegmenter(),
    "longest match": LongestMatchSegmenter(LEXICON),
    "protected": get_segmenter("whitespace", "en", lambda: LEXICON, ("number", "placeholder")),
}


def mixed(mixer, text, ratio=1.0, role="text"):
    return aligned.mix(mixer, text, whole(text, role), (1, 2), ratio)


def test_words_and_what_became_of_them(mixer):
    piece = mixed(mixer, "Tea, tea and hot milk; radio")
    assert piece.text == "Tea, चाय और गरम दूध; radio"
    assert piece.words == (
        Word("Tea"),
        Word("tea", known=True, replaced=True, changed=True),
        Word("and", known=True, replaced=True, changed=True),
        Word("hot", known=True, replaced=True, changed=True),
        Word("milk", known=True, replaced=True, changed=True),
        Word("radio", known=True, replaced=True),
    )
    assert all(word.known != (word.text == "Tea") for word in mixed(mixer, piece.source, 0.0).words)


@given(texts.texts, st.sampled_from(list(SEGMENTERS)), st.sampled_from([0.0, 0.5, 1.0]))
def test_pieces_agree_with_the_mixer(text, segmenter, ratio):
    mixer = CodeMixer(LEXICON, segmenter=SEGMENTERS[segmenter], phrases=True)
    expected = mixer.mix_with_replacements(text, (1, 2), ratio)
    piece = mixed(mixer, text, ratio)
    assert piece.text == expected.text
    counts = [sum(getattr(w, name) for w in piece.words) for name in ("known", "replaced")]
    assert (len(piece.words), *counts) == (expected.words, expected.hits, expected.replaced)
    spans = aligned.source_spans(piece.replacements)
    for found, span in zip(piece.replacements, spans, strict=True):
        assert text[span.start : span.stop] == found.source
        assert piece.place(span.start) == found.start
        # Words that touch are set apart by a space.
        assert piece.place(span.stop) - found.start - len(found.target) in (0, 1)
    assert piece.place(len(text)) == len(piece.text)


def test_joined_pieces_keep_their_places(mixer):
    label = aligned.keep("In: ", whole("In: ", "template"), countable=False)
    text = AlignedText([label, mixed(mixer, "tea", role="input"), label, mixed(mixer, "a cup")])
    assert (text.source, text.text) == ("In: teaIn: a cup", "In: चायIn: a कप")
    assert text.roles == (
        Span(0, 4, "template"),
        Span(4, 7, "input"),
        Span(7, 11, "template"),
        Span(11, 15, "text"),
    )
    assert [text.text[r.start : r.start + len(r.target)] for r in text.replacements] == [
        "चाय",
        "कप",
    ]
    assert [word.text for word in text.words] == ["tea", "a", "cup"]
    assert (text.mixable_source, text.mixable) == (
        (range(4, 7), range(11, 16)),
        (range(4, 7), range(11, 15)),
    )


def test_a_place_within_a_replaced_phrase_is_where_it_starts(mixer):
    piece = mixed(mixer, "a, hot milk!")
    assert piece.text == "a, गरम दूध!"
    assert [piece.place(place) for place in (2, 3, 4, 10, 11, 12)] == [2, 3, 3, 3, 10, 11]
