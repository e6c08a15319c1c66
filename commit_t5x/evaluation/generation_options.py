"""How lm-eval is to generate answers: the options that `--gen_kwargs` gives."""

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from commit_t5x.errors import InputError, suggest

_Positive = Annotated[int, pydantic.Field(gt=0)]


class _Options(pydantic.BaseModel, strict=True):
    """Options of generation that lm-eval knows by name."""

    until: str | list[str] = ""
    do_sample: bool = False
    temperature: float = pydantic.Field(0.0, ge=0)
    top_k: int = pydantic.Field(0, ge=0)
    top_p: float = pydantic.Field(1.0, gt=0, le=1)
    max_gen_toks: _Positive = 1
    max_new_tokens: _Positive = 1
    max_tokens: _Positive = 1
    max_completion_tokens: _Positive = 1


_LENGTHS = tuple(name for name in _Options.model_fields if name.startswith("max_"))
_DRAWS = {"temperature": 0, "top_k": 0, "top_p": 1}  # at rest


def checked(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options of generation, the length under the name that tasks give it.

    Args:
      model: a name of lm-eval's.
      options: by name, as --gen_kwargs has them.

    Raises:
      InputError: the model doesn't have one, or can't; or one would have no effect.
    """
    named = _Options.model_fields
    known = {*named}
    if model != "commit_t5x":  # transformers' models have all of these
        import transformers  # here: it takes seconds to load

        known |= {*transformers.GenerationConfig().to_dict()}
    for name in options:
        if name not in known:
            near = suggest(name, sorted(known))
            raise InputError(f"--gen_kwargs {name}: {model} has no such option{near}")
    try:
        _Options.model_validate({name: options[name] for name in options if name in named})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"--gen_kwargs {first['loc'][0]}={options[first['loc'][0]]}: {first['msg']}"
        ) from error
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
