"""A constructed world, small enough that a laptop's models can learn to read in it.

  python benchmarks/miniature/world.py DIR --seed 0

writes what the ordinary commands take, the same files for the same seed:

- xquad.en.json, xquad.qaa.json: the same questions in English and in the target language, in
  SQuAD's format;
- alpaca.jsonl: English instructions; alpaca_notes.jsonl: the same, half of them in note form,
  without the articles and auxiliary verbs that the target language hasn't;
- wikipedia.qaa.txt: documents of the target language, most of which say some things twice;
- en-qaa.txt, qaa-en.txt: dictionaries, complete for what relations and questions are said with, and
  with entries for `--coverage` of the other words;
- pretraining.jsonl: documents that the base reads, each `text` with `answers`, the spans (start and
  end, in characters) that a reader can know from what stands before.

A document is some facts about one person. Names are made up for each document and are the same in
both languages; all other words come from lists. The target language (qaa, a code that ISO 639 keeps
for private use) has words of its own, no articles, postpositions, adjectives after nouns, and
questions that begin with the question word and keep the order of a statement.
"""

import argparse
import itertools
import json
import pathlib
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

import wordlists

from commit_t5x import arguments, ranges
from commit_t5x.data import templates

LANGUAGE = "qaa"


class Fact(NamedTuple):
    relation: wordlists.Relation
    wording: tuple[str, str]
    answer: str  # in English


class Document(NamedTuple):
    person: str
    pronoun: str
    facts: tuple[Fact, ...]


class World:
    """Documents, and their texts in both languages.

    Example:
      >>> world = World(seed=0)
      >>> document = next(world.documents("test"))
      >>> world.text(document, "en").startswith(document.person)
      True
    """

    def __init__(self, seed: int = 0, coverage: float = 0.85):
        self.seed = seed
        rng = self.stream("words")
        content = [word for words in wordlists.WORDS.values() for word in words]
        said = {
            word
            for r in wordlists.RELATIONS
            for _, order in (*r.wordings, r.question)
            for word in order.split()
        }
        said = sorted((said - {"{}"}) | set(wordlists.INSTRUCTION_WORDS.split()) | {"he", "she"})
        stems = list(dict.fromkeys(wordlists.STEMS.get(word, word) for word in [*said, *content]))
        targets: dict[str, str] = {}
        while len(targets) < len(stems):
            word = "".join(rng.choices(wordlists.TARGET_SYLLABLES, k=2))
            targets.setdefault(word, stems[len(targets)])
        of_stem = {stem: word for word, stem in targets.items()}
        self.translations = {
            word: of_stem[wordlists.STEMS.get(word, word)] for word in [*said, *content]
        }
        known = set(rng.sample(content, round(coverage * len(content))))
        # A word may be said and be an answer, too ("painting").
        self.known = [word for word in self.translations if word in known or word in said]

    def stream(self, purpose: str) -> random.Random:
        """Returns the stream of random numbers that a file is made from."""
        return random.Random(f"{self.seed} {purpose}")

    def documents(self, purpose: str) -> Iterator[Document]:
        """Yields documents without end, other ones for each purpose."""
        rng = self.stream(purpose)
        while True:
            person = self._name(rng, "person")
            relations: list[wordlists.Relation] = []
            for _ in range(rng.randint(3, 6)):
                left = [r for r in wordlists.RELATIONS if r not in relations]
                # Half of the facts can be told from the one before by their relation alone.
                alike = [r for r in left if relations and r.kind == relations[-1].kind]
                relations.append(rng.choice(alike if alike and rng.random() < 0.5 else left))
            facts: list[Fact] = []
            for relation in relations:
                answer = self._answer(rng, relation.kind)
                while answer in {person, *(fact.answer for fact in facts)}:
                    answer = self._answer(rng, relation.kind)
                facts.append(Fact(relation, rng.choice(relation.wordings), answer))
            yield Document(person, rng.choice(("He", "She")), tuple(facts))

    def _name(self, rng: random.Random, kind: str) -> str:
        ends = wordlists.PERSON_ENDS if kind == "person" else wordlists.PLACE_ENDS
        name = None
        while name is None or name in self.translations:  # a word that the dictionary could replace
            parts = (
                rng.choice(wordlists.ONSETS),
                rng.choice(wordlists.VOWELS),
                rng.choice("lmnrst"),
                rng.choice(ends),
            )
            name = "".join(parts)
        return name.capitalize()

    def _answer(self, rng: random.Random, kind: str) -> str:
        if kind in ("person", "place"):
            return self._name(rng, kind)
        if kind == "object":
            return (
                f"{rng.choice(wordlists.WORDS['colour'])} {rng.choice(wordlists.WORDS['object'])}"
            )
        return rng.choice(wordlists.WORDS[kind])

    def sentence(self, document: Document, number: int, language: str) -> str:
        """Returns the sentence of a fact; the person is named in the first one."""
        fact = document.facts[number]
        if language == "en":
            subject = document.pronoun if number else document.person
            return f"{subject} {fact.wording[0].format(fact.answer)}."
        subject = self._word(document.pronoun.lower()).capitalize() if number else document.person
        return f"{subject} {self._in_target(fact.wording[1], self.answer(fact, language))}."

    def text(self, document: Document, language: str) -> str:
        """Returns all of the document's sentences."""
        return " ".join(self.sentence(document, n, language) for n in range(len(document.facts)))

    def question(self, document: Document, fact: Fact, language: str) -> str:
        """Returns the question whose answer the fact gives."""
        if language == "en":
            return fact.relation.question[0].format(document.person)
        text = self._in_target(fact.relation.question[1], document.person)
        return f"{text[0].upper()}{text[1:]}?"

    def answer(self, fact: Fact, language: str) -> str:
        """Returns the answer as the language has it."""
        if language == "en" or fact.relation.kind in ("person", "place"):
            return fact.answer
        return " ".join(self._word(word) for word in reversed(fact.answer.split()))

    def _in_target(self, words: str, filler: str) -> str:
        return " ".join(filler if w == "{}" else self._word(w) for w in words.split())

    def _word(self, word: str) -> str:
        return self.translations[word]


