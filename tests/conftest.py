"""What tests of several modules share."""

import contextlib
import gc
import importlib.metadata
import importlib.util
import os
import resource
import sys
import tempfile

import gin
import hypothesis
import pytest

# Before JAX is loaded, and for the commands that tests start: code that runs a few times is not
# worth optimising, nor emitting through MLIR and in parts for several threads, which triples the
# time that XLA takes over a program. (It ends a process that names a flag it doesn't know.)
_XLA_FLAGS = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if importlib.metadata.version("jaxlib").startswith("0.10."):
    _XLA_FLAGS.append("--xla_cpu_use_fusion_emitters=false")  # later ones have no other emitters
os.environ.setdefault("XLA_FLAGS", " ".join(_XLA_FLAGS))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# What one test has compiled serves the others, in both workers and in the commands that they start.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _CACHE = tempfile.TemporaryDirectory()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"

# What the tests import is a million objects that stay: a tenth of the time would go into looking
# through them for garbage, again and again.
gc.disable()


def pytest_collection_finish():
    gc.enable()
    gc.freeze()
    # Traces and graphs that tests make are many and stay, too: collections of all generations, at
    # the usual threshold, are a twentieth of the time.
    gc.set_threshold(700, 10, 100)
    # Nor are pipelines that yield a few batches: half of the time in which one starts goes into it.
    if tensorflow := sys.modules.get("tensorflow"):
        tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


# The tests compare what TensorFlow feeds with what torch computes, in one process, as no command
# does. Linux's usual torch brings triton, which it loads late; loaded after TensorFlow, whose LLVM
# options it registers again, it aborts the process. The other order works.
if importlib.util.find_spec("triton") is not None:
    import triton  # noqa: F401

# A busy machine may take longer over an example than hypothesis allows by default. Fifty examples
# find what its hundred do.
hypothesis.settings.register_profile("patient", deadline=None, max_examples=50)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True, scope="module")
def without_gin():
    """Forgets what another module's tests have configured."""
    gin.clear_config()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """See answering_model.write."""
    import answering_model  # here, as most tests need no JAX

    return answering_model.write(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def debug_model(tmp_path_factory):
    """See small_llama.write."""
    import small_llama  # here, too

    return small_llama.write(tmp_path_factory.mktemp("debug"))


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


@pytest.fixture
def samples(bind, locate):
    """Binds the shipped samples; what isn't bound besides is as the paper has it."""
    locate(alpaca="samples", wikipedia="samples", xquad="samples")
    bind("load_dictionary.directory", "samples")
    bind("get_vocabulary.tokenizer", "samples")


@pytest.fixture
def full_disk():
    """`with full_disk(size):` lets no file grow beyond `size` bytes, where writing fails."""

    @contextlib.contextmanager
    def full_disk(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full_disk


@pytest.fixture
def as_nobody():
    """Permissions don't bind root: where the tests run as root, this one doesn't."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)
