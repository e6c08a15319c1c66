"""The tokenizer files of a Hugging Face directory, from a tokenizer of either kind."""

import collections
import json
import logging

from commit_t5x.vocabularies import special_tokens
from commit_t5x.vocabularies.sentencepiece import SPACE, SentencePieceTokenizer
from commit_t5x.vocabularies.tokenizer import Tokenizer

_LOGGER = logging.getLogger(__name__)

_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3  # piece types of SentencePiece's protocol buffer
_KEPT = ("chat_template", "padding_side")  # of a tokenizer_config.json that lay with the model


def files(tokenizer: Tokenizer, max_length: int) -> dict[str, bytes]:
    """Returns a tokenizer's files, among them those that transformers' AutoTokenizer loads.

    A tokenizer.json is as it was. A SentencePiece model is expressed as one that puts BOS first by
    default, as LLaMA's does, and goes along.

    Args:
      tokenizer: of either kind.
      max_length: of the model's context, in tokens.

    Raises:
      InputError: a SentencePiece model can't be expressed exactly.
    """
    if not isinstance(tokenizer, SentencePieceTokenizer):
        return {**tokenizer.files}
    tokenizer.check_exportable()
    if tied := _tied(tokenizer.proto):
        _LOGGER.warning(
            "%s: %d pieces share their score with others, such as %r, which a tokenizer.json can't "
            "express; where they meet, transformers may cut a text into other tokens",
            *(tokenizer.path, len(tied), tied[0]),
        )
    pieces = tokenizer.tokens()
    bos, eos, unk, pad = (
        pieces[i] for i in (tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id, tokenizer.pad_id)
    )
    # The generic class takes tokenizer.json as it stands; transformers' LlamaTokenizer would put
    # its own space rule in place of the model's, which differs on text that begins with a space.
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": bos,
        "eos_token": eos,
        "unk_token": unk,
        "pad_token": pad,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        "padding_side": "left",  # as decoder-only generation needs it
    }
    config = json.loads(tokenizer.files.get(special_tokens.CONFIG, b"{}"))
    settings |= {name: config[name] for name in _KEPT if config.get(name)}
    return {
        **tokenizer.files,
        "tokenizer.json": _build(tokenizer.proto, bos, tokenizer.bos_id),
        special_tokens.CONFIG: special_tokens.to_json(settings),
    }


def _build(proto, bos: str, bos_id: int) -> bytes:
    """Returns the tokenizer.json."""
    import tokenizers  # here: not where a model is only read
    from tokenizers import decoders, models, normalizers, processors

    vocab = {piece.piece: index for index, piece in enumerate(proto.pieces)}
    unknown = next(piece.piece for piece in proto.pieces if piece.type == _UNKNOWN)
    tokenizer = tokenizers.Tokenizer(
        models.BPE(
            vocab=vocab,
            merges=_merges(proto),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=proto.trainer_spec.byte_fallback,
        )
    )
    spec = proto.normalizer_spec
    steps = []
    if spec.remove_extra_whitespaces:
        # Only at the end does SentencePiece also remove its own sign for a space.
        for pattern, by in ((rf"\A +|[ {SPACE}]+\z", ""), (" {2,}", " ")):
            steps.append(normalizers.Replace(tokenizers.Regex(pattern), by))
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    if spec.escape_whitespaces:
        steps.append(normalizers.Replace(" ", SPACE))
    tokenizer.normalizer = normalizers.Sequence(steps)
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if spec.add_dummy_prefix:
        steps.append(decoders.Strip(content=" ", left=1, right=0))
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A",
        pair=f"{bos} $A {bos}:1 $B:1",
        special_tokens=[(bos, bos_id)],
    )
    tokenizer.add_special_tokens(
        [
            tokenizers.AddedToken(piece.piece, normalized=False, special=True)
            for piece in proto.pieces
            if piece.type in (_UNKNOWN, _CONTROL)
        ]
    )
    return tokenizer.to_str().encode()


def _tied(proto) -> list[str]:
    """Returns the pieces whose order of joining `_merges` can't keep: of no score of their own."""
    normal = [piece for piece in proto.pieces if piece.type == _NORMAL and len(piece.piece) > 1]
    counts = collections.Counter(piece.score for piece in normal)
    return [p.piece for p in normal if counts[p.score] > 1 and {*p.piece} != {SPACE}]


def _merges(proto) -> list[tuple[str, str]]:
    """Returns each way to join two pieces to a third, that of the best piece first.

    SentencePiece joins the neighbours whose result scores best; tokenizers wants the order of
    joining spelled out. Among equal scores SentencePiece joins the leftmost, which matters for runs
    of spaces, whose pieces all score the same: there the longest left half goes first, so that a
    run grows from its left end.
    """
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == _NORMAL}
    merges = [
        (score, piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    merges.sort(key=lambda merge: (-merge[0], -len(merge[1])))
    return [(left, right) for _, left, right in merges]
