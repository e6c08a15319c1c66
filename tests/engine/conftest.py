import pytest

from commit_t5x.engine import layerwise


@pytest.fixture
def passes(monkeypatch):
    """The sizes of passes over more than one token, [rows, tokens], as they come."""
    sizes, hidden = [], layerwise.hidden

    def spy(module, params, cache, tokens, *args, **options):
        if tokens.shape[1] > 1:
            sizes.append(tokens.shape)
        return hidden(module, params, cache, tokens, *args, **options)

    monkeypatch.setattr(layerwise, "hidden", spy)
    return sizes
