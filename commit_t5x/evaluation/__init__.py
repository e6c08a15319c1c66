"""Scores: lm-eval's tasks and model, the metrics, and the tables made of the results."""
