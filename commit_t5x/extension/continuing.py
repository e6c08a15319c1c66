"""Tokenizers with new tokens at the end, which give all other text the ids that it had."""

import abc
import collections
import itertools
import json
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import regex
import sentencepiece
import tokenizers

from commit_t5x.errors import InputError
from commit_t5x.extension import merging, spelling, words
from commit_t5x.extension.merging import Addition
from commit_t5x.extension.words import Words
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.hugging_face import HuggingFaceTokenizer
from commit_t5x.vocabularies.sentencepiece import SentencePieceTokenizer
from commit_t5x.vocabularies.tokenizer import Tokenizer

_LONGEST_TOKEN = 16  # in characters, as SentencePiece has it
# Of a text's characters that become tokens where the tokenizer spells them in bytes; likewise.
_CHARACTER_COVERAGE = 0.9995
_ONLY_BPE = (
    "only tokens of byte-pair encoding can be continued without changing the ids of English; "
    "extend a model that has it, such as LLaMA's or SmolLM2's"
)
# How ByteLevel(use_regex=True) cuts text.
_GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def learn(
    tokenizer: Tokenizer, found: Words, number: int, kept: Sequence[str | pathlib.Path] = ()
) -> tuple[Tokenizer, list[Addition]]:
    """Returns a tokenizer with up to `number` more tokens, and what these are.

    The new merges come after all old ones, and each makes a token that holds a letter of the words'
    scripts, or the first bytes of one. A text without such letters, and without signs that begin
    with the same bytes in UTF-8, such as the danda of Hindi, keeps its ids. In Latin script this
    says nothing of English. So no token is learnt that neighbours in the kept texts would become,
    by which these keep their ids; other English may change.

    Args:
      tokenizer: of byte-pair encoding, in either kind of file.
      found: words to learn from.
      number: of new tokens, whose ids follow the old ones; fewer where nothing is left that stands
        twice in the text.
      kept: files that `words.texts` reads.

    Raises:
      InputError: the tokenizer is of a kind that can't be continued, or a kept text can't be read,
        or kept.
    """
    kind = _SentencePiece if isinstance(tokenizer, SentencePieceTokenizer) else _TokenizerJson
    base = kind(tokenizer, found.scripts)
    for path in kept:
        for text in words.texts(path):
            base.keep(text)
    additions = base.learn(found.counts, number)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {**tokenizer.files, **base.file(additions)}.items():
            pathlib.Path(folder, name).write_bytes(content)
        extended = configured.find(folder)
    extended.path = tokenizer.path
    for path in kept:
        if any(extended.encode(text) != tokenizer.encode(text) for text in words.texts(path)):
            raise InputError(
                f"{path}: can't be kept, as words of {', '.join(found.scripts)} in it are now cut "
                "otherwise; leave them out of it"
            )
    return extended, [addition for addition in additions if addition.is_new]


