"""Alignment: continued causal LM on target-language Wikipedia, plain or mixed towards English."""

import functools

import seqio
import tensorflow as tf

from commit_t5x import preprocessors, sources
from commit_t5x.mixer import make_mixer
from commit_t5x.tasks import features, names


def _dataset(
    split: str, shuffle_files: bool, seed: int | None = None, *, language: str
) -> tf.data.Dataset:
    del shuffle_files, seed  # one ordered stream; SeqIO shuffles examples
    return sources.dataset(
        functools.partial(sources.wikipedia_examples, language, split), {"text": ()}
    )


def _register(family: str, language: str, *mixing) -> None:
    seqio.TaskRegistry.add(
        names.task_name(family, language),
        source=seqio.FunctionDataSource(
            functools.partial(_dataset, language=language), splits=("train", "validation")
        ),
        preprocessors=[
            seqio.CacheDatasetPlaceholder(),
            *mixing,
            preprocessors.encode_documents,
            preprocessors.fit_documents,
        ],
        output_features=features.TRAINING,
    )


_register("wikipedia", "en")
for _language in names.DICTIONARY_LANGUAGES:
    _mixer = functools.partial(make_mixer, _language, "en")
    _register("wikipedia", _language)
    _register(
        "wikipedia_codemix",
        _language,
        functools.partial(preprocessors.mix_documents, mixer=_mixer),
    )
