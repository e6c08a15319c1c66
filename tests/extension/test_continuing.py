import functools
import random
import unicodedata

import byte_level
import pytest
import regex
import sentencepiece_models
import tokenizers
import world
from hypothesis import given
from hypothesis import strategies as st
from texts import texts

from commit_t5x import resources
from commit_t5x.conversion import hf_tokenizer
from commit_t5x.errors import InputError
from commit_t5x.extension import continuing, words
from commit_t5x.vocabularies.hugging_face import HuggingFaceTokenizer
from commit_t5x.vocabularies.sentencepiece import SentencePieceTokenizer

SAMPLES = resources.path("samples")
NUMBER = 150
LIKE_LLAMA = {
    **{"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity"},
    **{"remove_extra_whitespaces": False},
}


def llama(folder):
    """A SentencePiece model that spells all scripts but Latin in bytes."""
    folder.mkdir()
    options = {**LIKE_LLAMA, "vocab_size": 290}
    return SentencePieceTokenizer(
        sentencepiece_models.train_model(folder / "tokenizer.model", **options)
    )


def converted(folder):
    files = hf_tokenizer.files(llama(folder), 64)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return HuggingFaceTokenizer(folder / "tokenizer.json")


def byte(make, folder):
    return HuggingFaceTokenizer(make(folder))


KINDS = {
    "sentencepiece": llama,
    "converted": converted,
    "smollm": functools.partial(byte, byte_level.smollm),
    "llama3": functools.partial(byte, byte_level.llama3),
}


@pytest.fixture(scope="module")
def hindi():
    return words.read([SAMPLES / "wikipedia.hi.txt"])


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory, hindi):
    """A tokenizer, and it with tokens for Hindi."""
    base = KINDS[request.param](tmp_path_factory.mktemp("base") / "tokenizer")
    return base, *continuing.learn(base, hindi, NUMBER)


def sentences(count):
    """English sentences of words of the samples, with what stands between words."""
    lines = (SAMPLES / "alpaca.jsonl").read_text(encoding="utf-8")
    known = sorted({*regex.findall(r"\w+", lines)})
    rng = random.Random(0)
    between = [
        *" " * 9,
        ", ",
        ". ",
        "\n",
        "’s ",
        " — ",
        " €5 ",
        "  ",
        " \u0301",
        " 👩\u200d👧 ",
        "-",
    ]
    for _ in range(count):
        yield "".join(rng.choice(known) + rng.choice(between) for _ in range(12))


def test_english_keeps_its_ids(pair):
    base, extended, _ = pair
    for sentence in sentences(10_000):
        assert extended.encode(sentence) == base.encode(sentence)


@pytest.mark.parametrize("kind, count", [*dict.fromkeys(KINDS, 1000).items(), ("smollm", 10_000)])
def test_kept_english_keeps_its_ids_beside_another_language_in_latin_script(kind, count, tmp_path):
    base = KINDS[kind](tmp_path / "tokenizer")
    documents = world.World().documents("documents")
    text = [world.World().text(next(documents), "qaa") for _ in range(50)]
    english = [*sentences(count), "Ünlü: naïve, watu; (watu) café ₺5", *" \n"]
    for name, lines in (("qaa.txt", text), ("en.txt", english)):
        (tmp_path / name).write_text("\n\n".join(lines), encoding="utf-8")
    found = words.read([tmp_path / "qaa.txt"], latin=True)
    assert found.scripts == ("Latin",)
    extended, new = continuing.learn(base, found, NUMBER, [tmp_path / "en.txt"])
    free, _ = continuing.learn(base, found, NUMBER)
    before, after, unchecked = (
        [tokenizer.encode(line) for line in english] for tokenizer in (base, extended, free)
    )
    assert after == before != unchecked
    assert len(extended.encode(text[0])) < 0.9 * len(base.encode(text[0]))
    assert [token.token for token in new] == extended.tokens()[base.vocab_size :]


def test_words_that_are_cut_otherwise_cannot_be_kept(tmp_path, hindi):
    base = byte(byte_level.smollm, tmp_path / "tokenizer")
    kept = SAMPLES / "wikipedia.hi.txt"
    with pytest.raises(InputError, match="wikipedia.hi.txt: can't be kept"):
        continuing.learn(base, hindi, NUMBER, [kept])


@given(text=st.one_of(texts, st.text()))
def test_all_text_in_other_scripts_keeps_its_ids(pair, text):
    base, extended, _ = pair
    text = regex.sub(r"\p{Block=Devanagari}", "", text)  # the danda shares bytes with letters
    assert extended.encode(text) == base.encode(text)


