"""What the paper's code computes, told again as plainly as can be, with nothing of this project.

Tests of the data path, tests/data/test_paper_fidelity.py before all, hold the project against it.
It is written from the facts alone: loops and lists, one text at a time, no care for speed. Where
the paper's code draws at random, this one takes the one case in which nothing is random: every word
has a single translation, and every word that is found is replaced.
"""

import unicodedata

import numpy as np

# ---------------------------------------------------------------------------------------- mixing


def read_dictionary(path):
    """Reads `source<TAB>target`, else `source target`: {source: [targets in the file's order]}."""
    dictionary = {}
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            line = line.rstrip("\r\n")
            if not line:
                continue
            if "\t" in line:
                source, target = line.split("\t")
            else:
                source, target = line.split(" ")
            if source not in dictionary:
                dictionary[source] = []
            dictionary[source].append(target)
    return dictionary


def is_space(character):
    return character in " \t\n\r" or unicodedata.category(character) == "Zs"


def is_punctuation(character):
    if ord(character) < 128:
        letter = "a" <= character <= "z" or "A" <= character <= "Z"
        digit = "0" <= character <= "9"
        return not letter and not digit and character != " "
    return unicodedata.category(character)[0] == "P"


def mix_piece(piece, one_translation):
    start = 0
    while start < len(piece) and (is_space(piece[start]) or is_punctuation(piece[start])):
        start += 1
    if start == len(piece):
        return piece  # nothing but white space and punctuation
    end = len(piece)
    while is_space(piece[end - 1]) or is_punctuation(piece[end - 1]):
        end -= 1
    word = piece[start:end]
    if word in one_translation:
        word = one_translation[word]
    return piece[:start] + word + piece[end:]


def mix(text, one_translation):
    """Replaces every word that is found: one_translation is {source: target}."""
    return " ".join(mix_piece(piece, one_translation) for piece in text.split(" "))


# ---------------------------------------------------------------------------------------- prompts


def prompt(instruction, input_):
    if input_ == "":
        return (
            "Below is an instruction that describes a task. Write a response that appropriately "
            "completes the request.\n"
            "\n"
            "### Instruction:\n" + instruction + "\n"
            "\n"
            "### Response:"
        )
    return (
        "Below is an instruction that describes a task, paired with an input that provides "
        "further context. Write a response that appropriately completes the request.\n"
        "\n"
        "### Instruction:\n" + instruction + "\n"
        "\n"
        "### Input:\n" + input_ + "\n"
        "\n"
        "### Response:"
    )


def plain(example, one_translation):
    """Alpaca as it is: (prompt, response)."""
    return prompt(example["instruction"], example["input"]), example["output"]


def blocked(example, one_translation):
    """COMMIT: the fields are mixed one by one, and the template is filled with the results."""
    mixed_instruction = mix(example["instruction"], one_translation)
    mixed_input = mix(example["input"], one_translation)
    return prompt(mixed_instruction, mixed_input), mix(example["output"], one_translation)


def unblocked(example, one_translation):
    """Naive code-mix: the filled prompt is mixed as one text, then the output."""
    filled = prompt(example["instruction"], example["input"])
    return mix(filled, one_translation), mix(example["output"], one_translation)


# ------------------------------------------------------------------------------ tokens and mask


def tokens_of_example(processor, prompt_text, response):
    """Returns (tokens, mask) of one example; processor is a SentencePieceProcessor."""
    bos, eos = processor.bos_id(), processor.eos_id()
    tokens = [bos] + processor.encode(prompt_text + response) + [eos]
    # The prompt's length is measured with BOS and with EOS.
    prompt_alone = [bos] + processor.encode(prompt_text) + [eos]
    mask = []
    for place in range(len(tokens)):
        mask.append(0 if place < len(prompt_alone) else 1)
    return tokens, mask


def tokens_of_document(processor, text):
    """Returns (tokens, mask) of one document: BOS and EOS twice, loss on all but the first BOS."""
    bos, eos = processor.bos_id(), processor.eos_id()
    tokens = [bos, bos] + processor.encode(text) + [eos, eos]
    return tokens, [0] + [1] * (len(tokens) - 1)


# --------------------------------------------------------------------------------------- packing


def batches(examples, rows, length):
    """Yields (inputs, targets, mask), each [rows, length], cut from the examples put end to end.

    examples yields (tokens, mask) without end. A token's target is the one after it; the last
    token of a batch, which has no target in it, is the first of the next batch.
    """
    size = rows * length
    all_tokens, all_masks = [], []
    for tokens, mask in examples:
        all_tokens = all_tokens + tokens
        all_masks = all_masks + mask
        while len(all_tokens) > size:
            inputs = np.array(all_tokens[:size]).reshape(rows, length)
            targets = np.array(all_tokens[1 : size + 1]).reshape(rows, length)
            mask_of_targets = np.array(all_masks[1 : size + 1]).reshape(rows, length)
            yield inputs, targets, mask_of_targets
            all_tokens = all_tokens[size:]
            all_masks = all_masks[size:]


def over_and_over(examples):
    """Epoch after epoch, in the same order."""
    while True:
        yield from examples


# ------------------------------------------------------------------------------------------ loss


def token_losses(logits, targets):
    """Returns -log of the softmax at the target, for one row: [length, vocab], [length]."""
    losses = []
    for scores, target in zip(np.asarray(logits, np.float64), targets, strict=True):
        shifted = scores - scores.max()
        losses.append(np.log(np.exp(shifted).sum()) - shifted[target])
    return losses


def batch_loss(losses, mask):
    """Returns the mean over rows of each row's mean over its loss-bearing tokens.

    losses and mask are lists of rows; a row without a loss-bearing token counts 0.
    """
    means = []
    for row_losses, row_mask in zip(losses, mask, strict=True):
        bearing = [loss for loss, bears in zip(row_losses, row_mask, strict=True) if bears]
        means.append(sum(bearing) / len(bearing) if bearing else 0.0)
    return sum(means) / len(means)
