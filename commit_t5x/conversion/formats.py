"""The table of checkpoint formats, and what a format's module offers to the converter.

A format is a module of this package with

    RULES: Sequence[Rule]                      pairs its tensors with ours, see rules.Rule
    recognises(path) -> bool                   whether `path` looks like one; reads no weights
    read(path) -> Source                       opens one; reads no weights either; where a
                                               line of FORMATS says so, read(path, config=None)
    write(dst, shapes, header)                 where it can be written: a context manager that
                                               gives the function `put(name, tensor)`

The converter knows nothing else of a format. One thread goes through a source's tensors in the
order of `Source.shapes`, and a few others hand them to `put`, so that few are in memory at a time.
"""

import dataclasses
import functools
import importlib
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from commit_t5x.conversion import arrays
from commit_t5x.conversion.rules import Rule
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.vocabularies.tokenizer import Tokenizer, check_fits

SHARD_SIZE = "5GB"  # of exported weight files, by default


@dataclasses.dataclass(frozen=True)
class Source:
    """A checkpoint that is open for reading, in its own names and layout.

    Attributes:
      name: for error messages: the file or directory.
      config: of the model. What a format can't say and the caller didn't give is an InputError
        of `read`.
      rules: the format's RULES.
      shapes: of each tensor by its foreign name, in the order that reads fastest. Tensors that are
        no weights (tables of rotary frequencies, a copy of the tied embedding) are left out by
        `read`; any other that has no rule is an error.
      get: returns one tensor, in any floating dtype, C order or not. A file that is mapped into
        memory must be let go of with the array, since its pages count as memory till then.
      dtypes: of each tensor as the file stores it, e.g. "bfloat16" or "Q4_K"; for --dry-run.
      find_tokenizer: returns what `tokenizer` is, when it is asked for: a broken one doesn't matter
        where the user names another.
      notes: lines for the user, about what was left out or assumed.
      bases: checkpoints that low-rank factors are merged into.

    Raises (by `get`):
      InputError: the file ends too early, or isn't what its header says.

    Example:
      >>> source = hf.read(pathlib.Path("llama7b_hf"))
      >>> source.shapes["model.norm.weight"], source.get("model.norm.weight").dtype
      ((4096,), dtype('float32'))
    """

    name: str
    config: LlamaConfig
    rules: Sequence[Rule]
    shapes: Mapping[str, tuple[int, ...]]
    get: Callable[[str], np.ndarray]
    dtypes: Mapping[str, str]
    find_tokenizer: Callable[[], Tokenizer | None] = lambda: None
    notes: Sequence[str] = ()
    bases: Sequence[str] = ()

    @functools.cached_property
    def tokenizer(self) -> Tokenizer | None:
        """What travels along, generation_config.json included; None where there is none."""
        return self.find_tokenizer()


@dataclasses.dataclass(frozen=True)
class Header:
    """What a written checkpoint holds beside its tensors.

    Attributes:
      config: of the model.
      tokenizer: see Source.
      dtype: "float32", "bfloat16" or "float16".
      max_shard_bytes: a weight file is closed before it outgrows this.
    """

    config: LlamaConfig
    tokenizer: Tokenizer | None = None
    dtype: str = "float32"
    max_shard_bytes: int = 5 * 10**9

    @classmethod
    def checked(
        cls,
        config: LlamaConfig,
        tokenizer: Tokenizer | None,
        dtype: str,
        max_shard_size: int | str,
    ) -> "Header":
        """Makes a header of a user's options.

        Args:
          config, tokenizer, dtype: see above.
          max_shard_size: in bytes, or as "500MB" or "5GB".

        Raises:
          InputError: naming the option that is out of range, or the tokenizer that doesn't fit.
        """
        if tokenizer is not None:
            check_fits(tokenizer, config.vocab_size)
        if dtype not in arrays.DTYPES:
            raise InputError(f"dtype '{dtype}': unknown; use {', '.join(arrays.DTYPES)}")
        text = str(max_shard_size).strip().upper()
        unit = text[-2:] if text[-2:] in _UNITS else ""
        number = text.removesuffix(unit)
        if not number.isdigit() or int(number) == 0:
            raise InputError(
                f"max_shard_size '{max_shard_size}': not a size; write bytes, or 500MB, or 5GB"
            )
        return cls(config, tokenizer, dtype, int(number) * _UNITS.get(unit, 1))


_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}

Put = Callable[[str, np.ndarray], None]


@dataclasses.dataclass(frozen=True)
class Format:
    """A line of the table.

    Attributes:
      writable: it has `write`.
      half: it can be written as bfloat16 and float16.
      takes_config: its files may lack a configuration, which `--config` then gives.
    """

    writable: bool = False
    half: bool = False
    takes_config: bool = False


# By the name of the module, in the order in which `detect` asks them.
FORMATS: Mapping[str, Format] = types.MappingProxyType(
    {
        "gguf": Format(),
        "meta": Format(),
        "hf": Format(writable=True, half=True),
        "native": Format(writable=True, takes_config=True),
        "peft": Format(writable=True),  # an adapter is no network: see there
        "easylm": Format(takes_config=True),
    }
)
READABLE = tuple(sorted(FORMATS))
WRITABLE = tuple(sorted(name for name, entry in FORMATS.items() if entry.writable))


def module(name: str) -> types.ModuleType:
    """Imports a format's module.

    Raises:
      InputError: there is no such format.
    """
    if name not in FORMATS:
        raise InputError(f"format '{name}': unknown; choose from {', '.join(READABLE)}")
    return importlib.import_module(f"commit_t5x.conversion.{name}")


def detect(path: pathlib.Path) -> str:
    """Returns the format that `path` looks like.

    Raises:
      InputError: none, or there is no such path.
    """
    check_exists(path)
    for name in FORMATS:
        if module(name).recognises(path):
            return name
    raise InputError(f"{path}: not a checkpoint of a known format; name it with --from")


def check_exists(path: pathlib.Path) -> None:
    """Raises InputError if there is no such file or directory."""
    # EasyLM's users write what a file holds before its name.
    if not pathlib.Path(str(path).removeprefix("params::")).exists():
        raise InputError(f"{path}: no such file or directory; name a checkpoint")
