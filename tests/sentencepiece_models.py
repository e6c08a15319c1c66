"""Small SentencePiece models."""

import io

import sentencepiece


def train_model(path, **options):
    """Trains a SentencePiece model of a few pieces."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["tea water", "water tea"]),
        model_writer=model,
        **{"vocab_size": 24, "hard_vocab_limit": False, "minloglevel": 2, **options},
    )
    path.write_bytes(model.getvalue())
    return path
