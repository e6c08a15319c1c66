"""lm-eval's model `commit_t5x`: a checkpoint of ours, or a Hugging Face export, run by JAX."""

import collections
from collections.abc import Iterator, Sequence
from typing import Any

import tqdm
from lm_eval import utils as lm_eval_utils
from lm_eval.api import instance, model, registry
from lm_eval.models import utils as lm_eval_model_utils

from commit_t5x import errors, language_model, ranges, signatures
from commit_t5x.engine import decoding, generation, prefilling, scoring, shared_prefixes
from commit_t5x.engine.sampling import Sampling
from commit_t5x.vocabularies import configured


@registry.register_model("commit_t5x")
class CommitLM(model.TemplateLM):
    """Scores and generates with a native checkpoint or a Hugging Face directory, without torch.

    Args (lm-eval's `--model_args`):
      pretrained: MODEL_DIR (its latest checkpoint), MODEL_DIR/checkpoint_N, a Hugging Face
        directory, or a GGUF file.
      batch_size: rows of a forward pass.
      add_bos: put BOS before every context, as in training. The paper's evaluation did not.
      dtype: of the computation, float32 or bfloat16.
      max_length: tokens of context; the model's own by default.
      max_gen_toks: tokens to generate where a task doesn't say.
      tokenizer: the tokenizer's file; the one beside the weights by default.
      paper_truncation: drop as many generated tokens as the context was over-long, as the paper's
        evaluation did (it cut contexts from the left, then sliced answers at the uncut length).
      skip_leading_newlines: take an answer from its first visible character on. Otherwise, as in
        the paper, one that starts with a newline is empty.
      seed: of answers that are drawn (`do_sample=True,temperature=...,top_k=...,top_p=...` among
        the generation options); each request draws by its place among them.

    Raises:
      InputError: no such checkpoint or tokenizer, or an option out of range.

    Example:
      >>> model = CommitLM("out", batch_size=8)
      >>> lm_eval.simple_evaluate(model, tasks=["ogx_xquad_hi"], task_manager=...)
    """

    def __init__(
        self,
        pretrained: ranges.Path,
        *,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        device: str | None = None,
        add_bos: bool = False,
        dtype: ranges.Dtype = "float32",
        max_length: ranges.Positive | None = None,
        max_gen_toks: ranges.Positive = 256,
        tokenizer: ranges.Location | None = None,
        paper_truncation: bool = False,
        skip_leading_newlines: bool = False,
        seed: ranges.Seed = 0,
    ):
        signatures.check(type(self), locals())
        super().__init__()
        del max_batch_size  # of lm-eval's automatic batch size only
        if device is not None:
            raise errors.InputError(f"device {device!r}: set JAX_PLATFORMS instead")
        if not str(batch_size).isdigit() or not int(batch_size):
            raise errors.InputError(f"batch_size {batch_size!r}: give a positive number")
        self._model = language_model.load(pretrained, tokenizer=tokenizer, dtype=dtype)
        self.vocabulary = self._model.tokenizer
        self.batch_size = int(batch_size)
        longest = self._model.config.max_length
        if max_length is not None and max_length > longest:
            raise errors.InputError(f"max_length {max_length}: the model has {longest} tokens")
        self.max_length = max_length or longest
        self.max_gen_toks = max_gen_toks
        self._add_bos = add_bos
        self._paper_truncation = paper_truncation
        self._skip_leading_newlines = skip_leading_newlines
        self._seed = seed

    @property
    def eot_token_id(self) -> int:
        return self.vocabulary.eos_id

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text that has no context: BOS."""
        return self.vocabulary.bos_id

    @property
    def tokenizer_name(self) -> str:
        """Names the tokenizer in lm-eval's cache of requests."""
        return self.vocabulary.path.name

    def get_model_info(self) -> dict[str, Any]:
        """What lm-eval adds to the `config` of its results."""
        return {
            "model_num_parameters": self._model.config.num_parameters,
            "model_dtype": self._model.module.dtype,
            "tokenizer": configured.name(self.vocabulary),
            "max_length": self.max_length,
            "add_bos": self._add_bos,
            "paper_truncation": self._paper_truncation,
            "skip_leading_newlines": self._skip_leading_newlines,
        }

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **unused: Any
    ) -> list[int]:
        """Returns the ids of `string`, with BOS in front where asked for (default: `add_bos`)."""
        del unused
        with_bos = self._add_bos if add_special_tokens is None else add_special_tokens
        return [self.vocabulary.bos_id] * with_bos + list(self.vocabulary.encode(string))

    def generate_until(
        self, requests: list[instance.Instance], disable_tqdm: bool = False
    ) -> list[str]:
        """Returns each request's continuation, up to the first of its stop strings.

        Contexts are cut from the left to `max_length` - `max_gen_toks` tokens, BOS included.

        Raises:
          InputError: a request's options are out of range, or ask for more tokens than the model
            has room for.
        """
        self._model.unroll()
        groups = collections.defaultdict(list)
        for index, request in enumerate(requests):
            groups[self._options(request.args[1])].append(index)
        answers: list[str] = [""] * len(requests)
        kept = prefilling.Prefix()
        with _progress(len(requests), "generate_until", disable_tqdm) as progress:
            for (stops, max_new, sampling), members in groups.items():
                stop = generation.StopStrings(self.vocabulary, stops)
                contexts = [self.tok_encode(requests[index].args[0]) for index in members]
                for batch in shared_prefixes.batches(contexts, self.batch_size):
                    # The last batch is filled up: another size would be compiled anew.
                    filled = batch + batch[-1:] * (min(self.batch_size, len(contexts)) - len(batch))
                    texts = self._generate(
                        [contexts[place] for place in filled],
                        stop,
                        max_new_tokens=max_new,
                        sampling=sampling,
                        streams=[members[place] for place in filled],
                        kept=kept,
                    )
                    for place, text in zip(batch, texts, strict=False):
                        answers[members[place]] = text
                        request = requests[members[place]]
                        self.cache_hook.add_partial("generate_until", request.args, text)
                    progress.update(len(batch))
        return answers

    def _options(self, gen_kwargs: dict[str, Any]) -> tuple[tuple[str, ...], int, Sampling]:
        """Returns stop strings, tokens to generate, and how to choose them."""
        options = lm_eval_model_utils.normalize_gen_kwargs(gen_kwargs, self.max_gen_toks)
        max_new = options["max_gen_toks"]
        if not 0 < max_new < self.max_length:
            raise errors.InputError(
                f"max_gen_toks {max_new}: leaves no room for a context in the model's "
                f"{self.max_length} tokens; set a smaller one, --gen_kwargs max_gen_toks=N"
            )
        sampling = Sampling()
        temperature = float(options.get("temperature", 1.0))
        if options["do_sample"] and temperature:
            top_k = int(options.get("top_k") or 0) or None  # 0 is Hugging Face's word for all
            sampling = Sampling(temperature, top_k, float(options.get("top_p") or 1.0))
        return tuple(stop for stop in options["until"] if stop), max_new, sampling

    def _generate(
        self, contexts: Sequence[list[int]], stop: generation.StopStrings, **options: Any
    ) -> Iterator[str]:
        room = self.max_length - options["max_new_tokens"]

        def ended(rows: list[list[int]]) -> list[bool]:
            return [stop.found(self._text(ids, stop)) for ids in rows]

        generated = decoding.decode(
            self._model.module,
            self._model.params,
            [self._cut(context, room) or [self.prefix_token_id] for context in contexts],
            eos_id=self.vocabulary.eos_id,
            stop_ids=stop.end_ids if self._skip_leading_newlines else stop.ids,
            # What paper_truncation drops is counted in tokens, up to the one that ends the answer.
            check=ended if stop and not self._paper_truncation else None,
            seed=self._seed,
            **options,
        )
        for context, ids in zip(contexts, generated, strict=True):
            if self._paper_truncation:
                ids = ids[max(len(context) - room, 0) :]
            text = self._text(ids, stop)
            yield lm_eval_model_utils.postprocess_generated_text(text, list(stop.strings), None)

    def _text(self, ids: list[int], stop: generation.StopStrings) -> str:
        text = stop.text(ids)
        return text.lstrip() if self._skip_leading_newlines else text

    def _cut(self, context: list[int], room: int) -> list[int]:
        """Cuts an over-long context from the left, but keeps its BOS."""
        if self._add_bos and len(context) > room:
            return context[:1] + context[len(context) - room + 1 :]
        return context[-room:]

    def loglikelihood(
        self, requests: list[instance.Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Returns (log-probability of the continuation, whether greedy decoding produces it)."""
        with _progress(0, "", disable_tqdm) as progress:
            hidden = progress.disable
        return super().loglikelihood(requests, disable_tqdm=hidden)

    def loglikelihood_rolling(
        self, requests: list[instance.Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Returns the log-probability of each whole text, with BOS for context.

        Texts longer than `max_length` are scored in windows, each token once.
        """
        windows, owners = [], []
        for owner, request in enumerate(requests):
            tokens = self.tok_encode(request.args[0], add_special_tokens=False)
            for window in lm_eval_utils.get_rolling_token_windows(
                tokens, self.prefix_token_id, self.max_length, context_len=1
            ):
                windows.append((None, *lm_eval_utils.make_disjoint_window(window)))
                owners.append(owner)
        totals = [0.0] * len(requests)
        scores = self._loglikelihood_tokens(windows, disable_tqdm=disable_tqdm)
        for owner, score in zip(owners, scores, strict=True):
            totals[owner] += score.logprob
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str] | None, list[int], list[int]]],
        disable_tqdm: bool = False,
        **unused: Any,
    ) -> list[scoring.Score]:
        del unused
        with _progress(len(requests), "loglikelihood", disable_tqdm) as progress:
            scores = scoring.score_targets(
                self._model.module,
                self._model.params,
                [(context or [self.prefix_token_id], targets) for _, context, targets in requests],
                batch_size=self.batch_size,
                max_length=self.max_length,
                on_batch=progress.update,
            )
        for (texts, _, _), score in zip(requests, scores, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, score)
        return scores


def _progress(total: int, what: str, disable: bool) -> tqdm.tqdm:
    """A progress bar, on a terminal only."""
    return tqdm.tqdm(total=total, desc=f"Running {what} requests", disable=disable or None)
