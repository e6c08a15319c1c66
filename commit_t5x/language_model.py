"""A language model to work with: a network, its weights and its tokenizer, from any checkpoint."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from commit_t5x import conversion, ranges, signatures
from commit_t5x.conversion import formats, hf, native_names
from commit_t5x.engine import decoding, generation, partitioning, scoring
from commit_t5x.engine.sampling import Sampling
from commit_t5x.engine.scoring import Score
from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.tokenizer import Tokenizer, check_fits

_DTYPES = ("float32", "bfloat16")


class LanguageModel:
    """A network with its weights, on the devices of this host, and its tokenizer; see `load`.

    Args:
      params: the network's weights, stacked over layers or not. Those on devices are freed.
      config: of the network.
      tokenizer: encodes and decodes; knows BOS and EOS.
      dtype: of the computation, "float32" or "bfloat16".

    Attributes:
      params: the weights, fp32, on the devices.
      tokenizer: encodes and decodes; knows BOS and EOS.
      module: the network, a flax.linen module.

    Example:
      >>> model = load("out")
      >>> model.generate(["Question: Where does tea grow?\\n\\nAnswer:"], stop=["\\n"])
      [' in Assam']
    """

    def __init__(
        self,
        params: Any,
        config: LlamaConfig,
        tokenizer: Tokenizer,
        *,
        dtype: str = "float32",
    ):
        if dtype not in _DTYPES:
            raise InputError(f"dtype {dtype!r}: use {' or '.join(_DTYPES)}")
        self.module = llama.Llama(config, dtype=dtype, scan_layers="layers" in params)
        self.params = jax.device_put(params)
        self.tokenizer = tokenizer

    @property
    def config(self) -> LlamaConfig:
        """The network's sizes and constants."""
        return self.module.config

    def unroll(self) -> None:
        """Unstacks the layers' weights, with which a CPU decodes faster; `generate` does so."""
        self.module, self.params = decoding.unrolled(self.module, self.params)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: ranges.Positive = 256,
        stop: Sequence[ranges.Text] = (),
        add_bos: bool = True,
        batch_size: ranges.Positive = 8,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: ranges.Seed = 0,
    ) -> list[str]:
        """Continues prompts, each up to EOS, a stop string or `max_new_tokens`.

        Args:
          prompts: texts. What doesn't fit the network's length together with max_new_tokens is cut
            from the left.
          max_new_tokens: of each answer.
          stop: strings that end an answer, and don't belong to it.
          add_bos: put BOS before each prompt, as in training.
          batch_size: prompts decoded together.
          temperature: 0 takes the likeliest token; above, tokens are drawn.
          top_k, top_p: of the tokens to draw from; None and 1.0 for all.
          seed: of what is drawn; each prompt draws by its place among them.

        Returns:
          The answers, in the order of the prompts.

        Raises:
          InputError: an option is out of range, or leaves no room for a prompt.
        """
        signatures.check(LanguageModel.generate, locals())
        self.unroll()
        generator = generation.Generator(
            self.module,
            self.tokenizer,
            partitioning.PjitPartitioner(),
            self.params,
            max_new_tokens=max_new_tokens,
            add_bos=add_bos,
            stop=stop,
            sampling=Sampling(temperature, top_k, top_p),
            seed=seed,
        )
        return generator.answers([self.tokenizer.encode(prompt) for prompt in prompts], batch_size)

    def loglikelihood(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        add_bos: bool = True,
        batch_size: ranges.Positive = 8,
    ) -> list[Score]:
        """Scores continuations of contexts.

        The two are tokenised as one text; a token that straddles the boundary belongs to the
        context.

        Args:
          pairs: (context, continuation).
          add_bos: put BOS before each context, as in training. An empty context has it in any case.
          batch_size: pairs scored together.

        Returns:
          For each pair `logprob`, the natural logarithm of the continuation's probability (all of
          its tokens together), and `is_greedy`, whether greedy decoding would produce it.

        Raises:
          InputError: a continuation has no token of its own, or more than the network's length.

        Example:
          >>> load("out").loglikelihood([("Tea grows in", " Assam")])
          [Score(logprob=-4.2, is_greedy=False)]
        """
        signatures.check(LanguageModel.loglikelihood, locals())
        rows = []
        for context, continuation in pairs:
            text = (context + continuation).encode("utf-8")
            ids, starts, _ = self.tokenizer.encode_batch([text])
            cut = int(np.searchsorted(starts, len(context.encode("utf-8"))))
            if cut == len(ids):
                raise InputError(f"continuation {continuation!r}: has no token of its own")
            bos = [self.tokenizer.bos_id] if add_bos or not cut else []
            rows.append(([*bos, *ids[:cut].tolist()], ids[cut:].tolist()))
        return scoring.score_targets(
            self.module,
            self.params,
            rows,
            batch_size=batch_size,
            max_length=self.config.max_length,
        )

    def save_pretrained(
        self, directory: str | pathlib.Path, *, dtype: str = "float32", overwrite: bool = False
    ) -> None:
        """Writes a directory that transformers' Auto classes load, weights, tokenizer and all.

        Args:
          directory: appears when it is complete.
          dtype: of the weights: "float32", "bfloat16" or "float16".
          overwrite: replace an existing directory.

        Raises:
          InputError: the directory exists, the tokenizer can't be exported, or the disk is full.
        """
        hf.export_hf(
            self.params, self.config, directory, self.tokenizer, dtype, overwrite=overwrite
        )


def load(
    path: str | pathlib.Path,
    *,
    tokenizer: str | pathlib.Path | None = None,
    dtype: str = "float32",
) -> LanguageModel:
    """Loads a model.

    Args:
      path: of a native model directory (its latest checkpoint) or one of its checkpoint_N, of a
        Hugging Face directory, or of a GGUF file: what `commit-t5x convert` reads and finds the
        configuration of.
      tokenizer: a SentencePiece model, a tokenizer.json, or a directory with either; by default the
        one that lies with the weights.
      dtype: of the computation, "float32" or "bfloat16"; weights are kept in fp32.

    Raises:
      InputError: there is no such checkpoint or tokenizer, it can't be read, or the tokenizer has
        more tokens than the network.

    Example:
      >>> model = load("exports/commit_hi", dtype="bfloat16")
      >>> model.config.num_parameters
      134515008
    """
    signatures.check(load, locals())
    source = conversion.open_source(formats.detect(pathlib.Path(path)), path)
    loaded = source.tokenizer if tokenizer is None else configured.load(tokenizer)
    if loaded is None:
        raise InputError(f"{path}: no tokenizer in it; name one with tokenizer=FILE")
    check_fits(loaded, source.config.vocab_size)
    return LanguageModel(native_names.load(source), source.config, loaded, dtype=dtype)
