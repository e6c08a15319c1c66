"""What is said where the memory of a device or of the host doesn't do."""

import re
import sys

_TRAINING = (
    "`commit-t5x plan --fit` tells what fits: REMAT_POLICY='full', DTYPE='bfloat16', more "
    "NUM_MICROBATCHES, a lower SEQUENCE_LENGTH or BATCH_SIZE, NUM_PARTITIONS=None over several "
    "devices, --gin_file=adafactor.gin, or --gin_file=lora.gin, then with BASE_DTYPE='int8'"
)
_ANSWERING = "lower {} or the tokens of an answer, or set DTYPE='bfloat16'"
_OF_GIN = (
    f"{_ANSWERING.format('BATCH_SIZE')}; spread the network by NUM_PARTITIONS=None over several "
    "devices, or read factors over their base as it was trained by --gin_file=lora.gin"
)
_REMEDIES = {
    "train": _TRAINING,
    "plan": _TRAINING,
    "eval": _OF_GIN,
    "infer": _OF_GIN,
    "lm-eval": _ANSWERING.format("--batch_size"),
}


def message(error: BaseException, command: str) -> str | None:
    """Returns what to say of an error of a command; None if it isn't one of memory.

    Example:
      >>> message(MemoryError("Unable to allocate 8.00 GiB for an array"), "infer")
      "out of memory: Unable to allocate 8.00 GiB for an array; lower BATCH_SIZE or ..."
    """
    text = str(error)
    if isinstance(error, MemoryError):
        what = text.partition("\n")[0] or "the host has no more"
    elif "RESOURCE_EXHAUSTED" in text and type(error).__name__.endswith("RuntimeError"):
        what = _of_device(text)
    else:
        return None
    remedy = _REMEDIES.get(command, "run it where there is more")
    return f"out of memory: {what}; {remedy}"


def _of_device(text: str) -> str:
    asked = re.search(r"allocat\w* (\d+) bytes|allocat\w* ([\d.]+ ?[KMGT]i?B)", text)
    what = text.partition("RESOURCE_EXHAUSTED:")[2].partition("\n")[0].strip().rstrip(".")
    if asked:
        what = f"{_size(asked[1])} more were needed" if asked[1] else f"{asked[2]} more were needed"
    jax = sys.modules.get("jax")
    stats = jax.local_devices()[0].memory_stats() if jax else None
    if stats and "bytes_limit" in stats:
        what += f", the device has {_size(stats['bytes_limit'])}"
    return what


def _size(number: str | int) -> str:
    return f"{int(number) / 2**30:,.2f} GiB"