def questions(world: World, count: int) -> Iterator[tuple[Document, Fact]]:
    """Yields documents of the test, and the fact of each that is asked for."""
    rng = world.stream("xquad questions")
    for document in itertools.islice(world.documents("xquad"), count):
        yield document, rng.choice(document.facts)


def squad(world: World, language: str, count: int) -> dict:
    """Returns `count` questions about as many documents; the same in every language."""
    articles = []
    for number, (document, fact) in enumerate(questions(world, count)):
        context, answer = world.text(document, language), world.answer(fact, language)
        qa = {
            "id": f"{number}",
            "question": world.question(document, fact, language),
            "answers": [{"text": answer, "answer_start": context.index(answer)}],
        }
        articles.append(
            {"title": document.person, "paragraphs": [{"context": context, "qas": [qa]}]}
        )
    return {"version": "miniature", "data": articles}


def note_form(text: str) -> str:
    """Returns an English text without the words that the target language has none for."""
    return re.sub(rf"\b({'|'.join(wordlists.LEFT_IN_ENGLISH)}) ", "", text)


def instructions(world: World, count: int, notes: float = 0.0) -> Iterator[dict[str, str]]:
    """Yields Alpaca's records, in English, a share of them in note form.

    Outputs begin with a space: right after the template's colon, a word would have other tokens
    than the same word has in the text that it is copied from.
    """
    rng, styles = world.stream("alpaca instructions"), world.stream("alpaca notes")
    for document in itertools.islice(world.documents("alpaca"), count):
        style = note_form if styles.random() < notes else str
        text, fact = style(world.text(document, "en")), rng.choice(document.facts)
        question = style(world.question(document, fact, "en"))
        form = rng.random()
        if form < 0.3:
            fields = "Read the text and answer the question.", f"{text}\n{question}", fact.answer
        elif form < 0.65:
            fields = f"{text}\n{question}", "", fact.answer
        elif form < 0.9:
            fields = question, text, fact.answer
        elif form < 0.94:
            names = [
                document.person,
                *(f.answer for f in document.facts if f.relation.kind == "person"),
            ]
            fields = "List the names in the text.", text, ", ".join(names)
        elif form < 0.97:
            first = style(world.sentence(document, 0, "en"))
            fields = "Repeat the first sentence.", text, first
        else:
            kind = rng.choice(("job", "food", "animal", "instrument", "subject", "building"))
            article = "one" if kind[0] in "aeiou" else "a"
            fields = f"Name {article} {kind}.", "", rng.choice(wordlists.WORDS[kind])
        yield dict(
            zip(("instruction", "input", "output"), (*fields[:2], f" {fields[2]}"), strict=True)
        )


