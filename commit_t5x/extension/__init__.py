"""A longer vocabulary: what a tokenizer costs a language, new tokens for it, rows for those."""
