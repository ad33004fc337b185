"""Wishes read from prompts and written by hand."""

import json
import re
import statistics
import subprocess
import sys
import time
from itertools import permutations
from pathlib import Path

import pytest
import words
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_to_steer.steering.prompts import NOTHING, Parsed, override, parse
from learn_to_steer.steering.prompts.lexicon import SPELLINGS
from learn_to_steer.steering.prompts.vocabulary import PATH, kinds, table
from learn_to_steer.steering.relations import DIRECTIONS, RELATIONS
from learn_to_steer.steering.words import Phrase, Wish

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
KINDS = re.split(
    r",\s+",
    """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
    stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra,
    giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball,
    kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass,
    cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog,
    pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse,
    remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush""",
)


# --- Prompts with the wishes that they state: tests/prompts*.txt -----------------------------------------------


def sections(*names: str) -> dict[str, list[tuple[str, list[str]]]]:
    """Section -> its prompts, each with the lines that are expected for it.

    A prompt stands at the beginning of a line ("\\n" is a line break in it), the answer's lines are indented: wishes
    with "#2" after a phrase that stands in the prompt more than once, "!" for a warning, "-" for nothing.
    """
    found: dict[str, list] = {}
    section = ""
    for name in names:
        for line in (TESTS / name).read_text(encoding="utf-8").splitlines():
            if line.startswith("# "):
                section = line[2:]
            elif line.startswith("    "):
                found[section][-1][1].extend([] if line.strip() == "-" else [line.strip()])
            elif line:
                found.setdefault(section, []).append((line.replace("\\n", "\n"), []))
    return found


def named(prompt: str, phrase: Phrase) -> str:
    """The phrase with "#2" when it is the second of its words."""
    words = rf"(?<!\w){re.escape(phrase.text)}(?!\w)"
    places = [match.span() for match in re.finditer(words, prompt, re.IGNORECASE)]
    number = places.index(phrase.span) + 1
    return phrase.text if number == 1 else f"{phrase.text}#{number}"


def answer(prompt: str) -> list[str]:
    parsed = parse(prompt)
    check_spans(parsed)
    lines = []
    for wish in parsed.wishes:
        subject, *objects = (named(prompt, phrase) for phrase in wish.things)
        lines.append(" | ".join([subject, wish.relation, *([" and ".join(objects)] if objects else [])]))
    kinds = ("contradicts", "says the same")
    return lines + ["! " + kind for kind in kinds for warning in parsed.warnings if kind in warning]


def check_spans(parsed: Parsed) -> None:
    for wish in parsed.wishes:
        assert wish.relation in RELATIONS
        for phrase in wish.things:
            assert parsed.prompt[slice(*phrase.span)] == phrase.text != ""


def misread(prompts: list[tuple[str, list[str]]]) -> list[tuple[str, list[str], list[str]]]:
    return [(prompt, wanted, answer(prompt)) for prompt, wanted in prompts if answer(prompt) != wanted]


PROMPTS = sections("prompts.txt", "prompts_geneval.txt")


@pytest.mark.parametrize("section", PROMPTS)
def test_prompts(section):
    assert misread(PROMPTS[section]) == []


@pytest.mark.parametrize(("prompt", "wanted"), sum(sections("prompts_misread.txt").values(), []))
@pytest.mark.xfail(strict=True, reason="known to be read wrongly; read rightly, it belongs into prompts.txt")
def test_prompts_that_are_misread(prompt, wanted):
    assert answer(prompt) == wanted


def test_there_are_enough_prompts():
    assert sum(map(len, sections("prompts.txt").values())) >= 250
    assert sum(map(len, sections("prompts_geneval.txt").values())) == 100


def test_prompts_that_the_rules_were_never_tuned_to():
    """96 of 100, as it came out when they were first read; nothing is to be mended for their sake.

    Places and "on" came into the answers of 12 of them when these began to be read.
    """
    prompts = sum(sections("prompts_unseen.txt").values(), [])
    right = len(prompts) - len(misread(prompts))
    assert len(prompts) == 100
    assert right >= 96