@given(text=texts)
def test_text_comes_back(pair, text):
    base, extended, _ = pair
    if base.decode(base.encode(text)) == text:
        assert extended.decode(extended.encode(text)) == text


def test_hindi_takes_fewer_tokens(pair):
    base, extended, new = pair
    text = (SAMPLES / "wikipedia.hi.txt").read_text(encoding="utf-8")
    assert len(extended.encode(text)) < 0.75 * len(base.encode(text))
    assert [token.token for token in new] == extended.tokens()[base.vocab_size :]
    assert len(new) == NUMBER
    used = {*extended.encode(text)}
    # Some only lead to others.
    assert sum(id_ in used for id_ in range(base.vocab_size, extended.vocab_size)) > 0.9 * NUMBER


def test_special_tokens_stay(pair):
    base, extended, _ = pair
    assert extended.special_tokens == base.special_tokens
    assert (extended.bos_id, extended.eos_ids) == (base.bos_id, base.eos_ids)
    assert extended.tokens()[: base.vocab_size] == base.tokens()


def test_pieces_are_what_the_old_tokenizer_spells_tokens_with(pair):
    base, _, new = pair
    ids = {token: id_ for id_, token in enumerate(base.tokens())}
    for addition in new:
        spelt = base._decode([ids[piece] for piece in addition.pieces])
        if "�" not in spelt:  # the first bytes of a character
            assert "".join(base.tokens()[i] for i in base.encode(spelt)).endswith(
                "".join(addition.pieces)
            )


def test_vowel_signs_are_joined_to_letters(pair):
    _, extended, _ = pair
    joined = [
        text
        for id_ in range(extended.vocab_size - NUMBER, extended.vocab_size)
        if unicodedata.category((text := extended._decode([id_]) or " ")[-1]).startswith("M")
        and unicodedata.category(text.strip()[0]).startswith("L")
    ]
    assert len(joined) > 5


def test_new_pieces_keep_their_order_below_runs_of_spaces_and_so_in_the_export(tmp_path, hindi):
    base = llama(tmp_path / "tokenizer")
    proto = base.proto
    for length in range(2, 17):
        proto.pieces.add(piece="▁" * length, score=-1e9)  # LLaMA's
    base.path.write_bytes(proto.SerializeToString())
    extended, _ = continuing.learn(SentencePieceTokenizer(base.path), hindi, NUMBER)
    scores = [piece.score for piece in extended.proto.pieces][-NUMBER:]
    assert scores == sorted({*scores}, reverse=True)
    for name, content in hf_tokenizer.files(extended, 64).items():
        (tmp_path / name).write_bytes(content)
    exported = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for line in (SAMPLES / "wikipedia.hi.txt").read_text(encoding="utf-8").splitlines():
        assert exported.encode(line, add_special_tokens=False).ids == extended.encode(line)


def test_a_tokenizer_can_be_continued_again(tmp_path, pair):
    _, extended, _ = pair
    again, _ = continuing.learn(extended, words.read([SAMPLES / "wikipedia.el.txt"]), 50)
    for name in ("hi", "th"):
        text = (SAMPLES / f"wikipedia.{name}.txt").read_text(encoding="utf-8")
        assert again.encode(text) == extended.encode(text)
    text = (SAMPLES / "wikipedia.el.txt").read_text(encoding="utf-8")
    assert len(again.encode(text)) < len(extended.encode(text))


def test_unigram_cannot_be_continued(tmp_path, hindi):
    model = sentencepiece_models.train_model(tmp_path / "t.model", model_type="unigram")
    with pytest.raises(InputError, match="type Unigram; only tokens of byte-pair encoding"):
        continuing.learn(SentencePieceTokenizer(model), hindi, 5)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece({"<s>": 0, "</s>": 1}))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="type WordPiece; only tokens of byte-pair encoding"):
        continuing.learn(HuggingFaceTokenizer(tmp_path / "tokenizer.json"), hindi, 5)


def test_too_little_text(tmp_path):
    (tmp_path / "x.txt").write_text("चाय चाय चाय", encoding="utf-8")
    base = HuggingFaceTokenizer(byte_level.smollm(tmp_path))
    extended, new = continuing.learn(base, words.read([tmp_path / "x.txt"]), 1000)
    assert 0 < len(new) < 9
    assert extended.vocab_size == base.vocab_size + len(new)
    assert len(extended.encode(" चाय")) == 1
