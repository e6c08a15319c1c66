"""What a training step needs on a TPU slice or a GPU, found out without one."""