def test_prompts_as_people_type_them():
    """698 prompts of every kind, which the rules were tuned to: 695 are read rightly, and no kind below 9 of 10."""
    kinds = sections("prompts_typed.txt")
    wrong = {kind: len(misread(prompts)) for kind, prompts in kinds.items()}
    assert sum(map(len, kinds.values())) >= 600
    assert sum(wrong.values()) <= 0.03 * sum(map(len, kinds.values()))
    assert all(wrong[kind] <= 0.1 * len(prompts) for kind, prompts in kinds.items())


def test_a_second_set_as_people_type_them():
    """320 prompts of the same kinds, 0.934 of them read rightly when first read; then the rules were mended."""
    prompts = sum(sections("prompts_typed_2.txt").values(), [])
    assert len(prompts) >= 319
    assert len(misread(prompts)) <= 2


def test_prompts_written_apart():
    """200 by a hand that saw no rule, of all lengths and kinds: 180 when first read, 182 after what other prompts had
    shown was mended; nothing is to be mended for their sake."""
    prompts = sum(sections("prompts_apart.txt").values(), [])
    right = sum(sorted(answer(prompt)) == sorted(wanted) for prompt, wanted in prompts)
    assert len(prompts) == 200
    assert right >= 182


def test_every_prompt_of_visor():
    """All ordered pairs of COCO's 80 kinds in VISOR's four relations, its 25,280 spatial prompts."""
    ways = {
        "to the left of": "left of",
        "to the right of": "right of",
        "above": "above",
        "below": "below",
    }
    began, read = time.perf_counter(), 0
    for subject, object in permutations(KINDS, 2):
        a, b = ("an" if kind[0] in "aeiou" else "a" for kind in (subject, object))
        for way, relation in ways.items():
            (wish,) = parse(f"{a} {subject} {way} {b} {object}").wishes
            assert (wish.subject.text, wish.relation, wish.object.text) == (subject, relation, object)
            read += 1
    assert read == 25280
    assert time.perf_counter() - began < 30  # it takes two seconds


# --- What the sets above do not say -------------------------------------------------------------------------------


def read(prompt: str) -> list[str]:
    parsed = parse(prompt)
    check_spans(parsed)
    return list(map(str, parsed.wishes))


@pytest.mark.parametrize(
    ("relation", "way"),
    [(relation, way) for relation, ways in SPELLINGS.items() for way in ways if relation != "between"],
)
def test_every_spelling(relation, way):
    assert read(f"a photo of a giraffe {way} an airplane") == [f"giraffe | {relation} | airplane"]


@pytest.mark.parametrize("lead", ["", "to ", "to the ", "on the ", "at the ", "on ", "To The ", "just ", "far to the "])
@pytest.mark.parametrize("vertical", ["", "upper ", "top ", "lower-", "bottom "])
@pytest.mark.parametrize("tail", [" of", " side of", " hand side of", "-hand side of"])
def test_every_left_and_right(lead, vertical, tail):
    left = {"upper": "upper left of", "top": "upper left of", "": "left of"}.get(vertical.strip(" -"), "lower left of")
    assert read(f"a dog {lead}{vertical}left{tail} a cat") == [f"dog | {left} | cat"]
    assert read(f"a dog {lead}{vertical}RIGHT{tail} a cat") == [f"dog | {left.replace('left', 'right')} | cat"]


@pytest.mark.parametrize(
    ("prompt", "wish"),
    [
        ("teddy_bear left of hot_dog, 1girl", "teddy_bear | left of | hot_dog"),
        ("a dog left-of a cat", "dog | left of | cat"),
        ("a dog (left of a cat)", "dog | left of | cat"),
        ("a dog (to the left of a cat:1.2)", "dog | left of | cat"),
        ("a cat[left of]a dog", "cat | left of | dog"),
        ("person A to the left of person B", "person A | left of | person B"),
        ("A is above B", "A | above | B"),
    ],
)
def test_odd_spellings(prompt, wish):
    assert read(prompt) == [wish]


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "   ",
        "\n",
        "left of",
        "left of a cat",
        "a dog left of",
        "of",
        "masterpiece, best quality, 8k",
    ],
)
def test_no_wish_is_a_normal_answer(prompt):
    assert parse(prompt) == Parsed(prompt, (), ())


def test_the_sentence_for_no_wish_shows_what_is_read():
    for example in re.findall(r'"(.+?)"', NOTHING):
        assert parse(example).wishes


def test_repeated_words_keep_their_own_places():
    assert parse("a dog left of a dog").wishes == (Wish(Phrase("dog", (2, 5)), "left of", Phrase("dog", (16, 19))),)


