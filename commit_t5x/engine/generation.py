"""Answers to prompts as text: many in batches of like length, or one as it comes."""

import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from commit_t5x.engine import decoding, partitioning, prefilling, shared_prefixes
from commit_t5x.engine.sampling import Sampling
from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.vocabularies.tokenizer import Tokenizer

_LOGGER = logging.getLogger(__name__)


class StopStrings:
    """What ends an answer and doesn't belong to it: EOS and its like, and strings.

    Args:
      vocabulary: of the tokens.
      strings: any of them ends an answer. The text of a special token, such as "<|eot_id|>", stands
        for the token.

    Attributes:
      end_ids: the tokens that end an answer by themselves, the vocabulary's `eos_ids` among them.
    """

    def __init__(self, vocabulary: Tokenizer, strings: Sequence[str]):
        self._vocabulary = vocabulary
        self.strings = tuple(strings)
        special = vocabulary.special_tokens
        self.end_ids = {*vocabulary.eos_ids, *(special[s] for s in strings if s in special)}

    def __bool__(self) -> bool:
        return bool(self.strings)

    @functools.cached_property
    def ids(self) -> list[int]:
        """`end_ids`, and the tokens whose own text holds one of the strings."""
        if not self.strings:
            return sorted(self.end_ids)
        vocabulary = self._vocabulary
        texts = ((index, vocabulary.decode([index])) for index in range(vocabulary.vocab_size))
        return [index for index, text in texts if index in self.end_ids or self.found(text)]

    def text(self, tokens: Iterable[int]) -> str:
        """Returns the text of an answer up to the first of `end_ids`."""
        own = itertools.takewhile(lambda token: token not in self.end_ids, tokens)
        return self._vocabulary.decode(list(own))

    def found(self, text: str) -> bool:
        """Returns whether an answer ends within a text."""
        return any(string in text for string in self.strings)

    def cut(self, text: str) -> str:
        """Returns what stands before the first of the strings."""
        ends = [text.find(string) for string in self.strings]
        return text[: min((end for end in ends if end >= 0), default=len(text))]

    def certain(self, text: str) -> str:
        """Returns the part of an unfinished answer that no later token can take back.

        The end of a text may be the beginning of a stop string, or of a character whose other bytes
        are yet to come.
        """
        text = self.cut(text).rstrip("\ufffd")
        longest = max(map(len, self.strings), default=1)
        return text[: max(len(text) - longest + 1, 0)]


class Generator:
    """Continues prompts until EOS, a stop string, or max_new_tokens.

    Args:
      module: the network.
      vocabulary: of its tokens.
      partitioner: of the parameters.
      params: of the network.
      max_new_tokens: of each answer.
      add_bos: put BOS before each prompt, as in training.
      stop: strings that end an answer, and don't belong to it.
      sampling: how tokens are chosen; the likeliest by default.
      seed: of the random choices.

    Raises:
      InputError: max_new_tokens leaves no room for a prompt.
    """

    def __init__(
        self,
        module: llama.Llama,
        vocabulary: Tokenizer,
        partitioner: partitioning.PjitPartitioner,
        params: Any,
        *,
        max_new_tokens: int = 256,
        add_bos: bool = True,
        stop: Sequence[str] = (),
        sampling: Sampling = Sampling(),  # noqa: B008, frozen
        seed: int = 0,
    ):
        self._room = module.config.max_length - max_new_tokens - add_bos
        if self._room < 1:
            raise InputError(
                f"max_new_tokens: {max_new_tokens} leaves no room for a prompt in the network's "
                f"{module.config.max_length} tokens"
            )
        self._bos = [vocabulary.bos_id] if add_bos else []
        self._stop = StopStrings(vocabulary, stop)
        self._scope = partitioner.scope
        self._decode = functools.partial(
            decoding.decode,
            module,
            params,
            max_new_tokens=max_new_tokens,
            eos_id=vocabulary.eos_id,
            sampling=sampling,
            seed=seed,
        )

    def answers(
        self,
        prompts: Sequence[Sequence[int]],
        batch_size: int,
        on_batch: Callable[[int], None] = lambda done: None,
    ) -> list[str]:
        """Answers prompts in batches; what is drawn for one doesn't depend on the others.

        Args:
          prompts: token ids without BOS. What doesn't fit the network's length together with
            max_new_tokens is cut from the left.
          batch_size: prompts decoded together.
          on_batch: called with the number of prompts after each batch.
        """
        cut = list(map(self._cut, prompts))
        if over := sum(len(prompt) > self._room for prompt in prompts):
            _LOGGER.warning(
                "%d of %d prompts are cut from the left, to their last %d tokens: the network has "
                "room for no more beside MAX_NEW_TOKENS",
                *(over, len(prompts), self._room),
            )
        answers = [""] * len(prompts)
        kept = prefilling.Prefix()
        for batch in shared_prefixes.batches(cut, batch_size):
            # Filled up to one size, so that one program serves; a repeated prompt costs no step.
            filled = batch + batch[-1:] * (batch_size - len(batch))
            with self._scope():
                generated = self._decode(
                    prompts=[cut[index] for index in filled],
                    stop_ids=self._stop.ids,
                    streams=filled,
                    check=self._ended if self._stop else None,
                    kept=kept,
                )
            for index, tokens in zip(batch, generated, strict=False):
                answers[index] = self._stop.cut(self._stop.text(tokens))
            on_batch(len(batch))
        return answers

    def stream(
        self, prompt: Sequence[int], on_text: Callable[[str], None], number: int = 0
    ) -> None:
        """Answers one prompt, and calls `on_text` with each part of the answer as it comes.

        Args:
          prompt: token ids without BOS, cut as in `answers`.
          on_text: called with text that is final.
          number: of the prompt; with the seed it fixes what is drawn.
        """
        shown = 0

        def show(text: str) -> None:
            nonlocal shown
            if len(text) > shown:
                on_text(text[shown:])
                shown = len(text)

        def check(rows: list[list[int]]) -> list[bool]:
            show(self._stop.certain(self._stop.text(rows[0])))
            return self._ended(rows)

        with self._scope():
            [tokens] = self._decode(
                prompts=[self._cut(prompt)],
                stop_ids=self._stop.ids,
                streams=[number],
                check=check,
                check_period=1,
            )
        show(self._stop.cut(self._stop.text(tokens)))

    def _cut(self, prompt: Sequence[int]) -> list[int]:
        return [*self._bos, *map(int, prompt[-self._room :])]

    def _ended(self, rows: Sequence[Sequence[int]]) -> list[bool]:
        return [self._stop.found(self._stop.text(tokens)) for tokens in rows]
