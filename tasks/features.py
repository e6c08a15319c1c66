"""What the tasks share: the SeqIO features that they put out, and how their caches are read."""

import seqio

from commit_t5x.data import pair_features
from commit_t5x.vocabularies.seqio_vocabulary import ConfiguredVocabulary

# EOS is placed by the preprocessors, BOS by the feature converter.
_TOKENS = seqio.Feature(ConfiguredVocabulary(), add_eos=False)

# A prompt, and the response or answer on which the loss falls. Documents have an empty prompt:
# SeqIO mixes only tasks of the same features.
FEATURES = {"inputs": _TOKENS, "targets": _TOKENS}

# What tasks with pairs have besides. Units are numbers, but a task has one vocabulary.
PAIRS = dict.fromkeys(pair_features.TASK_FEATURES, _TOKENS)


def cache_placeholder() -> seqio.CacheDatasetPlaceholder:
    """Returns SeqIO's mark of the place where a task is cached.

    A buffer of one file keeps the order of the cached files, which hold examples in random order
    already: a new epoch is known by the example that comes first.
    """
    return seqio.CacheDatasetPlaceholder(file_shuffle_buffer_size=1)
