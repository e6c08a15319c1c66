import json

import pytest

from commit_t5x import cli, resources
from commit_t5x.extension import report
from commit_t5x.vocabularies import configured

SAMPLES = resources.path("samples")


@pytest.fixture
def text(tmp_path):
    (tmp_path / "x.txt").write_text("tea ௵ tea\n\nwater", encoding="utf-8")
    return str(tmp_path / "x.txt")


def test_by_hand(text):
    tokenizer = configured.load(SAMPLES / "tokenizer.model")
    ids = [*tokenizer.encode("tea ௵ tea"), *tokenizer.encode("water")]
    found = report.measure(text, "t", tokenizer)
    assert (found.words, found.tokens) == (4, len(ids))
    assert found.tokens_a_word == len(ids) / 4
    assert found.tokens_a_character == len(ids) / 14
    assert found.bytes_a_token == 16 / len(ids)
    assert found.byte_tokens == 3 / len(ids)  # ௵ in UTF-8
    several = sum(len(tokenizer.encode(word)) > 1 for word in ("tea", "tea", "௵", "water"))
    assert found.continued_words == several / 4
    assert found.words_a_row == 512 * 4 // len(ids)


def test_byte_level(tmp_path, text):
    import byte_level

    tokenizer = configured.load(byte_level.smollm(tmp_path))
    found = report.measure(text, "t", tokenizer)
    parts = [t for t in map(tokenizer.tokens().__getitem__, tokenizer.encode("௵")) if t != "Ġ"]
    assert found.byte_tokens == len(parts) / found.tokens
    assert found.bytes_a_token == 16 / found.tokens


def run(capsys, *arguments):
    code = cli.main(["vocab", "report", *map(str, arguments)])
    return code, capsys.readouterr()


def test_the_command(tiny_model, tmp_path, capsys):
    hindi, greek = (SAMPLES / f"wikipedia.{code}.txt" for code in ("hi", "el"))
    plot = tmp_path / "plot.png"
    code, printed = run(
        capsys, tiny_model.native, hindi, greek, "--beside", tiny_model.exported, "--plot", plot
    )
    assert code == 0
    assert printed.out.count("exported") == 2
    assert "wikipedia.el.txt" in printed.out and "words in 512" in printed.out
    assert plot.read_bytes().startswith(b"\x89PNG")
    code, printed = run(capsys, tiny_model.native, hindi, greek, "--json")
    lines = json.loads(printed.out)
    assert [line["text"] for line in lines] == [str(hindi), str(greek)]
    assert lines[0]["tokens_a_word"] == lines[0]["tokens"] / lines[0]["words"]


@pytest.mark.parametrize("place", ["none", "x.txt"])
def test_bad_input(place, text, tmp_path, capsys):
    code, printed = run(capsys, tmp_path / place, text)
    assert code == 2
    assert len(printed.err.splitlines()) == 1
    code, printed = run(capsys, SAMPLES / "tokenizer.model", text, "--plot", tmp_path)
    assert code == 2 and "is a folder" in printed.err
    code, printed = run(capsys, SAMPLES / "tokenizer.model", text, "--plot", tmp_path / "x.jpg")
    assert code == 2 and "x.jpg: only PNG is drawn" in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_a_plot_replaces_no_text(tmp_path, capsys):
    text = tmp_path / "hi.txt"
    text.write_text("चाय", encoding="utf-8")
    assert cli.main(["vocab", "report", "samples", str(text), "--plot", str(text)]) == 2
    assert f"--plot: {text} is what is read" in capsys.readouterr().err
    assert text.read_text(encoding="utf-8") == "चाय"
