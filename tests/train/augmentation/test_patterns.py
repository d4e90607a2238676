"""Pattern sentences: balanced, distinct, and no overlap of training and validation."""

import hashlib
import json
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import chain, product
from pathlib import Path

import pytest
from conftest import REPOSITORY

from train import recipe
from train.augmentation import patterns
from train.data import preparation
from train.errors import DataError

BEHAVIOR = REPOSITORY / "train" / "evaluation" / "behavior"
GRAMMARS = patterns.GRAMMARS
BASE = GRAMMARS["base"]
ALL = GRAMMARS["neutral"]  # the last file: its grammar has the words of all
SPLITS = ("train", "validation")
OPINIONS = ("base", "extended")
VERDICTS = ("POSITIVE", "NEGATIVE")
ROWS = {
    (name, split): patterns.make(GRAMMARS[name], split, number)
    for name, split, number in chain.from_iterable(patterns.FILES.values())
}
SETS = [pytest.param(*key, id=" ".join(key)) for key in ROWS]
LIST_NAMES = set(chain.from_iterable(ALL.pools.values()))
# Roots are five letters; these words are too common to belong to either split.
COMMON = set("a an the to for in of out with from at by on over up away through about its".split())
COMMON |= set("during get got fall feel felt give have real grow grew down find film work".split())
TEMPLATES = [
    pytest.param(name, split, template, id=f"{name} {split}: {template}")
    for name, grammar in GRAMMARS.items()
    for split, kinds in grammar.templates.items()
    for template in dict.fromkeys(chain.from_iterable(kinds.values()))
]
NEGATORS = {
    "not": r"n['’]?t\b|\bcannot\b|\bnot\b",
    "never": r"\bnever\b",
    "no": r"\bno\b",
    "none": r"\bnone\b",
    "nothing": r"\bnothing\b",
    "nobody": r"\bnobody\b|\bno one\b",
    "neither": r"\bneither\b",
    "no longer": r"\bno longer\b|\bany ?more\b",
    "without": r"\bwithout\b",
    "hardly": r"\bhardly\b",
    "few": r"\bfew\b",
    "any": r"\bany\b",
    "will not": r"\bwon['’]?t\b|\bwill not\b",
    "would not": r"\bwouldn['’]?t\b|\bwould not\b",
    "can not": r"\bcan['’]?t\b|\bcannot\b",
    "used to": r"\bused to\b",
}


def opinions(split: str) -> set[str]:
    """Every form of every opinion word, with articles left out."""
    words = set()
    for label in VERDICTS:
        lists = ALL.words[split][label]
        assert set(lists) == LIST_NAMES | {"closer"}
        for word in chain.from_iterable(lists[name] for name in LIST_NAMES):
            words |= {re.sub(r"^an? ", "", form) for form in word.split("/")}
    return words


def frames(split: str) -> set[str]:
    """The distinct templates with all clauses filled in and no other words."""
    filled_templates = set()
    kinds = chain.from_iterable(grammar.templates[split].values() for grammar in GRAMMARS.values())
    for template in chain.from_iterable(kinds):
        clauses = [
            BASE.clauses.get(name, (whole,))
            for whole, name in re.findall(r"(\{([\w']+)[-=!+]?\})", template)
        ]
        for choices in product(*clauses) if clauses else [()]:
            filled = iter(choices)
            whole = re.sub(r"\{.*?\}", lambda _, filled=filled: next(filled), template)
            filled_templates.add(re.sub(r"\{.*?\}", "{}", whole))
    return filled_templates


def roots(split: str) -> set[str]:
    return {
        word[:5]
        for phrase in opinions(split)
        for word in re.findall(r"[a-z]+", phrase.removeprefix("un"))
        if word not in COMMON and len(word) > 3
    }


def sample(name: str, split: str, template: str, number: int) -> list[str]:
    grammar, rng = GRAMMARS[name], random.Random(template)
    labels = [grammar.labels[i % len(grammar.labels)] for i in range(number)]
    return [patterns.fill(grammar, template, split, label, rng) for label in labels]


def normalize(text: str) -> str:
    """Only the words, in lower case and without contractions."""
    text = text.lower().replace("’", "'")
    for short, long in BASE.long_forms.items():
        text = re.sub(rf"\b{short.lower()}\b", long.lower(), text)
    return " ".join(re.findall(r"[a-z0-9]+", text.replace("n't", " not").replace("'", "")))


