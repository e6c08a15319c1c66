"""Bilingual dictionaries: files of word pairs in, a `Lexicon` out."""

import bisect
import functools
import itertools
import math
import pathlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import gin

from commit_t5x import fingerprints, ranges, resources
from commit_t5x.errors import InputError
from commit_t5x.mixing import casing, dictionary_files, lemmas, tagging
from commit_t5x.mixing.characters import lookup_key

_Value = TypeVar("_Value")


class Lexicon:
    """Maps a source word to its translations, in file order, repeats kept.

    Args:
      entries: word -> translations.
      weights: word -> weights of its translations, for words whose translations aren't all as
        likely as each other.
      parts_of_speech: word -> those of its translations, "" where unknown, for words of which any
        is known.

    Example:
      >>> lexicon = Lexicon.from_pairs([("water", "पानी"), ("water", "जल"), ("two", "दो")])
      >>> lexicon.translations("water")
      ('पानी', 'जल')
      >>> lexicon.translations("Water")
      ()
    """

    def __init__(
        self,
        entries: Mapping[str, tuple[str, ...]],
        weights: Mapping[str, tuple[float, ...]] | None = None,
        parts_of_speech: Mapping[str, tuple[str, ...]] | None = None,
    ):
        self._entries = entries  # not copied: it may hold millions
        self._weights = weights or {}
        self._parts_of_speech = parts_of_speech or {}

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> "Lexicon":
        """Builds a lexicon from (source, target) pairs."""
        return cls(dictionary_files.group(pairs))

    @classmethod
    def load(cls, path: str | pathlib.Path, *, with_parts_of_speech: bool = False) -> "Lexicon":
        """Reads a dictionary file, of a kind that `dictionary_files.read_records` knows.

        Args:
          path: the file.
          with_parts_of_speech: as in `dictionary_files.load`.

        Raises:
          InputError: the file is missing, empty, not UTF-8, or holds a line that isn't a pair.
        """
        entries, _, weights, parts = dictionary_files.load(
            path, with_parts_of_speech=with_parts_of_speech
        )
        return cls(entries, weights, parts)

    @classmethod
    def merged(cls, parts: Sequence[tuple["Lexicon", float]]) -> "Lexicon":
        """Joins lexicons; a word is translated by those that know it, drawn by weight.

        Args:
          parts: (lexicon, weight); those of its own share it out among a word's translations.

        Raises:
          InputError: a weight isn't positive.

        Example:
          >>> hindi, thai = Lexicon({"tea": ("चाय",)}), Lexicon({"tea": ("ชา", "น้ำชา")})
          >>> Lexicon.merged([(hindi, 1), (thai, 2)]).shares("tea") == (0, 2**32 // 3, 2**33 // 3)
          True
        """
        if not all(0 < weight < math.inf for _, weight in parts):
            raise InputError(f"weights {[w for _, w in parts]}: each must be positive")
        if len(parts) == 1:
            return parts[0][0]
        entries, weights, named = _nothing()
        for lexicon, weight in parts:
            for word, translations in lexicon.items():
                share = (weight / len(translations),) * len(translations)
                if own := lexicon._weights.get(word):
                    share = tuple(weight * w / math.fsum(own) for w in own)
                before, added = entries.get(word, ()), lexicon._parts_of_speech.get(word)
                _join(named, word, len(before), added, len(translations), "")
                entries[word] = before + translations
                weights[word] = weights.get(word, ()) + share
        return cls(entries, weights, named)

    def shares(self, word: str) -> tuple[int, ...]:
        """Returns where the share of each translation of `word` begins in 0 ... 2^32 - 1."""
        count = len(self._entries[word])
        if word not in self._weights:
            return tuple(-(-(place << 32) // count) for place in range(count))
        weights = self._weights[word]
        before = itertools.accumulate(weights[:-1], initial=0.0)
        return tuple(math.floor(weight / math.fsum(weights) * 2**32) for weight in before)

    def choose(self, word: str, bits: int) -> str:
        """Returns the translation of `word` that a random number below 2^32 falls on."""
        return self._entries[word][bisect.bisect_right(self.shares(word), bits) - 1]

    def translations(self, word: str) -> tuple[str, ...]:
        """Returns the translations of `word`, in file order; empty if there is none."""
        return self._entries.get(word, ())

    def __contains__(self, word: str) -> bool:
        return word in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Returns (source word, translations) for each entry, in file order."""
        return self._entries.items()

    def canonical(self) -> "Lexicon":
        """Returns a lexicon whose words are lookup keys; those that share one are one entry.

        Example:
          >>> Lexicon({"e\u0301": ("x",), "\xe9": ("y",)}).canonical().translations("\xe9")
          ('x', 'y')
        """
        keys = {word: lookup_key(word) for word in self._entries}
        if all(word == key for word, key in keys.items()):
            return self
        entries, weights, named = _nothing()
        for word in filter(keys.get, keys):  # soft hyphens alone are no word
            key, translations = keys[word], self._entries[word]
            before, added = entries.get(key, ()), len(translations)
            _join(weights, key, len(before), self._weights.get(word), added, 1.0)
            _join(named, key, len(before), self._parts_of_speech.get(word), added, "")
            entries[key] = before + translations
        return Lexicon(entries, weights, named)

    def without_identity(self) -> "Lexicon":
        """Returns a lexicon without the pairs whose two sides are equal but for case."""

        def kept() -> Iterator[tuple[str, str, list[bool]]]:
            for word, translations in self._entries.items():
                folded = lookup_key(word).casefold()
                yield word, word, [lookup_key(t).casefold() != folded for t in translations]

        return self._selected(kept())

    @property
    def has_parts_of_speech(self) -> bool:
        """Whether that of any translation is known."""
        return bool(self._parts_of_speech)

    def by_part_of_speech(self) -> "Lexicon":
        """Returns a lexicon whose words are those of texts with a tagger: see `tagging.key`.

        A translation is found where its word is its part of speech; one of which that isn't known,
        and those of phrases, always.

        Example:
          >>> lexicon = Lexicon({"saw": ("देखा", "आरी")}, parts_of_speech={"saw": ("verb", "noun")})
          >>> lexicon.by_part_of_speech().translations(tagging.key("saw", "noun"))
          ('आरी',)
        """

        def kept() -> Iterator[tuple[str, str, list[bool]]]:
            for word, translations in self._entries.items():
                named = self._parts_of_speech.get(word)
                if named is None or " " in word:
                    named = ("",) * len(translations)
                for part in dict.fromkeys((*named, "")):
                    yield tagging.key(word, part), word, [own in (part, "") for own in named]

        return self._selected(kept())

    def _selected(self, kept: Iterable[tuple[str, str, list[bool]]]) -> "Lexicon":
        """Returns a lexicon with some translations of the words.

        Args:
          kept: (new word, word, which of its translations); words left without any are left out.
        """
        entries, weights, named = _nothing()
        for new, word, which in kept:
            if any(which):
                entries[new] = tuple(itertools.compress(self._entries[word], which))
                if word in self._weights:
                    weights[new] = tuple(itertools.compress(self._weights[word], which))
                if word in self._parts_of_speech:
                    named[new] = tuple(itertools.compress(self._parts_of_speech[word], which))
        return Lexicon(entries, weights, named)

    def with_case_variants(self, source: str = "", target: str = "") -> "Lexicon":
        """Returns a lexicon that also knows each word with its first or all letters in upper case.

        The variants' translations carry the same case. An entry of the file always wins over a
        variant of another entry. MUSE sources are all lower-case, so without this no word at the
        start of an English sentence is ever found.

        Args:
          source: the language of the words.
          target: the language of the translations; both decide how capitals are written.

        Example:
          >>> Lexicon({"tea": ("τσάι",)}).with_case_variants("en", "el").translations("TEA")
          ('ΤΣΑΪ',)
        """

        def variants() -> Iterator[tuple[str, str, Callable[[str, str], str]]]:
            for spellings, restore in (
                (casing.spellings_capitalised, casing.capitalised),
                (casing.spellings_in_capitals, casing.upper),
            ):
                for word in self._entries:
                    for variant in spellings(word, source):
                        yield variant, word, restore

        return self._with_forms(variants(), target)

    def with_inflected_forms(self, language: str, known: Container[str] = ()) -> "Lexicon":
        """Returns a lexicon that also knows the inflected forms of its words.

        A form is translated as its lemma. An entry of the file always wins over a form.

        Args:
          language: of the words; `lemmas.inflected_forms` says for which it knows forms.
          known: more words that aren't to be taken for forms.

        Example:
          >>> lexicon = Lexicon({"carry": ("ढोना",)}).with_inflected_forms("en")
          >>> lexicon.translations("carried")
          ('ढोना',)
        """
        forms = (
            (form, lemma, _unchanged)
            for form, lemma in lemmas.inflected_forms(language)
            if lemma in self._entries and form not in known
        )
        return self._with_forms(forms)

    def _with_forms(
        self, forms: Iterable[tuple[str, str, Callable[[str, str], str]]], language: str = ""
    ) -> "Lexicon":
        """Adds words that are forms of others.

        Args:
          forms: (form, word, what to do to a translation of the word); the first of a form counts.
          language: of the translations.
        """
        entries, weights, named = _nothing()
        for form, word, restore in forms:
            if form in self._entries or form in entries:
                continue
            entries[form] = tuple(restore(target, language) for target in self._entries[word])
            if word in self._weights:
                weights[form] = self._weights[word]
            if word in self._parts_of_speech:
                named[form] = self._parts_of_speech[word]
        return Lexicon(
            {**entries, **self._entries},
            {**weights, **self._weights},
            {**named, **self._parts_of_speech},
        )


@gin.configurable(denylist=["with_parts_of_speech"])
def load_dictionary(
    source_language: str,
    target_language: str,
    directory: ranges.Location | None = gin.REQUIRED,
    with_parts_of_speech: bool = False,
) -> Lexicon:
    """Returns the dictionary `{source}-{target}` of the directory that `DICT_DIR` names.

    Args:
      source_language: the language of the words looked up, as in the file's name.
      target_language: the language of the translations.
      directory: the folder; "samples" means the small dictionaries shipped with the project.
      with_parts_of_speech: as in `dictionary_files.load`.

    Raises:
      InputError: no such dictionary, or more than one file of it.
    """
    if directory is None:
        raise InputError(
            f"DICT_DIR: not set; name the folder of {source_language}-{target_language}.txt, "
            "or 'samples'"
        )
    shipped = directory == "samples"
    folder = resources.path("dicts") if shipped else pathlib.Path(directory).expanduser()
    stem = f"{source_language}-{target_language}"
    names = [stem + suffix for suffix in (".txt", ".tsv", ".csv", ".txt.gz", ".tsv.gz", ".csv.gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise InputError(
            f"DICT_DIR: {found[0]} and {found[1].name} are both there; keep one of them, or join "
            "them by `commit-t5x dicts merge`"
        )
    for path in found:
        fingerprints.record(f"dictionary {stem}", path)
        return _load(path, path.stat().st_mtime_ns, with_parts_of_speech)
    raise InputError(
        f"{folder / names[0]}: no dictionary {stem} there; put the MUSE file of that name into it, "
        "or set DICT_DIR to the folder that holds it"
    )


@functools.lru_cache(maxsize=8)
def _load(path: pathlib.Path, changed: int, with_parts_of_speech: bool) -> Lexicon:
    del changed  # a file that has changed is read anew
    return Lexicon.load(path, with_parts_of_speech=with_parts_of_speech)


def _nothing() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    return {}, {}, {}


def _join(
    column: dict[str, tuple[_Value, ...]],
    word: str,
    before: int,
    values: tuple[_Value, ...] | None,
    added: int,
    default: _Value,
) -> None:
    """Adds the values of `added` translations of a word to those that it had `before`, if known."""
    if values is not None or word in column:
        known = column.get(word, (default,) * before)
        column[word] = known + (values or (default,) * added)


def _unchanged(target: str, language: str) -> str:
    return target
