"""What a training step needs on a TPU slice, found out without one."""
