"""Questions and held-out text for the table smollm2, which a laptop can score.

    python benchmarks/smollm2.py xquad smollm2_out/base hi,el smollm2_out/data

Of XQuAD's paragraphs, those that need the fewest tokens in their dearest language, until they hold
--questions, become xquad.{language}.json in each language and English, the same questions in each;
of the next --texts paragraphs the contexts become {language}.txt, for bits per byte.
"""

import argparse
import json
import pathlib

from commit_t5x import quiet


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("xquad", help="a folder with xquad.en.json and the languages'")
    parser.add_argument("tokenizer", help="what TOKENIZER takes")
    parser.add_argument("languages", help="hi,el")
    parser.add_argument("out", help="a folder")
    parser.add_argument("--questions", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--texts", type=int, default=20, help="default: %(default)s")
    args = parser.parse_args()
    quiet.silence_libraries()
    from commit_t5x.vocabularies import configured

    tokenizer = configured.load(args.tokenizer)
    languages = [*args.languages.split(","), "en"]
    articles = {name: _read(pathlib.Path(args.xquad) / f"xquad.{name}.json") for name in languages}
    paragraphs = {
        name: [paragraph for article in found for paragraph in article["paragraphs"]]
        for name, found in articles.items()
    }
    contexts = {name: [p["context"] for p in found] for name, found in paragraphs.items()}
    tokens = [
        max(len(tokenizer.encode(text)) for text in texts)
        for texts in zip(*contexts.values(), strict=True)
    ]
    order = sorted(range(len(tokens)), key=lambda place: (tokens[place], place))
    chosen, questions = 0, 0
    while questions < args.questions:
        questions += len(paragraphs["en"][order[chosen]]["qas"])
        chosen += 1
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for name in languages:
        rows = [paragraphs[name][place] for place in order[:chosen]]
        squad = {"version": "1.1", "data": [{"title": "", "paragraphs": rows}]}
        text = json.dumps(squad, ensure_ascii=False)
        (out / f"xquad.{name}.json").write_text(text, encoding="utf-8")
        held = [contexts[name][place] for place in order[chosen : chosen + args.texts]]
        (out / f"{name}.txt").write_text("\n\n".join(held) + "\n", encoding="utf-8")
    print(
        f"{questions} questions on {chosen} paragraphs of at most {tokens[order[chosen - 1]]} "
        f"tokens, and {args.texts} of at most {tokens[order[chosen + args.texts - 1]]} in {out}"
    )


def _read(path: pathlib.Path) -> list:
    return json.loads(path.read_text(encoding="utf-8"))["data"]


if __name__ == "__main__":
    main()
