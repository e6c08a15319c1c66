"""What a model of the miniature gets wrong, and in which form it gets it right. Prints Markdown.

  python benchmarks/miniature/misses.py miniature_out/world MODEL...

Each model, a checkpoint's folder or an export, answers questions of the world's XQuAD

- in the target language, and in English;
- code-mixed as COMMIT trains: English with all words replaced that the dictionary knows;
- the same in note form, without the articles and auxiliary verbs, which the dictionary lacks;

after XQuAD's labels, and in Alpaca's template. Then come the kinds of wrong answers in the target
language after labels.
"""

import argparse
import collections
import pathlib
from collections.abc import Callable, Mapping, Sequence

import world

from commit_t5x import CodeMixer, LanguageModel, Lexicon, load
from commit_t5x.data import qa_prompts, templates

Asked = tuple[world.Document, world.Fact]
Form = Callable[[world.Document, world.Fact], tuple[str, str, str]]  # text, question, answer


def forms(made: world.World, lexicon: Lexicon) -> Mapping[str, Form]:
    """Returns by name what a question is asked in."""
    mixer = CodeMixer(lexicon.with_case_variants("en", world.LANGUAGE), ratio=1.0)

    def in_language(language: str) -> Form:
        return lambda document, fact: (
            made.text(document, language),
            made.question(document, fact, language),
            made.answer(fact, language),
        )

    def mixed(*asked) -> tuple[str, ...]:
        return tuple(mixer.mix(text, (0, 0)) for text in in_language("en")(*asked))

    def bare(*asked) -> tuple[str, ...]:
        return tuple(map(world.note_form, mixed(*asked)))

    return {
        "target language": in_language(world.LANGUAGE),
        "code-mixed": mixed,
        "code-mixed, in note form": bare,
        "English": in_language("en"),
    }


def labelled(text: str, question: str) -> str:
    """Returns the prompt of `ogx_xquad_en`."""
    return qa_prompts.qa_prompt("xquad", qa_prompts.get_labels("en"), text, question)


def templated(text: str, question: str) -> str:
    """Returns the prompt of training."""
    values = {"instruction": question, "input": text}
    return templates.get_prompts("en").choose(values).render(values).text


def answers(model: LanguageModel, prompts: Sequence[str]) -> list[str]:
    """Returns what the model answers, without the full stop."""
    found = model.generate(prompts, max_new_tokens=16, stop=["\n"])
    return [answer.strip(" .").lower() for answer in found]


def kind(made: world.World, document: world.Document, fact: world.Fact, answer: str) -> str:
    """Returns what is wrong with an answer in the target language."""
    facts = {made.answer(other, world.LANGUAGE).lower(): other for other in document.facts}
    words, target = set(answer.split()), set(made.translations.values())
    if (other := facts.get(answer)) is not None:
        return f"another fact, {'' if other.relation.kind == fact.relation.kind else 'not '}alike"
    if words < set(made.answer(fact, world.LANGUAGE).lower().split()):
        return "half of the answer" if words else "empty"
    if words <= set(made.text(document, world.LANGUAGE).lower().replace(".", "").split()):
        return "other words of the text"
    if words <= target:
        return "words that the text lacks"
    return "English" if words <= set(made.translations) else "broken words and names"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("world", type=pathlib.Path)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--seed", type=int, default=0, help="of the world")
    parser.add_argument("--questions", type=int, default=150)
    args = parser.parse_args()
    made = world.World(args.seed)
    asked: list[Asked] = list(world.questions(made, args.questions))
    lexicon = Lexicon.load(str(args.world / f"en-{world.LANGUAGE}.txt"))
    kinds = {}
    print("| model | asked in | after labels | in the template |\n|---|---|---|---|")
    for name in args.models:
        model = load(name)
        for form, make in forms(made, lexicon).items():
            rows, scores = [make(*one) for one in asked], []
            golds = [gold.lower() for *_, gold in rows]
            for prompt in (labelled, templated):
                said = answers(model, [prompt(text, question) for text, question, _ in rows])
                right = [answer == gold for answer, gold in zip(said, golds, strict=True)]
                scores.append(100 * sum(right) / len(right))
                if (form, prompt) == ("target language", labelled):
                    wrong = [(*a, s) for a, s, r in zip(asked, said, right, strict=True) if not r]
                    kinds[name] = collections.Counter(kind(made, *one) for one in wrong)
            print(f"| {name} | {form} | {scores[0]:.1f} | {scores[1]:.1f} |")
    print(f"\n| wrong, of {len(asked)} | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}")
    for one in sorted(set().union(*kinds.values())):
        print(f"| {one} | {' | '.join(str(counts[one]) for counts in kinds.values())} |")


if __name__ == "__main__":
    main()
