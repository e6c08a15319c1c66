"""The weights that evaluation and inference start from, and the tokenizer beside them."""

import pathlib
from typing import Any

from commit_t5x.engine import (
    checkpoints,
    model_files,
    models,
    partitioning,
    train_state,
    utils,
)
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured


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
    check_tokenizer(folder.parent, model)
    abstract = train_state.TrainStateInitializer(model, partitioner).params
    return checkpoints.load_params(folder, abstract, model.config), folder


# In several scripts, each of which tokenizers cut in ways of their own.
_PROBE = "It's 1,024 words:\nzwölf Wörter, δύο λέξεις, два слова, كلمتان, दो शब्द, สองคำ, 两个词"


def check_tokenizer(model_dir: pathlib.Path, model: models.DecoderOnlyModel) -> None:
    """Raises InputError if the tokenizer beside a checkpoint isn't the model's.

    They may be files of different kinds: what counts is that texts get the same ids.
    """
    beside, used = model_files.tokenizer(model_dir), model.vocabulary
    if beside is None or not hasattr(used, "path"):
        return
    expected = configured.load(beside)
    if expected.encode(_PROBE) != used.encode(_PROBE) or expected.eos_id != used.eos_id:
        raise InputError(
            f"TOKENIZER: {used.path} gives texts other ids than {beside}, which the checkpoint was "
            "made with; set TOKENIZER to that, or put a copy of yours in its place"
        )