def behavior_texts() -> set[str]:
    """The texts of the behavior suite, and each sentence of five words or more of its pairs."""
    lines = {
        name: (BEHAVIOR / f"{name}.jsonl").read_text("utf-8").splitlines()
        for name in ("sentences", "pairs")
    }
    texts = {normalize(json.loads(line)["text"]) for line in lines["sentences"]}
    for pair in map(json.loads, lines["pairs"]):
        for part in re.split(r"(?<=[.?!]) ", f"{pair['text']} {pair['edited']}"):
            texts |= {normalize(part)} if normalize(part).count(" ") >= 4 else set()
    return texts


def language(grammar: patterns.Grammar, template: str, within: set[str] | None = None) -> str:
    """A regular expression for all texts of a template, normalized by `normalize`.

    Args:
        grammar: The template's.
        template: With slots.
        within: If given, slots have only these words.
    """

    def slot(name: str) -> str:
        if name in grammar.clauses:
            clauses = [language(grammar, clause, within) for clause in grammar.clauses[name]]
            return f"(?:{'|'.join(clauses)})"
        if name in grammar.plurals:
            words = [normalize(name), normalize(grammar.plurals[name])]
        elif name in grammar.pools:
            of_labels = [labels[label] for labels in grammar.words.values() for label in VERDICTS]
            pools = [lists[pool] for lists in of_labels for pool in grammar.pools[name]]
            words = [normalize(form) for pool in pools for word in pool for form in word.split("/")]
        elif name == "part":
            words = map(normalize, grammar.slots["one_part"] + grammar.slots["more_parts"])
        else:
            facts = chain.from_iterable(facts.get(name, ()) for facts in grammar.facts.values())
            words = map(normalize, [*grammar.slots.get(name, ()), *facts])
        kept = [word for word in dict.fromkeys(words) if not within or within >= {*word.split()}]
        return f"(?:{'|'.join(kept)})" if kept else "(?!)"

    signs = {"[": "(?:", "<": "(?:", "]": ")", ">": ")", "|": "|"}
    pieces = re.findall(r"\{([\w']+)[-=!+]?\}|([\[\]<>|])|([^\[\]<>|{}]+)", template)
    parts = [
        slot(name) if name else signs.get(sign) or normalize(text) for name, sign, text in pieces
    ]
    return re.sub(r"\ban?\b", "an?", " *".join(filter(None, parts)))


def sentences(template: str) -> list[str]:
    """A template, and each sentence of it."""
    parts = re.split(r"(?<=[.?!]) ", template)
    whole = [part for part in parts if all(part.count(a) == part.count(b) for a, b in ["[]", "<>"])]
    return [template, *whole]


@pytest.mark.parametrize(("name", "split"), SETS)
def test_the_same_seed_gives_the_same_rows(name: str, split: str) -> None:
    grammar = GRAMMARS[name]
    assert patterns.make(grammar, split, 200) == patterns.make(grammar, split, 200)
    assert patterns.make(grammar, split, 200) != patterns.make(grammar, split, 200, seed=1)


@pytest.mark.parametrize(("name", "split"), SETS)
def test_rows_have_text_label_kind_and_words(name: str, split: str) -> None:
    rows, grammar = ROWS[name, split], GRAMMARS[name]
    assert {tuple(row) for row in rows} == {("text", "label", "kind", "words")}
    assert {row["label"] for row in rows} == set(grammar.labels)
    assert {row["kind"] for row in rows} == set(grammar.templates[split])
    assert not [row for row in rows if re.search(r"[\[\]{}<>|=_]|  ", row["text"])]


def test_base_validation_rows_never_change() -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS["base", "validation"]]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert digest == "b45bf54f5ef57b744356a94141874f2aff5929d27a6c2adc636e1ff52df93893"


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", OPINIONS)
def test_labels_are_balanced_in_each_kind(name: str, split: str) -> None:
    for kind in GRAMMARS[name].templates[split]:
        labels = Counter(row["label"] for row in ROWS[name, split] if row["kind"] == kind)
        assert 0.45 <= labels["POSITIVE"] / labels.total() <= 0.55, kind


@pytest.mark.parametrize("name", GRAMMARS)
def test_validation_has_known_and_new_words_equally(name: str) -> None:
    assert {row["words"] for row in ROWS[name, "train"]} == {"known"}
    of_kind = Counter((row["kind"], row["words"]) for row in ROWS[name, "validation"])
    for kind in GRAMMARS[name].templates["validation"]:
        assert (
            0.45 <= of_kind[kind, "new"] / (of_kind[kind, "new"] + of_kind[kind, "known"]) <= 0.55
        )


