"""SeqIO's tasks and mixtures by name, as far as the engine asks for them."""

import seqio
import tensorflow as tf

from commit_t5x import errors
from commit_t5x.tasks import names as task_names


def get_mixture_or_task(name: str) -> seqio.Task | seqio.Mixture:
    """Returns a registered SeqIO task or mixture.

    Raises:
      InputError: there is none of that name; similar names are suggested.
    """
    # Only JAX computes on accelerators; TensorFlow would take their memory.
    tf.config.set_visible_devices([], "GPU")
    task_names.register_named(name)
    names = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in names:
        raise errors.InputError(
            f"MIXTURE_OR_TASK_NAME: no task or mixture '{name}'{errors.suggest(name, names)}"
        )
    return seqio.get_mixture_or_task(name)


def check_split(provider: seqio.Task | seqio.Mixture, split: str) -> None:
    """Raises InputError if the task or mixture has no such split."""
    # Slices such as "train[:100]" are for the data source to understand.
    if split.partition("[")[0] not in provider.splits:
        held_out = "validation" in split
        hint = ", or hold some examples out by VALIDATION_EXAMPLES" if held_out else ""
        raise errors.InputError(
            f"DatasetConfig.split: '{provider.name}' has no split '{split}'; "
            f"choose from {', '.join(sorted(provider.splits))}{hint}"
        )
