"""What the tasks put out: the SeqIO features that all of them share."""

import seqio

from commit_t5x.vocabularies import ConfiguredVocabulary

# EOS is placed by the preprocessors, BOS by the feature converter.
_TOKENS = seqio.Feature(ConfiguredVocabulary(), add_eos=False)

# Training: one sequence, with a weight of 0 or 1 for each token's loss.
TRAINING = {
    "targets": _TOKENS,
    "targets_loss_weights": seqio.Feature(seqio.PassThroughVocabulary(2), add_eos=False),
}

# Evaluation by generation: a prompt and the answer expected.
GENERATION = {"inputs": _TOKENS, "targets": _TOKENS}