def test_texts_are_distinct() -> None:
    texts = [re.sub("[^a-z]", "", row["text"].lower()) for rows in ROWS.values() for row in rows]
    assert len(texts) == len(set(texts)) == 93_200


def test_there_are_enough_words() -> None:
    assert len({*BASE.slots["one_part"], *BASE.slots["more_parts"]}) >= 60
    for label in VERDICTS:
        lists = [ALL.words[split][label] for split in SPLITS]
        for names, fewest in [
            ("soft film strong", 80),
            ("like love", 30),
            ("mild grand", 30),
            ("stir", 15),
            ("remark point", 15),
        ]:
            unique = [word for words in lists for name in names.split() for word in words[name]]
            assert len(unique) == len(set(unique)) >= fewest


@pytest.mark.parametrize(
    ("name", "split", "in_all", "in_a_kind"),
    [
        ("base", "train", 600, 20),
        ("base", "validation", 40, 4),
        ("extended", "train", 350, 20),
        ("extended", "validation", 45, 5),
        ("neutral", "train", 100, 50),
        ("neutral", "validation", 16, 8),
    ],
)
def test_there_are_enough_templates(name: str, split: str, in_all: int, in_a_kind: int) -> None:
    kinds = GRAMMARS[name].templates[split]
    assert len(set(chain.from_iterable(kinds.values()))) >= in_all
    assert min(len(set(templates)) for templates in kinds.values()) >= in_a_kind


@pytest.mark.parametrize("name", GRAMMARS)
def test_both_splits_have_the_same_kinds(name: str) -> None:
    templates = GRAMMARS[name].templates
    assert set(templates["train"]) == set(templates["validation"])


def test_each_kind_is_in_one_set() -> None:
    kinds = [kind for grammar in GRAMMARS.values() for kind in grammar.templates["train"]]
    assert len(kinds) == len(set(kinds)) == 21


def test_no_template_is_in_both_splits() -> None:
    assert not frames("train") & frames("validation")


def test_no_opinion_word_is_in_both_splits() -> None:
    assert not opinions("train") & opinions("validation")
    assert not roots("train") & roots("validation")


def test_no_fact_is_in_both_splits() -> None:
    assert ALL.facts["train"].keys() == ALL.facts["validation"].keys()
    for slot, words in ALL.facts["train"].items():
        assert not set(words) & set(ALL.facts["validation"][slot])


@pytest.mark.parametrize(("words", "texts"), [("train", "validation"), ("validation", "train")])
def test_no_opinion_word_is_in_the_texts_of_the_other_split(words: str, texts: str) -> None:
    phrases = "|".join(map(re.escape, opinions(words)))
    matches = Counter(
        match
        for name in OPINIONS
        for row in ROWS[name, texts]
        if texts == "train" or row["words"] == "new"
        for match in re.findall(rf"\b(?:{phrases})\b", row["text"].lower())
    )
    assert not matches


@pytest.mark.parametrize(("name", "split", "template"), TEMPLATES)
def test_articles_and_verbs_agree(name: str, split: str, template: str) -> None:
    parts = [BASE.slots[name] for name in ("one_part", "more_parts")]
    one, more = ("|".join(map(re.escape, names)) for names in parts)
    for text in sample(name, split, template, 40):
        assert not re.search(r"\ba (?!one\b|useful\b|unique\b)[aeiou]", text), text
        assert not re.search(r"\ban (?!hour\b|honest\b)[^aeiou]", text), text
        assert not re.search(rf"(?<!of )the (?:{more}) (?:was|is|wasn't|isn't)\b", text), text
        assert not re.search(rf"(?<!and )the (?:{one}) (?:were|are|weren't|aren't)\b", text), text


@pytest.mark.parametrize("negator", NEGATORS)
def test_negators_do_not_predict_the_label(negator: str) -> None:
    rows = [*ROWS["base", "train"], *ROWS["extended", "train"]]
    of_kinds = Counter(
        (row["kind"], row["label"])
        for row in rows
        if re.search(NEGATORS[negator], row["text"].lower())
    )
    labels = {label: sum(n for (_, of), n in of_kinds.items() if of == label) for label in VERDICTS}
    assert sum(labels.values()) >= 100
    assert 0.4 <= labels["POSITIVE"] / sum(labels.values()) <= 0.6
    for kind in GRAMMARS["extended"].templates["train"]:
        positive, negative = (of_kinds[kind, label] for label in VERDICTS)
        if positive + negative >= 150:
            assert 0.3 <= positive / (positive + negative) <= 0.7, kind


