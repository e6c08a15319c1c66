"""Instruction tuning: Alpaca in English, code-mixed (COMMIT), and naively code-mixed (Table 4)."""

import functools

import seqio
import tensorflow as tf

from commit_t5x import preprocessors, sources
from commit_t5x.mixer import make_mixer
from commit_t5x.tasks import features, names


def _dataset(split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
    del shuffle_files, seed  # one ordered stream; SeqIO shuffles examples
    return sources.dataset(
        functools.partial(sources.alpaca_examples, split),
        {"instruction": (), "input": (), "output": ()},
    )


def _register(family: str, language: str | None = None, **fill_options) -> None:
    seqio.TaskRegistry.add(
        names.task_name(family, language),
        source=seqio.FunctionDataSource(_dataset, splits=("train", "validation")),
        preprocessors=[
            seqio.CacheDatasetPlaceholder(),
            functools.partial(preprocessors.fill_prompt, **fill_options),
            preprocessors.encode_prompt_response,
            preprocessors.fit_prompt_response,
        ],
        output_features=features.TRAINING,
    )


_register("alpaca")
for _language in names.DICTIONARY_LANGUAGES:
    _mixer = functools.partial(make_mixer, "en", _language)
    _register("alpaca_codemix", _language, mixer=_mixer)
    _register("alpaca_naive_codemix", _language, mixer=_mixer, template_blocked=False)
