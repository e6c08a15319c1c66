import copy
import pickle

import byte_level
import pytest
import seqio
import tensorflow as tf
from sentencepiece_models import train_model

from commit_t5x import resources
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.seqio_vocabulary import ConfiguredVocabulary, TokenizerVocabulary

MODEL = resources.path("samples") / "tokenizer.model"


@pytest.fixture(scope="module")
def vocabulary():
    return TokenizerVocabulary(configured.load(MODEL))


def test_a_configured_vocabulary_follows_gin(bind, tmp_path, vocabulary):
    late = ConfiguredVocabulary()  # before gin has said anything
    small = train_model(tmp_path / "tokenizer.model", bos_id=3, eos_id=4)
    small = TokenizerVocabulary(configured.load(small))
    for name, expected in [("samples", vocabulary), (str(small.path), small)]:
        bind("configured.get_vocabulary.tokenizer", name)
        assert late.vocab_size == expected.vocab_size
        assert late.bos_id == expected.bos_id
        assert late.eos_id == expected.eos_id
        assert late.pad_id == expected.pad_id == 0
        assert late.unk_id == expected.unk_id
        ids = expected.encode("tea water")
        assert late.encode("tea water") == ids
        assert late.decode(ids) == "tea water"
        assert late.encode_tf(tf.constant("tea water")).numpy().tolist() == ids
        assert late.decode_tf(tf.constant([ids])).numpy().tolist() == [b"tea water"]
        tokens, starts = late.encode_with_offsets_tf(tf.constant(["tea water"]))
        assert tokens.to_list() == [ids]
        assert starts.to_list()[0][0] == 0
    assert vocabulary.vocab_size != small.vocab_size


def both_ways(left, right):
    assert (left == right) == (right == left) != (left != right)
    return left == right


class OtherEos(seqio.SentencePieceVocabulary):
    eos_id = 5


def test_vocabularies_of_the_same_tokenizer_are_equal_on_either_side(bind, tmp_path, vocabulary):
    assert both_ways(ConfiguredVocabulary(), ConfiguredVocabulary())  # whatever it will be
    bind("configured.get_vocabulary.tokenizer", "samples")
    late = ConfiguredVocabulary()
    copied = tmp_path / "copy.model"
    copied.write_bytes(MODEL.read_bytes())
    for path in (MODEL, copied):
        users = seqio.SentencePieceVocabulary(str(path))
        users.encode("tea")
        for ours in (late, vocabulary):
            assert both_ways(ours, users)
            assert both_ways(ours, TokenizerVocabulary(configured.load(path)))
    other = train_model(tmp_path / "other.model")
    for users in (
        seqio.SentencePieceVocabulary(str(other)),
        seqio.SentencePieceVocabulary(str(MODEL), extra_ids=1),
        OtherEos(str(MODEL)),
        TokenizerVocabulary(configured.load(byte_level.llama3(tmp_path / "model"))),
        seqio.PassThroughVocabulary(vocabulary.vocab_size),
    ):
        assert not both_ways(late, users)
        assert not both_ways(vocabulary, users)
    assert str(late) == str(vocabulary)
    bind("configured.get_vocabulary.tokenizer", str(tmp_path / "model"))
    assert both_ways(late, TokenizerVocabulary(configured.load(tmp_path / "model")))
    assert not both_ways(late, seqio.SentencePieceVocabulary(str(MODEL)))
    assert copy.deepcopy(late) == late and pickle.loads(pickle.dumps(vocabulary)) == vocabulary