@pytest.mark.parametrize(("name", "split"), SETS)
def test_no_row_has_a_text_of_the_behavior_suite(name: str, split: str) -> None:
    rows = "|".join(f" {normalize(row['text'])} " for row in ROWS[name, split])
    assert not [text for text in behavior_texts() if f" {text} " in rows]


def test_no_template_can_generate_a_text_of_the_behavior_suite() -> None:
    suite = {text: set(text.split()) for text in behavior_texts()}
    for name, split, template in (param.values for param in TEMPLATES):
        for sentence in sentences(template):
            fixed = set(normalize(re.sub(r"\{.*?\}|\[.*?\]|<.*?>", " ", sentence)).split()) - {
                "a",
                "an",
            }
            if possible := [text for text, words in suite.items() if fixed <= words]:
                within = set[str]().union(*(suite[text] for text in possible), {"a", "an"})
                says = re.compile(language(GRAMMARS[name], sentence, within))
                assert not [t for t in possible if says.fullmatch(t)], (split, template)
    closers = chain.from_iterable(
        lists["closer"] for labels in ALL.words.values() for lists in labels.values()
    )
    assert not {normalize(closer) for closer in closers} & suite.keys()


def test_check_against_the_suite_finds_texts_of_a_template() -> None:
    for name, split, template in (param.values for param in TEMPLATES[::50]):
        for text in sample(name, split, template, 2):
            assert re.fullmatch(language(GRAMMARS[name], template), normalize(text)), template


def test_neutral_templates_are_balanced() -> None:
    for kinds in GRAMMARS["neutral"].templates.values():
        for template in chain.from_iterable(kinds.values()):
            assert not re.search(r"[=!]\}|\[", template), template
            assert template.count("+}") == template.count("-}"), template


def test_opinion_words_mostly_have_their_usual_meaning() -> None:
    rows = ROWS["base", "train"]
    for label in VERDICTS:
        words = [word for name in ("soft", "strong") for word in BASE.words["train"][label][name]]
        wanted = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b")
        labels = Counter(row["label"] for row in rows if wanted.search(row["text"].lower()))
        assert 0.5 <= labels[label] / labels.total() <= 0.75


def test_more_rows_than_distinct_texts_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BASE.templates, "validation", {"plain": ("it is {mild=}",)})
    with pytest.raises(ValueError, match="rows must be fewer, got 2000 — plain has no more"):
        patterns.make(BASE, "validation", 2000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("patterns") / "new"
    subprocess.run(
        [sys.executable, "-m", "train.augmentation.patterns", "--out", str(out)], check=True
    )
    return out


def test_the_command_writes_all_files(folder: Path) -> None:
    for file, sets in patterns.FILES.items():
        lines = (folder / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [row for name, split, _ in sets for row in ROWS[name, split]]
        assert [json.loads(line) for line in lines] == rows
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        *(f"{file}.jsonl" for file in patterns.FILES),
    }


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fortieth of the rows."""
    fewer = {
        file: [(name, split, number // 40) for name, split, number in sets]
        for file, sets in patterns.FILES.items()
    }
    monkeypatch.setattr(patterns, "FILES", fewer)
    patterns.write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["teacher", "movie-sentiment"])
def test_neutral_rows_have_equal_probabilities(few: Path, name: str) -> None:
    own = recipe.load(name)
    read = [
        dataset.model_copy(update={"source": str(few)})
        for dataset in own.datasets
        if dataset.source == "./runs/patterns"
    ]
    parts = [preparation._split(n, own.model_copy(update={"datasets": read}))[0] for n in (0, 1)]
    assert [len(part["train"]) for part in parts] == [2_050, 200]
    likeliest = [{max(row or ()) for row in p["train"].probabilities or []} for p in parts]
    assert likeliest == [{0.95}, {0.5}]


def test_recipe_without_neutral_reads_the_other_rows(few: Path) -> None:
    own = recipe.load("quickstart", [f"datasets=[{{source: '{few}', splits: [train]}}]"])
    part, _ = preparation._split(0, own)
    assert len(part["train"]) == 2_050
    held_out = preparation.read_split(own.datasets[0], "extended_validation", own.labels)
    assert Counter(held_out.labels) == {0: 16, 1: 16}
    with pytest.raises(DataError, match="null leaves rows out"):
        preparation.read_split(own.datasets[0], "neutral_validation", own.labels)