# Background, question and answer: half of the documents have XQuAD's, the others one of these.
_LABELS = (
    ("Text: {}", "\nQ: {}", "\nA:"),
    ("{}", "\n{}", ""),
    ("Passage:\n{}", "\n\nAsked: {}", "\nReply:"),
)
_XQUAD = ("Background:\n\n{}", "\n\nQuestion:{}", "\n\nAnswer:")


def pretraining(world: World, count: int, templated: float = 0.0) -> Iterator[dict]:
    """Yields what the base reads: English with questions; of the target language, text alone.

    Of what has questions a share, `templated`, is one as an instruction, in Alpaca's template.
    """
    rng, styles = world.stream("pretraining forms"), world.stream("pretraining templates")
    prompts = templates.get_prompts("en")
    for document in itertools.islice(world.documents("pretraining"), count):
        language = LANGUAGE if rng.random() < 0.15 else "en"
        text, answers = world.text(document, language), []
        if language == LANGUAGE:
            if rng.random() < 0.8:
                start = len(text)
                text += f"\n\n{_again(rng, world, document)}"
                answers.append((start, len(text)))
        elif rng.random() >= 0.85:
            pass
        elif styles.random() < templated:
            fact = rng.choice(document.facts)
            question = world.question(document, fact, "en")
            fields = (question, text) if rng.random() < 0.5 else (f"{text}\n{question}", "")
            example = dict(zip(("instruction", "input"), fields, strict=True))
            text = prompts.choose(example).render(example).text
            answers.append((len(text), len(text) + 1 + len(fact.answer)))
            text += f" {fact.answer}"
        else:
            background, ask, reply = _XQUAD if rng.random() < 0.5 else rng.choice(_LABELS)
            text = background.format(text)
            for fact in rng.sample(document.facts, len(document.facts)):
                text += ask.format(world.question(document, fact, "en")) + reply
                start = len(text)
                text += f" {world.answer(fact, 'en')}"
                answers.append((start, len(text)))
        yield {"text": text, "answers": answers}


def wikipedia(world: World, count: int) -> Iterator[str]:
    """Yields documents of the target language; most repeat some of what they say."""
    rng = world.stream("wikipedia forms")
    for document in itertools.islice(world.documents("wikipedia"), count):
        text = world.text(document, LANGUAGE)
        yield f"{text} {_again(rng, world, document)}" if rng.random() < 0.8 else text


def _again(rng: random.Random, world: World, document: Document) -> str:
    numbers = rng.sample(range(len(document.facts)), rng.randint(1, 3))
    return " ".join(world.sentence(document, n, LANGUAGE) for n in numbers)


def write(
    folder: pathlib.Path,
    world: World,
    *,
    pretraining_documents: int = 16_000,
    templated: float = 0.0,
    examples: int = 10_000,
    documents: int = 4_000,
    questions: int = 300,
) -> None:
    """Writes all files into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)

    def put(name: str, text: str) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    def lines(records) -> str:
        return "".join(f"{json.dumps(record)}\n" for record in records)

    for language in ("en", LANGUAGE):
        put(f"xquad.{language}.json", json.dumps(squad(world, language, questions)) + "\n")
    put("alpaca.jsonl", lines(instructions(world, examples)))
    put("alpaca_notes.jsonl", lines(instructions(world, examples, notes=0.5)))
    put("pretraining.jsonl", lines(pretraining(world, pretraining_documents, templated)))
    put(f"wikipedia.{LANGUAGE}.txt", "\n\n".join(wikipedia(world, documents)) + "\n")
    pairs = [(word.lower(), world.translations[word]) for word in world.known]
    put(f"en-{LANGUAGE}.txt", "".join(f"{en}\t{target}\n" for en, target in pairs))
    put(f"{LANGUAGE}-en.txt", "".join(f"{target}\t{en}\n" for en, target in pairs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    share = arguments.of(ranges.Share)
    parser.add_argument("--coverage", type=share, default=0.85, help="of the dictionaries")
    args = parser.parse_args()
    write(args.folder, World(args.seed, args.coverage))
