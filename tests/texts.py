"""Hypothesis strategies for texts of many scripts, shared by the tests of the data path."""

from hypothesis import strategies as st

WORDS = (
    *("tea", "Tea", "TEA", "water", "don't", "x2", "naïve", "e\u0301", "straße", "ǆ", "a\0b"),
    *("पानी", "हिन्दी", "कि", "νερό", "Νερό", "ΝΕΡΌ", "น้ำ", "น้ำแข็ง", "ใส", "กา", "水", "可以"),
    *("😀", "👩\u200d👧", "🇮🇳"),
)

# What stands between and around words: white space and punctuation of many scripts, and what only
# looks like either (symbols, zero-width characters, combining marks, control characters).
EDGES = (
    *(" ", "  ", "\t", "\n", "\r\n", "\v", "\xa0", "\u2003", "\u3000", "\u2028", "\x85", "\u1680"),
    *(".", ",", "?!", "(", ")", '"', "'", "_", "$", "^", "`", "~", "\\", "\\1", "{input}", "%s"),
    *("—", "…", "«", "»", "¿", "।", "॥", "·", ";", "、", "。", "「", "๏", "๚", "፡", "־", "၊"),
    *("\u202e", "\u202c", "\u200f", "\u2067"),  # direction of writing
    *("€", "°", "½", "\u200b", "\u200d", "\ufeff", "\u0301", "\u094d", "\u0e49", "\0", "\x1f"),
)

_edges = st.just("") | st.sampled_from(EDGES)
_pieces = st.one_of(
    st.sampled_from(WORDS),
    st.builds("{}{}{}".format, _edges, st.sampled_from(WORDS), _edges),
    st.builds("{}{}{}".format, _edges, st.sampled_from(WORDS), _edges),
    st.lists(st.sampled_from(EDGES), max_size=3).map("".join),
    st.text(max_size=3),
)
_separators = st.sampled_from([" ", " ", " ", " ", "  ", "", "\n", "\u3000"])
_parts = st.builds("{}{}".format, _pieces, _separators)

texts = (st.lists(_parts, max_size=3) | st.lists(_parts, min_size=6, max_size=16)).map("".join)
