"""A model with a longer vocabulary, trained by the recipe."""

import numpy as np
import pytest

from commit_t5x import cli, resources
from commit_t5x.conversion import native

HINDI = resources.path("samples") / "wikipedia.hi.txt"


@pytest.mark.slow  # trains, 20 s
def test_new_rows_first_and_then_everything(tiny_model, tmp_path, capsys):
    base, out = tmp_path / "base", tmp_path / "out"
    arguments = ["extend", tiny_model.native, HINDI, base, "--size", 3072]
    assert cli.main(["vocab", *map(str, arguments)]) == 0
    macros = {
        "MODEL_DIR": str(out),
        "INITIAL_CHECKPOINT_PATH": str(base),
        "TOKENIZER": str(base),
        "LANGUAGE": "hi",
        **dict.fromkeys(("DICT_DIR", "ALPACA_PATH", "WIKIPEDIA_PATH"), "samples"),
        **{"TRAIN_STEPS": 2, "WARMUP_STEPS": 0, "CHECKPOINT_PERIOD": 1, "NEW_ROWS_ONLY_STEPS": 1},
        **{"BATCH_SIZE": 1, "SEQUENCE_LENGTH": 64, "LEARNING_RATE": 1e-2},
    }
    flags = [f"--gin.{name}={value!r}" for name, value in macros.items()]
    code = cli.main(["train", "--gin_file=recipes/extend_align_commit.gin", *flags])
    assert code == 0, capsys.readouterr().err
    before, first, second = (
        native.read(place) for place in (base, out / "checkpoint_1", out / "checkpoint_2")
    )
    old = tiny_model.config.vocab_size
    for name in before.shapes:
        was, now, then = (source.get(name) for source in (before, first, second))
        if name == "token_embedder/embedding":
            was, now = was[:old], now[:old]
        elif name == "logits_dense/kernel":
            assert not np.array_equal(now[:, old:], was[:, old:])
            was, now = was[:, :old], now[:, :old]
        np.testing.assert_array_equal(now, was)
        assert not np.array_equal(then, first.get(name))