def test_between_has_two_objects():
    (wish,) = parse("a cup between a lamp and a book").wishes
    assert (wish.object.span, wish.second.span) == ((16, 20), (27, 31))
    assert wish.object_text == "lamp and book"


def test_warnings_name_both_wishes():
    (warning,) = parse("a dog left of a cat. the dog right of the cat").warnings
    assert warning == (
        '"dog | right of | cat" contradicts "dog | left of | cat": a picture can follow only one. Take one out, or '
        'call one thing "another" if two are meant.'
    )
    (warning,) = parse("A dog is left of a cat. The cat is right of the dog.").warnings
    assert warning == '"cat | right of | dog" says the same as "dog | left of | cat", so it counts once.'


@pytest.mark.parametrize("relation", DIRECTIONS)
def test_the_opposite_contradicts(relation):
    both = override("a dog, a cat", f"dog | {relation} | cat\ncat | {relation} | dog")
    assert len(both.wishes) == 2 and "contradicts" in both.warnings[0]


@pytest.mark.parametrize(
    ("lines", "warnings"),
    [
        ("a | left of | b\nb | left of | c\nc | left of | a", 1),
        ("a | left of | b\nb | upper left of | c\nc | lower left of | a", 1),
        ("a | left of | b\nb | left of | c\na | left of | c", 0),
        ("a | left of | b\na | above | b", 0),
        ("a | near | b\na | left of | b", 0),
        ("a | between | b and c\na | between | c and b", 1),
    ],
)
def test_rings_and_repeats(lines, warnings):
    assert len(override("a, b, c", lines).warnings) == warnings


def test_what_may_be_meant_otherwise_comes_with_the_line_to_write():
    prompt = "a bed with a lamp on the left"
    parsed = parse(prompt)
    assert list(map(str, parsed.wishes)) == ["lamp | left of | bed"]
    assert parsed.warnings == (
        '"lamp | left of | bed" may be meant as "lamp | left". If so, paste into corrections:\nlamp | left',
    )
    prompt = "a bee on a bee, a leaf above it"
    (warning,) = parse(prompt).warnings
    sentence, lines = warning.split("corrections:\n")
    assert sentence == '"leaf | above | bee" may be meant as "leaf | above | bee". If so, paste into '
    assert lines == "bee | on | bee#2\nleaf | above | bee#2"
    assert [wish.objects[0].span for wish in override(prompt, lines).wishes] == [(11, 14), (11, 14)]


def test_a_second_mention_may_be_another_thing():
    assert parse("a fish above a reef and a fish below the reef").warnings == ()
    assert parse("shelves above and below the counter").warnings == ()
    assert parse("a crow on the left, a crow on the right").warnings == ()
    assert "contradicts" in parse("a crow on the left. The crow is on the right.").warnings[0]


# --- What a word can be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "letters"),
    [("sits", "z"), ("walls", "s"), ("mice", "s"), ("sleek", "a"), ("ivy-clad", "a"), ("slowly", "r"), ("stood", "d")],
)
def test_words(word, letters):
    assert set(letters) <= set(kinds(word))


def test_a_word_that_nobody_knows_is_a_noun():
    assert kinds("qwortle") == "n" and kinds("qwortles") == "s"


def test_the_list_of_words_is_small_and_quick():
    assert PATH.stat().st_size < 1e6
    began = time.perf_counter()
    table.__wrapped__()
    assert time.perf_counter() - began < 0.1  # 0.01 s
    assert "Princeton University" in PATH.read_text(encoding="utf-8")