class _Base(abc.ABC):
    """A tokenizer that is continued.

    Args:
      tokenizer: it.
      scripts: of the words to learn.
    """

    def __init__(self, tokenizer: Any, scripts: Sequence[str]):
        self.tokenizer = tokenizer
        self._letter = regex.compile(words.letters(scripts), regex.V1)
        self._spelt = tokenizer.tokens()
        self._known = frozenset(self._spelt)
        self.byte_level = spelling.is_byte_level(tokenizer)
        self._first_bytes: set[bytes] = set()  # of letters of three bytes and more
        self._kept: set[str] = set()  # what kept texts could become

    @abc.abstractmethod
    def pieces(self, word: str) -> Iterator[list[str]]:
        """Yields the tokens of a word, for each part of it that is tokenized by itself."""

    @abc.abstractmethod
    def file(self, additions: Sequence[Addition]) -> dict[str, bytes]:
        """Returns the tokenizer's file with new tokens, by its name."""

    def keep(self, text: str) -> None:
        """Lets a text keep its ids: where no new token joins two neighbours, none ever does."""
        units = [self._spelt[id_] for id_ in self.tokenizer.encode(text)]
        if not self.byte_level:
            units = list(_whole(units, self._known))
        self._kept.update(unit for unit in set(units) if unit not in self._known)
        self._kept.update(left + right for left, right in set(itertools.pairwise(units)))

    def learn(self, counts: Mapping[str, int], number: int) -> list[Addition]:
        """See `learn`."""
        units: collections.Counter[tuple[str, ...]] = collections.Counter()
        for word, count in counts.items():
            for part in self.pieces(word):
                units[tuple(part)] += count
        for letter in filter(self._letter.fullmatch, {c for word in counts for c in word}):
            self._first_bytes |= {letter.encode()[:length] for length in (2, 3)} - {letter.encode()}
        additions = self._characters(units)[:number]
        added = {addition.token for addition in additions}
        if added:
            units = self._cut(units, added)
        joined = merging.learn(units, number - len(added), self._known | added, self._admits)
        spelt = {addition.token: addition.pieces for addition in additions}
        for addition in joined:  # the old tokenizer has no token for a character that is new, too
            pieces = tuple(p for piece in addition.pieces for p in spelt.get(piece, (piece,)))
            additions.append(addition._replace(pieces=pieces))
        return additions

    def _characters(self, units: Mapping[tuple[str, ...], int]) -> list[Addition]:
        """Returns the characters without a token, which are spelt in bytes, the frequent first."""
        counts: collections.Counter[str] = collections.Counter()
        for word, count in units.items():
            for unit in word:
                known = unit in self._known or unit in self._kept
                if not known and self._letter.fullmatch(unit):
                    counts[unit] += count
        additions, left = [], counts.total() * (1 - _CHARACTER_COVERAGE)
        for character, count in reversed(counts.most_common()):
            left -= count
            if left < 0:
                pieces = tuple(f"<0x{byte:02X}>" for byte in character.encode())
                additions.append(Addition(character, (), pieces))
        return additions[::-1]

    def _cut(
        self, units: Mapping[tuple[str, ...], int], added: set[str]
    ) -> collections.Counter[tuple[str, ...]]:
        """Returns words cut at characters that have no token."""
        cut: collections.Counter[tuple[str, ...]] = collections.Counter()
        for word, count in units.items():
            part: list[str] = []
            for unit in word:
                if unit in self._known or unit in added:
                    part.append(unit)
                else:
                    cut[tuple(part)] += count
                    part = []
            cut[tuple(part)] += count
        return cut

    def _admits(self, token: str) -> bool:
        """Returns whether a token can only arise where a letter of the scripts stands.

        And not in the kept texts.
        """
        if token in self._kept:
            return False
        content = spelling.bytes_of(token, self.byte_level)
        text = spelling.decoded(content)
        if not text:
            # Bytes at its ends may belong to characters that the token only holds parts of.
            text = content.decode(errors="ignore")
            return bool(self._letter.search(text)) or content in self._first_bytes
        return len(text) <= _LONGEST_TOKEN and bool(self._letter.search(text))


class _SentencePiece(_Base):
    """A SentencePiece model; a character that it lacks becomes bytes, or unknown."""

    def __init__(self, tokenizer: SentencePieceTokenizer, scripts: Sequence[str]):
        self._proto = tokenizer.proto
        trainer = self._proto.trainer_spec
        if trainer.model_type != trainer.BPE:
            kind = trainer.ModelType.Name(trainer.model_type).capitalize()
            raise InputError(f"{tokenizer.path}: a SentencePiece model of type {kind}; {_ONLY_BPE}")
        self._processor = sentencepiece.SentencePieceProcessor(
            model_proto=tokenizer.files["tokenizer.model"]
        )
        super().__init__(tokenizer, scripts)

    def pieces(self, word: str) -> Iterator[list[str]]:
        # SentencePiece puts the space there, where the model has one.
        yield list(_whole(self._processor.encode(word.strip(), out_type=str), self._known))

    def file(self, additions: Sequence[Addition]) -> dict[str, bytes]:
        score = np.float32(min(p.score for p in self._proto.pieces if p.type == p.NORMAL))
        for token in (addition.token for addition in additions if addition.is_new):
            # Each below the last, also where steps of one are lost: LLaMA's lowest score is -1e9.
            score = min(score - np.float32(1), np.nextafter(score, np.float32(-np.inf)))
            self._proto.pieces.add(piece=token, score=float(score))
        self._proto.trainer_spec.vocab_size = len(self._proto.pieces)
        return {"tokenizer.model": self._proto.SerializeToString()}


