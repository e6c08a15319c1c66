"""How lm-eval is to generate answers: the options that `--gen_kwargs` gives."""

from collections.abc import Mapping, Sequence
from typing import Any

from commit_t5x import ranges, signatures
from commit_t5x.errors import InputError, suggest


def _options(
    until: str | Sequence[str] = "",
    do_sample: bool = False,
    temperature: ranges.NotNegative = 0.0,
    top_k: ranges.Count = 0,
    top_p: ranges.PositiveShare = 1.0,
    max_gen_toks: ranges.Positive = 1,
    max_new_tokens: ranges.Positive = 1,
    max_tokens: ranges.Positive = 1,
    max_completion_tokens: ranges.Positive = 1,
) -> None:
    """Options of generation that lm-eval knows by name."""


_NAMES = tuple(signatures.parameters(_options))
_LENGTHS = tuple(name for name in _NAMES if name.startswith("max_"))
_DRAWS = {"temperature": 0, "top_k": 0, "top_p": 1}  # at rest


def checked(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options of generation, the length under the name that tasks give it.

    Args:
      model: a name of lm-eval's.
      options: by name, as --gen_kwargs has them.

    Raises:
      InputError: the model doesn't have one, or can't; or one would have no effect.
    """
    known = {*_NAMES}
    if model != "commit_t5x":  # transformers' models have all of these
        import transformers  # here: it takes seconds to load

        known |= {*transformers.GenerationConfig().to_dict()}
    for name in options:
        if name not in known:
            near = suggest(name, sorted(known))
            raise InputError(f"--gen_kwargs {name}: {model} has no such option{near}")
    try:
        signatures.check(_options, options)
    except InputError as error:
        raise InputError(f"--gen_kwargs {error}") from error
    until = options.get("until", "-")
    if not all([until] if isinstance(until, str) else until):
        raise InputError("--gen_kwargs until=: is empty; give a string, or leave it out")
    lengths = [name for name in _LENGTHS if name in options]
    if len(lengths) > 1:
        raise InputError(f"--gen_kwargs {' and '.join(lengths)}: are the same; give one")
    draws = [name for name, rest in _DRAWS.items() if options.get(name, rest) != rest]
    if draws and not options.get("do_sample"):
        name = draws[0]
        raise InputError(
            f"--gen_kwargs {name}={options[name]}: answers are the likeliest ones; to draw them, "
            "add do_sample=True"
        )
    if options.get("do_sample") and options.get("temperature") == 0:
        raise InputError(
            "--gen_kwargs temperature=0: answers are to be drawn; leave it out, or do_sample"
        )
    return {"max_gen_toks" if name in _LENGTHS else name: options[name] for name in options}
