"""What the miniature's world says, and with which words, in English.

The target language says the same with words that world.py makes up, in the order that stands here.
"""

from typing import NamedTuple


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
STEMS = {form: forms.split()[-1] for forms in _FORMS.split("; ") for form in forms.split()}

# Words that the target language has none for, and the dictionary no entry.
LEFT_IN_ENGLISH = ("a", "the", "did", "does", "was")

# Words of instructions and of the prompt's template, which the dictionary knows, too.
INSTRUCTION_WORDS = (
    "read text answer question list names repeat first sentence name instruction input response "
    "task write request below describes further context provides completes"
)

ONSETS = "b br d dr f g gr h j k l m n p r s st t tr v w".split()
PERSON_ENDS = "an el in or us ard en ia ow ett".split()
PLACE_ENDS = "ton burg field ford ham mouth stead wick".split()
VOWELS = "aeiou"
TARGET_SYLLABLES = [c + v for c in "ch gw kh mb ng nd ny q sh ts x y z zh".split() for v in VOWELS]
