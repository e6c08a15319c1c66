"""A constructed world, small enough that a laptop's models can learn to read in it.

  python benchmarks/miniature/world.py DIR --seed 0

writes what the ordinary commands take, the same files for the same seed:

- xquad.en.json, xquad.qaa.json: the same questions in English and in the target language, in
  SQuAD's format;
- alpaca.jsonl: English instructions; wikipedia.qaa.txt: documents of the target language;
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
import json
import pathlib
import random
from collections.abc import Iterator
from typing import NamedTuple

LANGUAGE = "qaa"


class Relation(NamedTuple):
    """What a fact may say.

    Attributes:
      kind: of the answer.
      wordings: English predicates, {} for the answer, and the same words in the target's order.
      question: in English, {} for the person, and in the target's order.
    """

    kind: str
    wordings: tuple[tuple[str, str], ...]
    question: tuple[str, str]


def _relation(kind: str, wordings: str, question: str) -> Relation:
    pairs = tuple(tuple(pair.split(" = ")) for pair in wordings.split("; "))
    return Relation(kind, pairs, tuple(question.split(" = ")))


RELATIONS = tuple(
    _relation(*line)
    for line in (
        (
            "place",
            "lives in {} = lives {} in; dwells in {} = dwells {} in; resides in {} = resides {} in",
            "Where does {} live? = where {} live",
        ),
        ("place", "was born in {} = born {} in", "Where was {} born? = where {} born"),
        (
            "place",
            "visited {} = visited {}; travelled to {} = travelled {} to",
            "Which town did {} visit? = which town {} visit",
        ),
        (
            "job",
            "works as a {} = works {} as; serves as a {} = serves {} as",
            "Which job does {} have? = which job {} have",
        ),
        ("object", "bought a {} = bought {}; got a {} = got {}", "What did {} buy? = what {} buy"),
        (
            "object",
            "sold a {} = sold {}; traded a {} = traded {}",
            "What did {} sell? = what {} sell",
        ),
        ("object", "lost a {} = lost {}", "What did {} lose? = what {} lose"),
        (
            "food",
            "likes {} = likes {}; loves {} = loves {}; enjoys {} = enjoys {}",
            "Which food does {} like? = which food {} like",
        ),
        (
            "food",
            "cooked {} = cooked {}; prepared {} = prepared {}",
            "Which food did {} cook? = which food {} cook",
        ),
        (
            "animal",
            "keeps a {} = keeps {}; owns a {} = owns {}",
            "Which animal does {} keep? = which animal {} keep",
        ),
        (
            "instrument",
            "plays the {} = plays {}",
            "Which instrument does {} play? = which instrument {} play",
        ),
        (
            "subject",
            "studies {} = studies {}; learns {} = learns {}",
            "Which subject does {} study? = which subject {} study",
        ),
        ("person", "married {} = married {}; wed {} = wed {}", "Who did {} marry? = who {} marry"),
        (
            "person",
            "taught {} = taught {}; trained {} = trained {}",
            "Who did {} teach? = who {} teach",
        ),
        (
            "building",
            "waits at the {} = waits {} at; rests at the {} = rests {} at",
            "Where does {} wait? = where {} wait",
        ),
        (
            "building",
            "cleans the {} = cleans {}; sweeps the {} = sweeps {}",
            "Which building does {} clean? = which building {} clean",
        ),
        (
            "day",
            "leaves on {} = leaves {} on; departs on {} = departs {} on",
            "When does {} leave? = when {} leave",
        ),
        ("day", "arrives on {} = arrives {} on", "When does {} arrive? = when {} arrive"),
    )
)

# Kind of answer -> its words; persons and places are made up. None begins with a vowel: articles
# don't change.
WORDS = {
    "job": "baker barber brewer builder butcher carpenter cleaner chemist clerk cobbler cooper "
    "dancer dentist diver doctor driver farmer fisher gardener glazier guard hunter judge lawyer "
    "mason miller miner nurse painter pilot plumber porter potter sailor singer smith soldier "
    "tailor waiter weaver",
    "object": "bag ball basket bell belt bench blanket boat book bottle bowl box brush bucket "
    "button candle cap carpet cart chair clock coat comb cradle cup curtain desk doll drum fan "
    "flag fork glass glove hammer hat jar kettle key kite knife ladder lamp lock mirror needle "
    "pen pipe plate pot ring rope saddle shirt table",
    "colour": "black blue brown golden green grey pink purple red silver white yellow",
    "food": "barley beans beef bread butter cabbage cake carrots cheese cherries chicken corn "
    "cream dates figs fish garlic ginger grapes ham honey jam leeks lemons lentils melons milk "
    "mushrooms noodles nuts peaches pears peas pepper plums pork porridge potatoes pumpkin rice "
    "salad soup spinach turnips",
    "animal": "bear camel cat cow crow deer dog donkey duck fox goat goose hen horse lion monkey "
    "parrot pig rabbit sheep",
    "instrument": "banjo bassoon bugle cello clarinet cymbal fiddle flute guitar harp horn lute "
    "piano trumpet violin",
    "subject": "botany chemistry dance drama finance geology geometry grammar history law logic "
    "mathematics medicine music painting physics poetry zoology",
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "building": "bakery bank barn castle chapel church court factory garage harbour hospital hotel "
    "library market museum palace prison school",
}
WORDS = {kind: tuple(words.split()) for kind, words in WORDS.items()}

# Forms that the target language doesn't tell apart.
_FORMS = (
    "lives live; visited visit; bought buy; sold sell; lost lose; likes like; cooked cook; keeps "
    "keep; plays play; studies study; married marry; taught teach; waits wait; cleans clean; "
    "leaves leave; arrives arrive; he she"
)
_STEMS = {form: forms.split()[-1] for forms in _FORMS.split("; ") for form in forms.split()}

# Words of instructions and of the prompt's template, which the dictionary knows, too.
_INSTRUCTION_WORDS = (
    "read text answer question list names repeat first sentence name instruction input response "
    "task write request below describes further context provides completes"
)

_ONSETS = "b br d dr f g gr h j k l m n p r s st t tr v w".split()
_PERSON_ENDS = "an el in or us ard en ia ow ett".split()
_PLACE_ENDS = "ton burg field ford ham mouth stead wick".split()
_VOWELS = "aeiou"
_TARGET_SYLLABLES = [
    c + v for c in "ch gw kh mb ng nd ny q sh ts x y z zh".split() for v in _VOWELS
]


class Fact(NamedTuple):
    relation: Relation
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
        content = [word for words in WORDS.values() for word in words]
        said = {
            word
            for r in RELATIONS
            for _, order in (*r.wordings, r.question)
            for word in order.split()
        }
        said = sorted((said - {"{}"}) | set(_INSTRUCTION_WORDS.split()) | {"he", "she"})
        stems = list(dict.fromkeys(_STEMS.get(word, word) for word in [*said, *content]))
        targets: dict[str, str] = {}
        while len(targets) < len(stems):
            word = "".join(rng.choices(_TARGET_SYLLABLES, k=2))
            targets.setdefault(word, stems[len(targets)])
        of_stem = {stem: word for word, stem in targets.items()}
        self.translations = {word: of_stem[_STEMS.get(word, word)] for word in [*said, *content]}
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
            relations: list[Relation] = []
            for _ in range(rng.randint(3, 6)):
                left = [r for r in RELATIONS if r not in relations]
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
        ends = _PERSON_ENDS if kind == "person" else _PLACE_ENDS
        name = None
        while name is None or name in self.translations:  # a word that the dictionary could replace
            parts = rng.choice(_ONSETS), rng.choice(_VOWELS), rng.choice("lmnrst"), rng.choice(ends)
            name = "".join(parts)
        return name.capitalize()

    def _answer(self, rng: random.Random, kind: str) -> str:
        if kind in ("person", "place"):
            return self._name(rng, kind)
        if kind == "object":
            return f"{rng.choice(WORDS['colour'])} {rng.choice(WORDS['object'])}"
        return rng.choice(WORDS[kind])

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


def squad(world: World, language: str, count: int) -> dict:
    """Returns `count` questions about as many documents; the same in every language."""
    rng, articles = world.stream("xquad questions"), []
    for number, document in zip(range(count), world.documents("xquad"), strict=False):
        context, fact = world.text(document, language), rng.choice(document.facts)
        answer = world.answer(fact, language)
        qa = {
            "id": f"{number}",
            "question": world.question(document, fact, language),
            "answers": [{"text": answer, "answer_start": context.index(answer)}],
        }
        articles.append(
            {"title": document.person, "paragraphs": [{"context": context, "qas": [qa]}]}
        )
    return {"version": "miniature", "data": articles}


def instructions(world: World, count: int) -> Iterator[dict[str, str]]:
    """Yields Alpaca's records, in English.

    Outputs begin with a space: right after the template's colon, a word would have other tokens
    than the same word has in the text that it is copied from.
    """
    rng = world.stream("alpaca instructions")
    for document in _some(world, "alpaca", count):
        text, fact = world.text(document, "en"), rng.choice(document.facts)
        question = world.question(document, fact, "en")
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
            first = world.sentence(document, 0, "en")
            fields = "Repeat the first sentence.", text, first
        else:
            kind = rng.choice(("job", "food", "animal", "instrument", "subject", "building"))
            fields = f"Name a {kind}." if kind[0] not in "aeiou" else f"Name one {kind}.", "", ""
            fields = (*fields[:2], rng.choice(WORDS[kind]))
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


def pretraining(world: World, count: int) -> Iterator[dict]:
    """Yields what the base reads: English with questions; of the target language, text alone."""
    rng = world.stream("pretraining forms")
    for document in _some(world, "pretraining", count):
        language = LANGUAGE if rng.random() < 0.15 else "en"
        text, answers = world.text(document, language), []
        if language == LANGUAGE:
            if rng.random() < 0.8:
                start = len(text)
                again = rng.sample(range(len(document.facts)), rng.randint(1, 3))
                text += "\n\n" + " ".join(world.sentence(document, n, language) for n in again)
                answers.append((start, len(text)))
        elif rng.random() < 0.85:
            background, ask, reply = _XQUAD if rng.random() < 0.5 else rng.choice(_LABELS)
            text = background.format(text)
            for fact in rng.sample(document.facts, len(document.facts)):
                text += ask.format(world.question(document, fact, "en")) + reply
                start = len(text)
                text += f" {world.answer(fact, 'en')}"
                answers.append((start, len(text)))
        yield {"text": text, "answers": answers}


def _some(world: World, purpose: str, count: int) -> Iterator[Document]:
    yield from (
        document for _, document in zip(range(count), world.documents(purpose), strict=False)
    )


def write(
    folder: pathlib.Path,
    world: World,
    *,
    pretraining_documents: int = 16_000,
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
    put("pretraining.jsonl", lines(pretraining(world, pretraining_documents)))
    texts = (world.text(document, LANGUAGE) for document in _some(world, "wikipedia", documents))
    put(f"wikipedia.{LANGUAGE}.txt", "\n\n".join(texts) + "\n")
    pairs = [(word.lower(), world.translations[word]) for word in world.known]
    put(f"en-{LANGUAGE}.txt", "".join(f"{en}\t{target}\n" for en, target in pairs))
    put(f"{LANGUAGE}-en.txt", "".join(f"{target}\t{en}\n" for en, target in pairs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coverage", type=float, default=0.85, help="of the dictionaries")
    args = parser.parse_args()
    write(args.folder, World(args.seed, args.coverage))