def test_the_list_of_words_is_made_of_wordnet(tmp_path):
    """Of a WordNet of a few words: sit, sleek, a sled and a beanie; bean sprouts, by its name one thing."""
    lines = {
        "index.noun": "sled n 1 0 1 1 1\nbeanie n 1 0 1 0 2\nhat n 1 0 1 1 3\nbean_sprout n 1 0 1 0 4\nman n 1 0 1 1 5",
        "index.verb": "sit v 1 0 1 1 6\nsprout v 1 0 1 1 7\nsled v 1 0 1 0 7",
        "index.adj": "sleek a 1 0 1 0 8",
        "index.adv": "",
        "data.noun": "1 06 n 01 sled 0 000 | x\n2 06 n 01 beanie 0 000 | x\n3 06 n 01 clothing 0 001 ~ 2 n 0000 | x\n"
        "4 13 n 01 bean_sprout 0 000 | x\n5 18 n 01 man 0 000 | x",
        "data.verb": "6 35 v 01 sit 0 000 01 + 02 00 | x\n7 30 v 01 sprout 0 000 01 + 08 00 | x",
        "cntlist.rev": "sit%2:35:00:: 1 9\nsprout%2:30:00:: 1 3\nman%1:18:00:: 1 5",
        "verb.exc": "sat sit",
        "noun.exc": "men man",
    }
    for name, text in lines.items():
        (tmp_path / name).write_text("  1 the head of the file\n" + text + "\n")
    words.main([str(tmp_path), "--into", str(tmp_path)])
    text = (tmp_path / words.WORDS).read_text()
    made = {word: line.split()[0] for line in text.splitlines() if line[0] != "#" for word in line.split()[1:]}
    assert text.startswith("# What English words can be")
    assert made == {
        "sled": "nvt", "beanie": "nw", "hat": "nw", "sit": "vm", "sprout": "vt", "sleek": "a", "bean_sprout": "+",
        "man": "np", "sat": "d", "men": "sp",
    }  # fmt: skip


# --- Corrections ----------------------------------------------------------------------------------------------------

PROMPT = "a hot dog, a Teddy Bear and a dog-house with a cat and a cat"


@pytest.mark.parametrize(
    ("lines", "relation", "subject", "object"),
    [
        ("hot dog | left of | cat", "left of", (2, 9), (47, 50)),
        ("  A hot dog|TO THE  LEFT of|the cat  ", "left of", (2, 9), (47, 50)),
        ("hot dog | left | cat", "left of", (2, 9), (47, 50)),
        ("\n\nteddy bear | on top of | hot dog\n\n", "above", (13, 23), (2, 9)),
        ("teddy bear | top left of | hot dog", "upper left of", (13, 23), (2, 9)),
        ("cat | beneath | cat", "below", (47, 50), (57, 60)),
        ("cat#2 | right of | cat", "right of", (57, 60), (47, 50)),
        ("cat #2 | right of | cat#1", "right of", (57, 60), (47, 50)),
        ("dog-house | next to | dog", "near", (30, 39), (6, 9)),
        ("cat | on | dog-house", "on", (47, 50), (30, 39)),
        ("hot dog | around | cat", "around", (2, 9), (47, 50)),
        ("cat | surrounded by | hot dog", "around", (2, 9), (47, 50)),
    ],
)
def test_override(lines, relation, subject, object):
    parsed = override(PROMPT, lines)
    check_spans(parsed)
    (wish,) = parsed.wishes
    assert (wish.relation, wish.subject.span, wish.object.span) == (relation, subject, object)


@pytest.mark.parametrize(
    "prompt, line",
    [
        ("一只狗在猫的左边", "狗 | left of | 猫"),
        ("犬は猫の左にいる", "犬 | left of | 猫"),
        ("หมาอยู่ทางซ้ายของแมว", "หมา | left of | แมว"),
        ("собака слева от кошки", "собака | left of | кошки"),
    ],
)
def test_override_in_other_scripts(prompt, line):
    (wish,) = override(prompt, line).wishes
    assert str(wish) == line
    check_spans(override(prompt, line))


def test_override_takes_no_part_of_a_word():
    with pytest.raises(ValueError, match='"соба" is not in the prompt'):
        override("собака слева от кошки", "соба | left of | кошки")


def test_override_gives_rows_by_hand():
    (wish,) = override("a dog, a dog", "dog#2@5-7 | left of | dog @ 2, 4").wishes
    assert wish == Wish(Phrase("dog", (9, 12), (5, 6, 7)), "left of", Phrase("dog", (2, 5), (2, 4)))


def test_override_between():
    (wish,) = override(PROMPT, "hot dog | between | cat and teddy bear").wishes
    assert str(wish) == "hot dog | between | cat and Teddy Bear"
    (wish,) = override("a cup between two lamps", "cup | between | two lamps").wishes
    assert wish.second is None


