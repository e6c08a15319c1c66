"""The weights that evaluation and inference start from, and the tokenizer beside them."""

import pathlib
from typing import Any

from commit_t5x.engine import (
    adapters,
    checkpoints,
    model_files,
    models,
    partitioning,
    train_state,
    utils,
)
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.tokenizer import Tokenizer


def restore_weights(
    model: models.DecoderOnlyModel,
    partitioner: partitioning.PjitPartitioner,
    cfg: utils.RestoreCheckpointConfig,
) -> tuple[Any, pathlib.Path]:
    """Returns a checkpoint's parameters in shards, and its folder.

    Raises:
      InputError: no path, no checkpoint there, or one of another network or tokenizer.
    """
    if cfg.path is None:
        raise InputError("CHECKPOINT_PATH: not set; give a model directory or a checkpoint in it")
    folder = checkpoints.find(cfg.path)
    check_tokenizer(folder.parent, model.vocabulary)
    abstract = train_state.TrainStateInitializer(model, partitioner).params
    return adapters.load_params(folder, abstract, model.config, model.lora), folder


def check_tokenizer(model_dir: pathlib.Path, vocabulary: Any) -> None:
    """Raises InputError if the tokenizer beside a checkpoint isn't a model's, its `vocabulary`.

    They may be files of different kinds: what counts is that texts get the same ids, and that
    answers end at the same ones.
    """
    beside, used = model_files.tokenizer(model_dir), getattr(vocabulary, "tokenizer", vocabulary)
    if beside is None or not isinstance(used, Tokenizer):
        return
    if not configured.agree(beside, used):
        raise InputError(
            f"TOKENIZER: {used.path} gives texts other ids than {beside.path}, which the "
            "checkpoint was made with; set TOKENIZER to that, or put a copy of yours in its place"
        )
    if {*beside.eos_ids} != {*used.eos_ids}:
        raise InputError(
            f"TOKENIZER: answers end at {[*used.eos_ids]} by what lies beside {used.path}, and at "
            f"{[*beside.eos_ids]} by {beside.path.parent}, the checkpoint's; set TOKENIZER to that"
        )
