"""Small SentencePiece models."""

import io

import sentencepiece


def train_model(path, **options):
    """Trains a SentencePiece model, by default of a few pieces."""
    model = io.BytesIO()
    few = {"sentence_iterator": iter(["tea water", "water tea"]), "vocab_size": 24}
    defaults = {**few, "hard_vocab_limit": False, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(model_writer=model, **{**defaults, **options})
    path.write_bytes(model.getvalue())
    return path