class _TokenizerJson(_Base):
    """A tokenizer.json, byte-level or with bytes for characters that it lacks."""

    def __init__(self, tokenizer: HuggingFaceTokenizer, scripts: Sequence[str]):
        self._content = content = json.loads(tokenizer.files["tokenizer.json"])
        model, path = content["model"], tokenizer.path
        if model.get("type", "BPE") != "BPE" or "merges" not in model:
            raise InputError(f"{path}: a tokenizer of type {model.get('type')}; {_ONLY_BPE}")
        cuts = spelling.steps(content.get("pre_tokenizer"), "pretokenizers")
        super().__init__(tokenizer, scripts)
        if not (self.byte_level or model.get("byte_fallback")):
            raise InputError(f"{path}: its tokens can't spell bytes; extend one whose tokens can")
        foreign = [script for script in scripts if script != words.OWN]
        if self.byte_level and foreign:
            content["pre_tokenizer"] = {
                "type": "Sequence",
                "pretokenizers": [part for cut in cuts for part in _with_words(cut, foreign)],
            }
        self._backend = tokenizers.Tokenizer.from_str(json.dumps(content))

    def keep(self, text: str) -> None:
        super().keep(text)
        if self._content["model"].get("ignore_merges"):  # a part that is a token becomes it
            self._kept.update(self._parts(text))

    def pieces(self, word: str) -> Iterator[list[str]]:
        if not self.byte_level:
            word = word.strip()  # the tokenizer puts the space there
        for part in self._parts(word):
            tokens = [token.value for token in self._backend.model.tokenize(part)]
            yield tokens if self.byte_level else list(_whole(tokens, self._known))

    def _parts(self, text: str) -> list[str]:
        """Returns what of a text is tokenized by itself."""
        backend = self._backend
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        if backend.pre_tokenizer is None:
            return [text]
        return [part for part, _ in backend.pre_tokenizer.pre_tokenize_str(text)]

    def file(self, additions: Sequence[Addition]) -> dict[str, bytes]:
        model = self._content["model"]
        # Tokens beside the model's are numbered from its last one on, so they become its own.
        for token in self._content["added_tokens"]:
            model["vocab"].setdefault(token["content"], token["id"])
        new = (addition.token for addition in additions if addition.is_new)
        model["vocab"] |= {t: i for i, t in enumerate(new, start=self.tokenizer.vocab_size)}
        pairs = [pair for addition in additions for pair in addition.merges]
        as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)
        model["merges"] += [" ".join(pair) if as_text else [*pair] for pair in pairs]
        return {"tokenizer.json": json.dumps(self._content, ensure_ascii=False).encode()}


def _with_words(cut: Mapping[str, Any], scripts: Sequence[str]) -> list[Mapping[str, Any]]:
    """Returns how text is cut before merging, but that words of the scripts stay whole.

    The usual expressions let a word end at a mark, such as a vowel sign of Hindi: no merge could
    ever join what stands before and after it.
    """
    if cut["type"] == "ByteLevel" and cut.get("use_regex", True) and not cut["add_prefix_space"]:
        split = {"type": "Split", "pattern": {"Regex": _GPT2_WORDS}, "behavior": "Isolated"}
        return [*_with_words({**split, "invert": False}, scripts), {**cut, "use_regex": False}]
    if cut["type"] == "Split" and cut["behavior"] == "Isolated" and not cut["invert"]:
        if usual := cut["pattern"].get("Regex"):
            return [{**cut, "pattern": {"Regex": f"{words.pattern(scripts)}|{usual}"}}]
    return [cut]


def _whole(tokens: Sequence[str], known: frozenset[str]) -> Iterator[str]:
    """Yields tokens, but characters in place of bytes and of what the tokenizer doesn't know."""
    spelt = bytearray()
    for token in tokens:
        if byte := spelling.BYTE.fullmatch(token):
            spelt.append(int(byte[1], 16))
            continue
        yield from spelt.decode(errors="replace")
        spelt.clear()
        yield from [token] if token in known else token
    yield from spelt.decode(errors="replace")
