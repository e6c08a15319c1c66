"""`infer` as users run it, with random weights."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import chat_model
import jax
import pytest
import tiny

from commit_t5x import cli, conversion, fingerprints, resources
from commit_t5x.data import templates
from commit_t5x.engine import data_record, infer, partitioning, utils
from commit_t5x.engine.sampling import Sampling
from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.vocabularies import configured

CONFIG = llama.preset("debug", vocab_size=3072)


def command(checkpoint, *flags):
    return [
        *(sys.executable, "-m", "commit_t5x.cli", "infer", "--gin_file=evaluation/infer.gin"),
        *("--gin_file=models/debug.gin", "--gin.VOCAB_SIZE=3072", "--gin.TOKENIZER='samples'"),
        *(f"--gin.CHECKPOINT_PATH='{checkpoint}'", *flags),
    ]


def call(checkpoint, **options):
    vocabulary = configured.load(resources.path("samples") / "tokenizer.model")
    model = tiny.model(llama.Llama(CONFIG), optimizer_def=None)
    model.vocabulary = vocabulary
    return infer.infer(
        model=model,
        dataset_cfg=tiny.dataset_config(None),
        restore_checkpoint_cfg=utils.RestoreCheckpointConfig(str(checkpoint)),
        partitioner=partitioning.PjitPartitioner(devices=jax.devices()[:1]),
        **{"max_new_tokens": 8, **options},
    )


@pytest.mark.slow
def test_standard_input_to_standard_output_by_the_real_command(tmp_path, debug_model):
    flags = ["--gin.INPUT_PATH='-'", "--gin.MAX_NEW_TOKENS=8", "--gin.BATCH_SIZE=2"]
    drawn = ["--gin.TEMPERATURE=0.8", "--gin.TOP_K=40", "--gin.TOP_P=0.95", "--gin.SEED=3"]
    result = subprocess.run(
        command(debug_model, *flags, *drawn),
        input="What is tea?\n\nपानी क्या है?\r\nA third one.".encode(),
        capture_output=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr.decode()
    lines = [json.loads(line) for line in result.stdout.decode().splitlines()]
    assert [line["prompt"] for line in lines] == ["What is tea?", "पानी क्या है?", "A third one."]
    assert len({line["prediction"] for line in lines}) == 3
    assert list(tmp_path.iterdir()) == []  # nothing but the answers is written
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": line["prompt"]}) + "\n" for line in lines))
    again = call(debug_model, input_path=str(prompts), sampling=Sampling(0.8, 40, 0.95), seed=3)
    assert again == lines


def test_instructions_are_put_into_the_prompt_of_training(tmp_path, debug_model, capsys):
    records = [
        {"instruction": "Translate.", "input": "tea", "id": 7},
        {"instruction": "Name a colour.", "input": ""},
    ]
    path = tmp_path / "instructions.json"
    path.write_text(json.dumps(records))
    lines = call(debug_model, input_path=str(path), instructions=True)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == lines
    assert [line["prompt"] for line in lines] == ["Translate.", "Name a colour."]
    assert lines[0]["id"] == 7
    prompts = [templates.get_prompts().choose(record).render(record).text for record in records]
    path.write_text(json.dumps([{"prompt": prompt} for prompt in prompts]))
    as_prompts = call(debug_model, input_path=str(path))
    assert [line["prediction"] for line in as_prompts] == [line["prediction"] for line in lines]
    assert "tea" in prompts[0]


def test_other_prompts_than_those_of_training_are_told(tmp_path, caplog, bind):
    def told(trained):
        caplog.clear()
        data_record.write(tmp_path, 0, trained)
        infer._compare_prompts(tmp_path)
        return caplog.text

    with fingerprints.recording() as greek:
        templates.get_prompts("el")
    assert "PROMPT_LANGUAGE: the checkpoint was trained on other prompts" in told(greek)
    bind("get_prompts.language", "el")
    assert not told(greek)
    assert not told({})  # as of Wikipedia


def test_standard_input_that_is_not_utf8(debug_model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"good\n\xff\xfe\n")))
    with pytest.raises(InputError, match="standard input:2: not UTF-8"):
        call(debug_model, input_path="-")


def test_standard_input_into_a_file(tmp_path, debug_model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    options = {"output_dir": str(tmp_path), "summarize_config_fn": lambda *_: None}
    lines = call(debug_model, input_path="-", num_examples=1, **options)
    assert [json.loads(line) for line in (tmp_path / "stdin.jsonl").open()] == lines
    assert len(lines) == 1


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, arguments, cwd):
        self._master, slave = pty.openpty()
        # In the background of a shell the signal is ignored, and so by all that is started there.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            arguments,
            stdin=slave,
            stdout=slave,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            env={**os.environ, "TERM": "dumb"},
            start_new_session=True,
        )
        signal.signal(signal.SIGINT, before)
        os.close(slave)
        self._text = ""

    def type(self, text):
        os.write(self._master, text.encode())

    def interrupt(self):
        """What a terminal does on Ctrl-C; this one is not the session's controlling one."""
        self.process.send_signal(signal.SIGINT)

    def wait_for(self, pattern, seconds=120):
        """Returns the text up to the end of the pattern's first match, once it is there."""
        end = time.monotonic() + seconds
        while (found := re.search(pattern, self._text, re.DOTALL)) is None:
            left = max(end - time.monotonic(), 0)
            assert select.select([self._master], [], [], left)[0], f"no {pattern!r}: {self._text!r}"
            self._text += os.read(self._master, 4096).decode("utf-8", errors="replace")
        text, self._text = self._text[: found.end()], self._text[found.end() :]
        return text


