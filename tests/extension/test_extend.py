import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest
import safetensors.torch
import small_llama
import torch
import transformers
import world

from commit_t5x import cli, conversion, language_model, resources
from commit_t5x.conversion import formats, hf
from commit_t5x.extension import extend
from commit_t5x.model import new_rows
from commit_t5x.model.llama import Llama
from commit_t5x.vocabularies import configured

GREEK = resources.path("samples") / "wikipedia.el.txt"
HINDI = resources.path("samples") / "wikipedia.hi.txt"
SIZE = 3200


def embedding(folder, name="embed_tokens"):
    return hf.read(folder).get(f"model.{name}.weight").astype(np.float32)


@pytest.fixture(scope="module")
def longer(tiny_model, tmp_path_factory):
    """The tiny model with more rows, as a Hugging Face directory."""
    out = tmp_path_factory.mktemp("longer") / "hf"
    extend.extend(tiny_model.exported, [HINDI], out, size=SIZE - 5)
    return out


def test_old_rows_stay_and_new_ones_are_means(tiny_model, longer):
    old, new = embedding(tiny_model.exported), embedding(longer)
    assert new.shape == (SIZE, tiny_model.config.emb_dim)  # a multiple of 128
    np.testing.assert_array_equal(new[: len(old)], old)
    before, after = (configured.find(path) for path in (tiny_model.exported, longer))
    id_ = next(  # of a word that the old tokenizer spells with several tokens
        id_
        for id_, token in enumerate(after.tokens())
        if id_ >= before.vocab_size and token.startswith("▁")
    )
    pieces = before.encode(after.tokens()[id_].replace("▁", ""))
    assert len(pieces) > 1
    np.testing.assert_allclose(new[id_], old[pieces].mean(axis=0), rtol=1e-5)
    head = hf.read(longer).get("lm_head.weight")
    np.testing.assert_allclose(head[id_], head[pieces].mean(axis=0), rtol=1e-5)


def test_transformers_loads_it(longer):
    tokenizer = transformers.AutoTokenizer.from_pretrained(longer)
    model = transformers.AutoModelForCausalLM.from_pretrained(longer)
    assert model.config.vocab_size == SIZE == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    ours = language_model.load(longer)
    text = HINDI.read_text(encoding="utf-8")[:600]
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert ids == ours.tokenizer.encode(text)
    assert max(ids) >= 3000 > max(ours.tokenizer.encode("two cups of tea"))
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits.numpy()
    actual = small_llama.apply(ours.module, ours.params, np.array([ids]))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-3)


def test_formats_agree(tiny_model, longer, tmp_path):
    extend.extend(tiny_model.native, [HINDI], tmp_path / "native", size=SIZE)
    extend.extend(tiny_model.native, [HINDI], tmp_path / "hf", size=SIZE, to="hf")
    conversion.convert(tmp_path / "native", tmp_path / "converted", to="hf")
    for path in (tmp_path / "hf", tmp_path / "converted"):
        for name in ("model.safetensors", "tokenizer.json", "config.json"):
            assert (path / name).read_bytes() == (longer / name).read_bytes()
    record = json.loads((tmp_path / "native" / new_rows.FILE).read_text())
    assert record["old_tokens"] == tiny_model.config.vocab_size
    assert record["tokens"] == SIZE
    # Nothing was trained on the new rows yet, so that they stay new beside those of more.
    checkpoint = tmp_path / "native" / "checkpoint_0"
    extend.extend(checkpoint, [GREEK], tmp_path / "more", size=SIZE + 64)
    record = json.loads((tmp_path / "more" / new_rows.FILE).read_text())
    assert record["old_tokens"] == tiny_model.config.vocab_size
    assert record["tokens"] > SIZE


def test_a_tied_model_in_half_precision(tmp_path):
    tokenizer = configured.load(resources.path("samples") / "tokenizer.model")
    # Four rows that no token has yet.
    config = dataclasses.replace(
        small_llama.CONFIG, vocab_size=tokenizer.vocab_size + 4, tied_embeddings=True
    )
    params = jax.device_get(small_llama.init(Llama(config)))
    hf.export_hf(params, config, tmp_path / "base", tokenizer, dtype="bfloat16")
    done = extend.extend(tmp_path / "base", [HINDI], tmp_path / "out", size=SIZE, method="random")
    assert (done.old, done.new) == (tokenizer.vocab_size, SIZE - tokenizer.vocab_size)
    source = hf.read(tmp_path / "out")
    assert {*source.dtypes.values()} == {"bfloat16"}
    assert "lm_head.weight" not in source.shapes
    old, new = np.split(embedding(tmp_path / "out"), [tokenizer.vocab_size])
    np.testing.assert_array_equal(old, embedding(tmp_path / "base")[: tokenizer.vocab_size])
    assert new.std() == pytest.approx(old.std(), rel=0.1)
    other = extend.extend(
        tmp_path / "base", [HINDI], tmp_path / "b", size=SIZE, method="random", seed=1
    )
    assert other.new == done.new
    assert not np.array_equal(embedding(tmp_path / "b"), embedding(tmp_path / "out"))


