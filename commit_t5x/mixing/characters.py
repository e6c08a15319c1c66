"""What Unicode says of characters that matters to words: spaces, edges, marks, equivalence."""

import functools
import re
import sys
import unicodedata

import regex

# All of Unicode's white space, spelt out, as Python's and RE2's \s differ; and two characters that
# only look like nothing: U+200B, which some scripts part words with, and U+FEFF, a byte-order mark.
SPACES = (
    " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
)

# Format characters that a word may hold without being another word: the soft hyphen, the word
# joiner and its invisible kin, marks that set the direction of writing.
UNSEEN = (
    "\xad\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069"
)

# The joiners tell words apart, but not where a word ends.
JOINERS = "\u200c\u200d"

# Symbols that are canonically equivalent to an edge character, or to one with a mark.
EDGE_EQUIVALENTS = "\u1fef\u2260\u226e\u226f"

_UNSEEN = re.compile(rf"[{UNSEEN}]+|[{JOINERS}{UNSEEN}]+\Z")


def lookup_key(word: str) -> str:
    r"""Returns what a word is looked up by: canonically equivalent words have the same key.

    That is NFC, without what isn't seen.

    Example:
      >>> lookup_key("nai\u0308ve") == lookup_key("na\xefve") == lookup_key("na\xef\xadve\u2060")
      True
    """
    return word if word.isascii() else unicodedata.normalize("NFC", _UNSEEN.sub("", word))


@functools.cache
def edge_characters() -> str:
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
def extenders() -> str:
    """Characters that are one with the character before: marks, joiners, modifiers of emoji.

    Unicode's rules GB9 and GB9a, and the marks (such as Burmese vowels) that these leave out.
    """
    characters = "".join(map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1))))
    kinds = r"[\p{M}\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]"
    return "".join(regex.findall(kinds, characters))


@functools.cache
def script(letter: str) -> str:
    """Returns a letter's script by its Unicode name; empty for what has none of its own.

    Example:
      >>> script("δ"), script("a"), script("漢"), script("2")
      ('Greek', 'Latin', 'Han', '')
    """
    if not letter.isalpha():
        return ""
    words = unicodedata.name(letter, "").title().split()
    for name in ("Han", *("_".join(words[:count]) for count in (3, 2, 1))):
        try:
            if regex.match(rf"\p{{Script={name}}}", letter):
                return name
        except regex.error:  # there is no script of that name
            continue
    return ""
