"""Our own checkpoints, which are T5X's: Orbax, with the weights below state/target."""

import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from commit_t5x.conversion import arrays, native_names, rules
from commit_t5x.conversion.formats import Header, Put, Source
from commit_t5x.engine import adapters, checkpoints, merged_weights, model_files
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig

RULES = native_names.RULES
_CONCURRENT_CHUNKS = 2  # of 16 MiB


def recognises(path: pathlib.Path) -> bool:
    """Returns whether `path` is a model directory with checkpoints, or a checkpoint_N folder."""
    return (path / "state").is_dir() or bool(checkpoints.all_steps(path))


def read(
    path: pathlib.Path, config: LlamaConfig | None = None, quantized_base: bool = False
) -> Source:
    """Opens a model directory, for its latest checkpoint, or a checkpoint_N folder.

    Args:
      path: of the directory.
      config: of the model, where no model_config.json beside the checkpoint says it.
      quantized_base: see adapters.open_params.

    Raises:
      InputError: there is no checkpoint, it is damaged, its configuration is missing or another
        one, or the base of its factors is gone or another one.
    """
    folder, weights = adapters.open_params(path, quantized_base)
    try:
        model_files.check_config(folder.parent, config)
    except InputError as error:
        raise InputError(f"--config: {str(error).partition(';')[0]}; leave it out") from error
    source = native_names.source(
        name=str(folder),
        leaves=weights,
        config=config or model_files.read_config(folder.parent),
        find_tokenizer=lambda: model_files.tokenizer(folder.parent),
        read=merged_weights.Reader(str(folder)),
    )
    adapter = adapters.read(folder.parent)
    notes, bases = _notes(adapter, quantized_base), adapters.bases(adapter)
    return dataclasses.replace(source, notes=notes, bases=bases)


def _notes(adapter: adapters.Adapter | None, quantized_base: bool) -> list[str]:
    """Returns what to tell of a merge; raises InputError where there is nothing to merge."""
    if adapter is None:
        if quantized_base:
            raise InputError("--quantized-base: is for low-rank factors alone; leave it out")
        return []
    kept = adapter.lora.base_dtype
    if quantized_base or kept == "float32":
        return [f"low-rank factors are merged into {adapter.base}, in {kept}"]
    return [
        f"low-rank factors are merged into {adapter.base}; training had it in {kept}, and "
        "--quantized-base merges into that"
    ]


@contextlib.contextmanager
def write(
    dst: pathlib.Path, shapes: Mapping[str, tuple[int, ...]], header: Header
) -> Iterator[Put]:
    """Writes a model directory with weights only, as checkpoint_0.

    Args:
      dst: the directory.
      shapes: of the tensors by name, as RULES has them.
      header: see Header.
    """
    places = {
        entry.foreign: (entry.path, entry.index) for entry in rules.plan(RULES, header.config)
    }
    _, stores = checkpoints.create_params(dst, rules.native_shapes(header.config))
    model_files.write(dst, header.config, header.tokenizer)

    def put(name: str, tensor: np.ndarray) -> None:
        path, index = places[name]
        store = stores[path] if index is None else stores[path][index]
        chunk = store.chunk_layout.write_chunk.shape
        pending = collections.deque()
        for tile in arrays.tiles(store.shape, chunk):
            piece = arrays.converted(tensor[tile], "float32", name)
            if len(pending) == _CONCURRENT_CHUNKS:
                pending.popleft().result()
            # The default is to copy it first.
            pending.append(store[tile].write(piece, can_reference_source_data_indefinitely=True))
        for future in pending:
            future.result()

    yield put
