"""The tokenizer files of a Hugging Face directory, from a tokenizer of either kind."""

import json
import pathlib

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from tokenizers import decoders, models, normalizers, processors

from commit_t5x.errors import InputError
from commit_t5x.vocabularies import tokenizer_files
from commit_t5x.vocabularies.hugging_face import HuggingFaceTokenizer

_SPACE = "▁"  # SentencePiece writes a space as this character.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4  # piece types of its protocol buffer
_BPE = 2  # model type of its protocol buffer


def export(path: pathlib.Path, out_dir: pathlib.Path, max_length: int) -> dict[str, int]:
    """Writes tokenizer.json and tokenizer_config.json, which transformers' AutoTokenizer loads.

    A tokenizer.json is written as it is. A SentencePiece model is expressed as one that puts BOS
    first by default, as LLaMA's does, and is written as tokenizer.model, too.

    Args:
      path: a tokenizer.json, with what names its BOS and EOS beside it, or a SentencePiece BPE
        model; may lie in out_dir.
      out_dir: exists.
      max_length: of the model's context, in tokens.

    Returns:
      vocab_size, bos_token_id, eos_token_id and, if there is one, pad_token_id (of a SentencePiece
      model the unknown token, as in training).

    Raises:
      InputError: the file is no such tokenizer, or a SentencePiece model with a normalisation or
        symbols that can't be expressed exactly.
    """
    if path.suffix != ".json":
        return _export_sentencepiece(path, out_dir, max_length)
    tokenizer = HuggingFaceTokenizer(path)
    for name, content in tokenizer_files.read(path).items():
        (out_dir / name).write_bytes(content)
    ids = {
        "vocab_size": tokenizer.vocab_size,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
    }
    return ids if tokenizer.pad_id is None else {**ids, "pad_token_id": tokenizer.pad_id}


def _export_sentencepiece(
    model_path: pathlib.Path, out_dir: pathlib.Path, max_length: int
) -> dict[str, int]:
    proto, processor = _load(model_path)
    unk, bos, eos = (
        processor.id_to_piece(i)
        for i in (processor.unk_id(), processor.bos_id(), processor.eos_id())
    )
    tokenizer = _build(proto, bos, processor.bos_id())
    tokenizer.save(str(out_dir / "tokenizer.json"))
    # The generic class takes tokenizer.json as it stands; transformers' LlamaTokenizer would put
    # its own space rule in place of the model's, which differs on text that begins with a space.
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": bos,
        "eos_token": eos,
        "unk_token": unk,
        "pad_token": unk,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        "padding_side": "left",  # as decoder-only generation needs it
    }
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    (out_dir / "tokenizer_config.json").write_text(text, encoding="utf-8")
    (out_dir / "tokenizer.model").write_bytes(model_path.read_bytes())
    return {
        "vocab_size": processor.get_piece_size(),
        "bos_token_id": processor.bos_id(),
        "eos_token_id": processor.eos_id(),
        "pad_token_id": processor.unk_id(),
    }


def _load(path: pathlib.Path):
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: not a readable SentencePiece model ({error})") from error
    proto = model_pb2.ModelProto.FromString(path.read_bytes())
    if proto.trainer_spec.model_type != _BPE:
        raise InputError(f"{path}: only SentencePiece models of type BPE can be exported")
    # The tokenizers package applies such rules to whole grapheme clusters, with other results on
    # combining marks.
    if proto.normalizer_spec.precompiled_charsmap:
        raise InputError(
            f"{path}: its normalisation ({proto.normalizer_spec.name}) can't be expressed exactly "
            "in tokenizer.json; use a model trained with normalization_rule_name=identity"
        )
    symbols = [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED]
    if symbols:
        raise InputError(
            f"{path}: user-defined symbols {symbols[:5]} can't be expressed in tokenizer.json; "
            "use a model trained without them"
        )
    if processor.bos_id() < 0 or processor.eos_id() < 0:
        raise InputError(f"{path}: the model defines no bos or eos id; use one trained with both")
    return proto, processor


def _build(proto, bos: str, bos_id: int) -> tokenizers.Tokenizer:
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
        for pattern, by in ((rf"\A +|[ {_SPACE}]+\z", ""), (" {2,}", " ")):
            steps.append(normalizers.Replace(tokenizers.Regex(pattern), by))
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(_SPACE))
    if spec.escape_whitespaces:
        steps.append(normalizers.Replace(" ", _SPACE))
    tokenizer.normalizer = normalizers.Sequence(steps)
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
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
    return tokenizer


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
