import pytest
from sentencepiece_models import train_model

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured

MODEL = resources.path("samples") / "tokenizer.model"


def test_loading_is_cached_by_path():
    assert configured.load(MODEL) is configured.load(MODEL)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)), b"\n" * 1000])
def test_a_file_that_is_no_model(tmp_path, content):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a SentencePiece model; set TOKENIZER") as caught:
        configured.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_model(tmp_path):
    for path in (tmp_path / "tokenizer.model", tmp_path):
        with pytest.raises(InputError, match="no such tokenizer; set TOKENIZER") as caught:
            configured.load(path)
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("missing", ["bos_id", "eos_id"])
def test_a_model_without_bos_or_eos(tmp_path, missing):
    path = train_model(tmp_path / "tokenizer.model", **{missing: -1})
    with pytest.raises(InputError, match="defines no bos or eos id"):
        configured.load(path)


def test_gin_names_the_tokenizer(bind, tmp_path):
    bind("configured.get_vocabulary.tokenizer", "samples")
    assert configured.get_vocabulary().path == MODEL
    path = train_model(tmp_path / "tokenizer.model")
    bind("configured.get_vocabulary.tokenizer", str(path))
    assert configured.get_vocabulary().path == path