def test_override_takes_words_apart():
    (wish,) = override("a hot dog left of a dog", "dog | right of | hot dog").wishes
    assert (wish.subject.span, wish.object.span) == ((20, 23), (2, 9))


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("cat | left", "cat | left"),
        ("a cat#2 | in the top right corner", "cat | upper right"),
        ("hot dog | center", "hot dog | centre"),
        ("Teddy Bear | BACKGROUND", "Teddy Bear | background"),
    ],
)
def test_override_places(line, wish):
    assert list(map(str, override(PROMPT, line).wishes)) == [wish]


def test_override_skips_what_a_language_model_writes_around_the_lines():
    lines = """Here are the relations:

```
1. hot dog | left of | cat
2) cat#2 | on | dog-house
- Teddy Bear | right
* `cat | near | dog-house`
| cat#2 | left of | cat |
```
I hope this helps!"""
    assert list(map(str, override(PROMPT, lines).wishes)) == [
        "hot dog | left of | cat",
        "cat | on | dog-house",
        "Teddy Bear | right",
        "cat | near | dog-house",
        "cat | left of | cat",
    ]


def test_what_is_read_can_be_written_by_hand():
    for prompt, _ in sum(sections("prompts.txt", "prompts_typed.txt").values(), [])[::5]:
        lines = [line for line in answer(prompt) if not line.startswith("!")]
        assert override(prompt, "\n".join(lines)).wishes == parse(prompt).wishes


def test_override_several_lines():
    parsed = override("a dog, a cat", "dog | left of | cat\ncat | left of | dog\ncat | right of | dog\n")
    assert list(map(str, parsed.wishes)) == ["dog | left of | cat", "cat | left of | dog"]
    assert "contradicts" in parsed.warnings[0] and "says the same" in parsed.warnings[1]
    assert override("a dog", " \n ") == Parsed("a dog", (), ())


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            "cat | above | hot dog\ncow | left of | cat",
            'Line 2, "cow | left of | cat": "cow" is not in the prompt. Write it as it stands there.',
        ),
        (
            "ca | left of | dog",
            'Line 1, "ca | left of | dog": "ca" is not in the prompt. Write it as it stands there.',
        ),
        (
            "cat | left of | house",
            'Line 1, "cat | left of | house": "house" is not in the prompt. Write it as it stands there.',
        ),
        (
            "cat | towards | hot dog",
            'Line 1, "cat | towards | hot dog": "towards" is not a relation. Use left of, right of, above, below, '
            "upper left of, upper right of, lower left of, lower right of, in front of, behind, inside, near, "
            "between, on or around.",
        ),
        (
            "\ncat left of hot dog",
            'Line 2, "cat left of hot dog": write "subject | relation | object" or "thing | place", for '
            'example "dog | left of | cat".',
        ),
        (
            "cat | nowhere",
            'Line 1, "cat | nowhere": "nowhere" is not a place. Use left, right, top, bottom, centre, upper left, '
            "upper right, lower left, lower right, foreground or background.",
        ),
        (
            "cat | | dog",
            'Line 1, "cat | | dog": write "subject | relation | object" or "thing | place", for example "dog | left of '
            '| cat".',
        ),
        (
            "hot dog | above | hot dog",
            'Line 1, "hot dog | above | hot dog": "hot dog" means words of the prompt that the line has already named. '
            "Name two things, each in its own place there.",
        ),
        (
            "cat#3 | above | dog",
            'Line 1, "cat#3 | above | dog": "cat#3" is not there: the prompt has "cat" only 2 times.',
        ),
        (
            "dog#2 | above | cat",
            'Line 1, "dog#2 | above | cat": "dog#2" is not there: the prompt has "dog" only once.',
        ),
        (
            "dog@7-5 | above | cat",
            'Line 1, "dog@7-5 | above | cat": in "dog@7-5", write token positions like "dog@5", "dog@5-6" or '
            '"dog@5,8".',
        ),
    ],
)
def test_override_error(lines, sentence):
    with pytest.raises(ValueError) as error:
        override(PROMPT, lines)
    assert str(error.value) == sentence


# --- Command line ---------------------------------------------------------------------------------------------------