def test_of_several_dtypes_none_is_rounded(tiny_model, tmp_path):
    conversion.convert(
        tiny_model.native, tmp_path / "base", to="hf", dtype="bfloat16", max_shard_size="300KB"
    )
    shards = sorted((tmp_path / "base").glob("*.safetensors"))
    weights = safetensors.torch.load_file(shards[-1])
    whole = {name: tensor.float() + 1e-6 for name, tensor in weights.items()}
    safetensors.torch.save_file(whole, shards[-1], metadata={"format": "pt"})
    assert {*hf.read(tmp_path / "base").dtypes.values()} == {"bfloat16", "float32"}
    extend.extend(tmp_path / "base", [HINDI], tmp_path / "out", size=SIZE)
    before, after = hf.read(tmp_path / "base"), hf.read(tmp_path / "out")
    for name in whole:
        np.testing.assert_array_equal(after.get(name)[: len(before.get(name))], before.get(name))


def run(capsys, *arguments):
    code = cli.main(["vocab", "extend", *map(str, arguments)])
    return code, capsys.readouterr()


def test_the_command(tiny_model, tmp_path, capsys):
    arguments = [tiny_model.native, HINDI, HINDI, "--size", SIZE, tmp_path / "out"]
    code, printed = run(capsys, *arguments)
    assert code == 0, printed.err
    assert "3,000 tokens and 200 new ones, in Devanagari" in printed.out
    assert "warning" not in printed.err
    assert formats.detect(tmp_path / "out") == "native"


def test_text_of_the_wrong_script_is_warned_of(tiny_model, tmp_path, capsys):
    text = HINDI.read_text(encoding="utf-8")
    (tmp_path / "x.txt").write_text(text + "English words " * 20_000, encoding="utf-8")
    code, printed = run(
        capsys, tiny_model.native, tmp_path / "x.txt", tmp_path / "out", "--size", SIZE
    )
    assert code == 0
    [line] = printed.err.splitlines()
    assert "2% of its letters are Devanagari; tokens are learnt from those alone" in line


def test_latin_script_needs_what_is_kept(tiny_model, tmp_path, capsys):
    documents = world.World().documents("documents")
    text = "\n\n".join(world.World().text(next(documents), "qaa") for _ in range(50))
    (tmp_path / "qaa.txt").write_text(text, encoding="utf-8")
    arguments = [tiny_model.native, tmp_path / "qaa.txt", tmp_path / "out", "--size", 3072]
    code, printed = run(capsys, *arguments)
    assert code == 2 and "English text whose tokens are to stay: --keep" in printed.err
    hindi, english = (resources.path("samples") / n for n in ("wikipedia.hi.txt", "alpaca.jsonl"))
    code, printed = run(capsys, *arguments, "--keep", hindi)
    assert code == 2 and "wikipedia.hi.txt: most of its letters are Devanagari" in printed.err
    code, printed = run(capsys, *arguments, "--keep", tmp_path / "qaa.txt")
    assert code == 2 and "the text gives 0 that --keep leaves free; give" in printed.err
    assert not (tmp_path / "out").exists()
    code, printed = run(capsys, *arguments, "--keep", english)
    assert code == 0, printed.err
    assert "3,000 tokens and 72 new ones, in Latin" in printed.out
    before, after = (configured.find(path) for path in (tiny_model.native, tmp_path / "out"))
    assert after.encode(text) != before.encode(text)
    for record in map(json.loads, english.read_text(encoding="utf-8").splitlines()):
        assert after.encode(record["output"]) == before.encode(record["output"])


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--size", 2900], "--size: 2,944 leaves no room for a new token, as .* has 3,000 rows"),
        (
            ["--size", 10**6],
            "997,064 new tokens, .* gives [0-9,]+; give more text, or --size [0-9]+$",
        ),
    ],
)
def test_bad_sizes(tiny_model, tmp_path, capsys, flags, message):
    code, printed = run(capsys, tiny_model.native, HINDI, tmp_path / "out", *flags)
    assert code == 2
    [line] = printed.err.splitlines()
    assert re.search(message, line)
    assert list(tmp_path.iterdir()) == []


def test_no_text_is_written_over(tiny_model, tmp_path, capsys):
    text = tmp_path / "data" / "hi.txt"
    text.parent.mkdir()
    text.write_bytes(HINDI.read_bytes())
    for out in (text, text.parent):
        arguments = [tiny_model.native, HINDI, text, out, "--size", SIZE, "--overwrite"]
        code, printed = run(capsys, *arguments)
        assert code == 2 and "what is read; choose another place" in printed.err
    assert text.is_file()


def test_fewer_rows_than_tokens(tiny_model, tmp_path, capsys):
    shutil.copytree(tiny_model.native, tmp_path / "model")
    config = tmp_path / "model" / "model_config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "vocab_size": 2944}))
    code, printed = run(capsys, tmp_path / "model", HINDI, tmp_path / "out", "--size", SIZE)
    assert code == 2 and "has 3,000 tokens, the network 2,944 rows" in printed.err


def test_bad_places(tiny_model, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    for model, text, out, message in (
        (tiny_model.native, HINDI, "out", "exists already"),
        (tiny_model.native, tmp_path / "no.txt", "new", "no such file"),
        (tmp_path / "none", HINDI, "new", "no such file or directory"),
        (HINDI, HINDI, "new", "not a checkpoint"),
    ):
        code, printed = run(capsys, model, text, tmp_path / out, "--size", SIZE)
        assert code == 2
        [line] = printed.err.splitlines()
        assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
