"""What a run trains on, made visible: examples, what was replaced in them, and the mix report."""
