"""Alignment: continued causal LM on target-language Wikipedia, plain or mixed towards English."""

import functools

import seqio

from commit_t5x.data import length_policy, preprocessors, seqio_source, sources
from commit_t5x.mixing import schedule
from commit_t5x.mixing.mixer import make_mixer
from commit_t5x.tasks import families, features


def _add(family: str, language: str, preprocessing: list) -> None:
    seqio.TaskRegistry.add(
        families.name(family, language),
        source=seqio_source.ExampleSource(
            functools.partial(sources.wikipedia_examples, language),
            {"text": ()},
            splits=sources.training_splits,
        ),
        preprocessors=preprocessing,
        output_features=features.FEATURES,
        task_cls=seqio_source.Task,
    )


def _add_plain(language: str) -> None:
    _add(
        "wikipedia",
        language,
        [
            preprocessors.batch_examples,
            preprocessors.encode_documents,
            preprocessors.unbatch_examples,
            features.cache_placeholder(),  # after encoding: the tokens are those of every epoch
            preprocessors.batch_examples,
            length_policy.fit_documents,
            preprocessors.unbatch_examples,
        ],
    )


def register(language: str) -> None:
    """Registers the tasks of a language that has a dictionary towards English."""
    _add_plain(language)
    mixing = functools.partial(
        preprocessors.mix_documents, mixer=functools.partial(make_mixer, language, "en")
    )
    _add(
        "wikipedia_codemix",
        language,
        [
            features.cache_placeholder(),  # before mixing: every epoch mixes the text afresh
            preprocessors.batch_examples,
            schedule.number_epochs,
            mixing,
            preprocessors.encode_documents,
            length_policy.fit_documents,
            preprocessors.unbatch_examples,
        ],
    )


_add_plain("en")
