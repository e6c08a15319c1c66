"""Text to tokens: SentencePiece and Hugging Face tokenizers as SeqIO vocabularies."""
