"""Where a text without spaces can't be cut, whatever a dictionary says.

A cut never falls within a grapheme cluster (Unicode's UAX 29), within a run of letters or digits of
a script that puts spaces between words, or where the spelling of Thai, Lao, Khmer or Burmese shows
that a syllable goes on. What the spelling leaves open, as whether a Thai consonant ends a syllable
or begins the next, is the dictionary's to say.
"""

import regex

# Letters and digits but those of scripts without spaces between words.
_SPACED = r"[[\p{L}\p{Nd}]--[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Han}\p{Hiragana}\p{Katakana}]]"

_THAI = r"[\u0e01-\u0e2e]"
_LAO = r"[\u0e81-\u0eae\u0edc-\u0edf]"
_KHMER = r"[\u1780-\u17a2]"
_MYANMAR = r"[\u1000-\u102a\u103f\u1050-\u1055]"

# Places, each by what stands before and behind.
_WITHIN = (
    (rf"{_SPACED}\p{{M}}*", _SPACED),
    # Thai. Vowels that are written before their consonant; those that follow it.
    (r"[\u0e40-\u0e44]", r"\p{L}"),
    ("", r"[\u0e30\u0e32\u0e33\u0e45]"),
    # Silenced consonants, which close a syllable, as does a bare one before them; so does ro han.
    ("", rf"{_THAI}(?:{_THAI}?[\u0e34\u0e38]?|[\u0e14\u0e15\u0e17]\u0e23)\u0e4c"),
    ("", r"\u0e23\u0e23"),
    # A bare consonant: behind aa, one that seldom begins a word without a vowel (ng, y, w); behind
    # i and a silenced r; at the end, but for two words (na, tha) and abbreviations.
    (
        r"\u0e32",
        rf"[\u0e07\u0e22\u0e27](?:[\u0e40-\u0e44]|{_THAI}[\u0e30-\u0e3a\u0e47-\u0e4e])",
    ),
    (r"\u0e34\u0e23\u0e4c", rf"{_THAI}(?![\u0e30-\u0e3a\u0e47-\u0e4e])"),
    ("", r"[\u0e01-\u0e12\u0e14-\u0e16\u0e18-\u0e2e](?![\u0e01-\u0e2e\u0e30-\u0e4e.])"),
    # Vowels that only a further letter completes, behind a tone or not: mai han-akat, sara uee, mai
    # taikhu but in the word ko, e-i-y (ia), e-i (oe), e-aa-a (o).
    (r"[\u0e31\u0e37][\u0e48-\u0e4b]?", _THAI),
    (r"(?<!(?<![\u0e40\u0e41])\u0e01)\u0e47", _THAI),
    (rf"[\u0e40\u0e41]{_THAI}", r"[\u0e02-\u0e2e]\u0e47"),
    (rf"\u0e40{_THAI}{{1,2}}\u0e35[\u0e48-\u0e4b]?", r"\u0e22"),
    (rf"\u0e40{_THAI}", rf"{_THAI}\u0e35[\u0e48-\u0e4b]?\u0e22"),
    (rf"\u0e40{_THAI}{{1,2}}\u0e34[\u0e48-\u0e4b]?", _THAI),
    (rf"\u0e40{_THAI}[\u0e48-\u0e4b]?", rf"{_THAI}[\u0e48-\u0e4b]?\u0e32\u0e30"),
    # A silent h before a sonorant, behind such a vowel.
    (r"[\u0e40-\u0e44]\u0e2b", r"[\u0e07\u0e0d\u0e19\u0e21\u0e22\u0e23\u0e25\u0e27]"),
    # Lao: the same vowels; and a consonant without one, which closes a syllable, unless it is h,
    # which begins one, or the next letter may be a vowel.
    (r"[\u0ec0-\u0ec4]", r"\p{L}"),
    (r"\u0eab", _LAO),
    ("", r"[\u0eb0\u0eb2\u0eb3\u0ebd]"),
    ("", r"[\u0e81-\u0eaa\u0ead](?![\u0ea7\u0ead\u0eb0-\u0ebd\u0ec8-\u0ecd])"),
    (r"[\u0eb1\u0ebb][\u0ec8-\u0ecb]?", _LAO),
    # Khmer: the sign that puts the next consonant below; consonants that close a syllable, by their
    # signs (bantoc, robat, toandakhiat, viriam) or at the end.
    (r"\u17d2", r"\p{L}"),
    ("", rf"{_KHMER}(?:[\u17cb\u17cc\u17cd\u17d1]|(?![\u1780-\u17d3]))"),
    # Burmese: vowel signs; the sign that puts the next consonant below; consonants that close a
    # syllable, by the sign asat or by another below.
    ("", r"\p{M}"),
    (r"\u1039", r"\p{L}"),
    ("", rf"{_MYANMAR}(?:[\u1037\u1038]?\u103a|\u1039)"),
)

_PLACES = "|".join(
    (f"(?<={before})" if before else "") + f"(?={behind})" for before, behind in _WITHIN
)
_UNIT = regex.compile(rf"(?V1)(?:\X(?:{_PLACES}))*+\X")


def units(text: str) -> list[str]:
    """Returns the parts of a text that no word may share.

    Example:
      >>> units("น้ำแข็ง tea")
      ['น้ำ', 'แข็ง', ' ', 'tea']
    """
    return _UNIT.findall(text)
