"""What tests of several modules share."""

import os

import gin
import hypothesis
import pytest

# Before JAX is loaded, and for the commands that tests start: code that runs a few times is not
# worth optimising.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# A busy machine may take longer over an example than hypothesis allows by default.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def bind():
    """`gin.bind_parameter` on an empty configuration, which is emptied again afterwards."""
    gin.clear_config()
    yield gin.bind_parameter
    gin.clear_config()


@pytest.fixture
def locate(bind):
    """Sets fields of `sources.Locations`: `locate(alpaca=path)`."""

    def locate(**locations):
        for name, location in locations.items():
            value = location if isinstance(location, int) else str(location)
            bind(f"sources.Locations.{name}", value)

    return locate