def test_conversation_on_a_terminal(tmp_path, debug_model):
    flags = ["--interactive", "--gin.MAX_NEW_TOKENS=1500"]
    terminal = Terminal(command(debug_model, *flags), tmp_path)
    assert "Ctrl-D leaves" in terminal.wait_for("> ")
    # The answer comes in parts, and ends where it is interrupted: uninterrupted it takes longer. On
    # a busy machine the signal may come too late, or be lost: Python drops what a callback of the
    # garbage collector raises, and JAX has one.
    for _ in range(5):
        terminal.type("What is tea?\n")
        terminal.wait_for(r"tea\?\r\n.{20}")
        terminal.interrupt()
        if len(terminal.wait_for("\n> ")) < 1000:
            break
    else:
        pytest.fail("no answer ends where it is interrupted")
    terminal.type("\n")
    terminal.wait_for("> ")
    time.sleep(1)  # a signal between the prompt and the wait for a key counts with the next key
    terminal.interrupt()
    terminal.wait_for("> ")
    terminal.type("And coffee?\n")
    terminal.wait_for(r"coffee\?\r\n.{20}")
    terminal.interrupt()
    terminal.wait_for("\n> ")
    terminal.type("\x04")
    assert terminal.process.wait(timeout=60) == 0


def test_network_tokenizer_and_eos_are_the_checkpoints(tmp_path, capsys, bind):
    model, prompts = tmp_path / "it's a [model] #1 100%", tmp_path / "prompts.txt"
    conversion.convert(chat_model.write(tmp_path), model, to="native")
    prompts.write_text(chat_model.PROMPT)
    macros = {"CHECKPOINT_PATH": str(model), "INPUT_PATH": str(prompts), "MAX_NEW_TOKENS": 8}
    flags = [f"--gin.{name}={value!r}" for name, value in macros.items()]
    command = ["infer", "--gin_file=evaluation/infer.gin", *flags]
    assert cli.main(command) == 0
    assert json.loads(capsys.readouterr().out)["prediction"] == chat_model.ANSWER
    for contradiction, message in (
        (
            "--gin_file=models/debug.gin",
            "in the checkpoint and .* in the network; choose",
        ),
        ("--gin.VOCAB_SIZE=7", "VOCAB_SIZE: 7, but that of .* leave it out"),
        ("--gin.TOKENIZER='samples'", "the tokenizer has 3,000 tokens, the network .* rows; use"),
    ):
        assert cli.main([*command, contradiction]) == 2
        assert re.search(message, capsys.readouterr().err)