def command(prompts: list[str]) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-m", "steering.relations"], cwd=ROOT, input="\n".join(prompts), capture_output=True,
        encoding="utf-8", check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_command_line():
    two = "a dog left of a cat. the dog right of the cat"
    prompts = ["a café left of a dog", "", "a cup between a lamp and a book", two, "a cat in the top left corner"]
    answers = command(prompts)
    assert [line["prompt"] for line in answers] == prompts
    assert answers[0] == {
        "prompt": prompts[0],
        "relations": [
            {
                "subject": "café",
                "relation": "left of",
                "object": "dog",
                "subject_span": [2, 6],
                "object_span": [17, 20],
            }
        ],
        "places": [],
        "warnings": [],
    }
    assert answers[1] == {"prompt": "", "relations": [], "places": [], "warnings": []}
    assert answers[2]["relations"][0]["object"] == "lamp and book"
    assert answers[2]["relations"][0]["object_span"] == [16, 31]
    assert [len(line["warnings"]) for line in answers] == [0, 0, 0, 1, 0]
    assert answers[4]["places"] == [{"thing": "cat", "place": "upper left", "thing_span": [2, 5]}]


def test_the_words_need_neither_torch_nor_host():
    code = "import sys, steering.prompts; sys.exit(bool({'torch', 'numpy', 'comfy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# --- Any text -------------------------------------------------------------------------------------------------------

# "q" keeps a made-up noun from being a word that the parser knows.
noun_words = st.from_regex("q[a-z]{0,6}q", fullmatch=True)
nouns = st.lists(noun_words, min_size=1, max_size=3).map(" ".join)
spellings = st.sampled_from([(name, way) for name, ways in SPELLINGS.items() for way in ways if name != "between"])


@settings(deadline=None)
@given(nouns, st.lists(st.tuples(spellings, nouns), min_size=1, max_size=4))
def test_any_chain_is_read_as_built(noun, links):
    prompt, subject, expected = f"a {noun}", Phrase(noun, (2, 2 + len(noun))), []
    about = subject
    for number, ((relation, way), noun) in enumerate(links):
        noun = f"{noun} x{number}"  # another one each time: no rings
        prompt += f" {way} a {noun}"
        object = Phrase(noun, (len(prompt) - len(noun), len(prompt)))
        # "a cat on a rug on a floor left of a dog": the rug is on the floor, the cat is left of the dog
        rests = relation in ("on", "around")
        expected.append(Wish(subject if relation == "on" else about, relation, object))
        subject, about = object, about if rests else object
    assert parse(prompt) == Parsed(prompt, tuple(expected), ())


pieces = st.sampled_from(
    ["inside the picture", "left of", "to the right of", "above", "on", "surrounded by", "in the middle of",
     "his", "head", "stands", '"', "foreground:", "by", "AND", "old", "around", "over", "under", "a", "the",
     "and", "which", "is", "wearing", "in", "dog", "cat", "sitting", "high", "of", "photo of", "average", "it",
     ",", ".", "(", ":1.2)", "2", "|", "#2", "@5", "\n", "-", "on the left", "on its left", "between",
     "each other", "from left to right", "with", "no", "not", "both", "there", "the cat's left", "side by side",
     "at the top of the picture", "black", "BREAK", "<lora:x:1>", "embedding:x", "\\(", "isn't", "that", "can",
     "half a metre", "stands", "İ", "ǅ"]
)  # fmt: skip
texts = st.text() | st.lists(pieces | st.text(max_size=3), max_size=60).map(" ".join)


@settings(deadline=None, max_examples=400)
@given(texts, texts)
def test_any_text_is_read_or_refused_in_words(prompt, lines):
    check_spans(parse(prompt))
    try:
        check_spans(override(prompt, lines))
    except ValueError as error:
        assert str(error).startswith("Line ")


@settings(deadline=None, max_examples=30)
@given(st.lists(pieces | st.text(max_size=3), min_size=1, max_size=6).map(" ".join))
def test_long_texts_take_time_in_proportion(words):
    """10,000 characters of anything repeated, far from what a square of their number would take."""
    text = (10000 * (words + " "))[:10000]
    began = time.perf_counter()
    check_spans(parse(text))
    assert time.perf_counter() - began < 2  # 0.05 to 0.2 s


def test_an_ordinary_prompt_takes_less_than_a_millisecond():
    prompts = [prompt for prompts in PROMPTS.values() for prompt, _ in prompts]
    seconds = []
    for prompt in prompts:
        began = time.perf_counter()
        parse(prompt)
        seconds.append(time.perf_counter() - began)
    assert statistics.median(seconds) < 1e-3
