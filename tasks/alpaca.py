"""Instruction tuning: Alpaca in English, code-mixed (COMMIT), and naively code-mixed (Table 4).

There is also Alpaca in English with pairs beside it, each example as it is and code-mixed, for
training that compares hidden states.
"""

import functools
from collections.abc import Callable

import seqio

from commit_t5x.data import length_policy, pairs, preprocessors, seqio_source, sources
from commit_t5x.mixing import schedule
from commit_t5x.mixing.mixer import CodeMixer, make_mixer
from commit_t5x.tasks import families, features


def add(
    family: str,
    language: str | None = None,
    examples: Callable[[str], sources.Examples] = sources.alpaca_examples,
    pairs_mixer: Callable[[], CodeMixer] | None = None,
    **fill_options,
) -> str:
    """Registers a task over instructions, and returns its name.

    Args:
      family: of the task; see `families.FAMILIES`.
      language: its language.
      examples: of a split.
      pairs_mixer: gives the mixer of pairs beside the examples; None for none.
      **fill_options: `preprocessors.fill_prompt`'s.
    """
    name = families.name(family, language)
    numbering = [schedule.number_epochs] if pairs_mixer or "mixer" in fill_options else []
    pairing = [functools.partial(pairs.add_pairs, mixer=pairs_mixer)] if pairs_mixer else []
    seqio.TaskRegistry.add(
        name,
        source=seqio_source.ExampleSource(
            examples,
            {"instruction": (), "input": (), "output": ()},
            splits=sources.training_splits,
        ),
        preprocessors=[
            features.cache_placeholder(),  # before mixing: every epoch mixes the text afresh
            preprocessors.batch_examples,
            *numbering,
            *pairing,
            functools.partial(preprocessors.fill_prompt, **fill_options),
            preprocessors.encode_prompt_response,
            length_policy.fit_prompt_response,
            preprocessors.unbatch_examples,
        ],
        output_features={**features.FEATURES, **(features.PAIRS if pairs_mixer else {})},
        task_cls=seqio_source.Task,
    )
    return name


def register(language: str) -> None:
    """Registers the tasks that mix a language into Alpaca.

    Besides them, `commit_mix_{language}` mixes the examples in English with the code-mixed ones, at
    equal rates.
    """
    mixer = functools.partial(make_mixer, "en", language)
    codemix = add("alpaca_codemix", language, mixer=mixer)
    add("alpaca_naive_codemix", language, mixer=mixer, template_blocked=False)
    add("alpaca_codemix_pairs", language, pairs_mixer=mixer)
    seqio.MixtureRegistry.add(
        families.name("commit_mix", language), [_ENGLISH, codemix], default_rate=1.0
    )


_ENGLISH = add("alpaca")
