"""Relations read from prompts and written by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_to_steer.steering.relations import (
    OPPOSITE,
    SPELLINGS,
    STEERABLE,
    Parsed,
    Phrase,
    Relation,
    override,
    parse,
)

ROOT = Path(__file__).resolve().parent.parent


def read(prompt: str) -> list[str]:
    """The relations of the prompt as text, after a check that every span holds its phrase."""
    parsed = parse(prompt)
    assert parsed.prompt == prompt
    check_spans(parsed)
    return [str(relation) for relation in parsed.relations]


def check_spans(parsed: Parsed) -> None:
    for relation in parsed.relations:
        for phrase in (relation.subject, relation.object):
            assert parsed.prompt[slice(*phrase.span)] == phrase.text != ""


FORMS = {
    "left of": ["left of", "to the left of", "on the left of", "on the left side of", "on the left hand side of",
                "on the left-hand side of", "To The LEFT of"],
    "right of": ["right of", "to the right of", "on the right of", "on the right side of", "on the right hand side of",
                 "on the right-hand side of", "to the right side of"],
    "above": ["above", "over", "on top of", "on the top of", "ABOVE"],
    "below": ["below", "under", "beneath", "underneath", "on the bottom of", "Under"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("label", "form"), [(label, form) for label, forms in FORMS.items() for form in forms]
)
def test_form(label, form):
    assert read(f"a photo of a giraffe {form} an airplane") == [f"giraffe | {label} | airplane"]


@pytest.mark.parametrize(
    "before",
    ["sitting", "is", "which is placed", "that hangs", "hangs", "directly", "high", "just", "right", "is sitting just",
     "which is", "flying high", "stands", ", sitting", ", which is,"],
)  # fmt: skip
def test_words_before_the_relation_are_not_the_subject(before):
    assert read(f"a red bird {before} above a bus") == ["red bird | above | bus"]


@pytest.mark.parametrize(
    "head", ["photo", "picture", "image", "emoji", "painting", "close-up photo"]
)
def test_style_head_is_not_the_subject(head):
    assert read(f"A {head} of a dog left of a cat") == ["dog | left of | cat"]
    assert read(f"{head} of dog left of cat") == ["dog | left of | cat"]


@pytest.mark.parametrize(
    ("prompt", "relation"),
    [
        ("a photo of a brown dog right of a teddy bear", "brown dog | right of | teddy bear"),
        ("a photo of a hot dog below a parking meter", "hot dog | below | parking meter"),
        ("a stop sign above a dining table", "stop sign | above | dining table"),
        ("the Dog left of The Cat", "Dog | left of | Cat"),
        ("two dogs left of three black cats", "dogs | left of | black cats"),
        ("2 dogs left of 3 cats", "dogs | left of | cats"),
        ("a cup of tea left of a glass of wine", "cup of tea | left of | glass of wine"),
        ("a high chair left of a high chair", "high chair | left of | high chair"),
        ("three flies above a flying bird", "flies | above | flying bird"),
        ("there is a dog left of a cat", "dog | left of | cat"),
        ("a table and a dog left of a cat", "dog | left of | cat"),
        ("a dog left of the other dog", "dog | left of | other dog"),
        ("a dog left of a picture of a cat", "dog | left of | picture"),
        ("a man wearing a red hat left of a tree", "man | left of | tree"),
        ("a man in a red coat left of a tree", "man | left of | tree"),
        ("in a kitchen a cup left of a spoon", "cup | left of | spoon"),
        ("a grand-mother's cup left of a T-shirt", "grand-mother's cup | left of | T-shirt"),
    ],
)
def test_noun_phrase(prompt, relation):
    assert read(prompt) == [relation]


@pytest.mark.parametrize(
    "tail",
    ["", ", studio lighting, 4k", ".", " and a bus", " with a hat", " sitting on a mat", " that sleeps", " in a garden",
     " wearing sunglasses", " next to a bus", "\nmasterpiece", " is what we see", "; sharp"],
)  # fmt: skip
def test_object_ends(tail):
    assert read("a dog left of a black cat" + tail) == ["dog | left of | black cat"]


@pytest.mark.parametrize(
    ("prompt", "subject", "object"),
    [
        ("(a dog:1.2) left of a cat", "dog", "cat"),
        ("a (dog:1.2) left of ((a teddy bear):0.8), sharp", "dog", "teddy bear"),
        ("a ((brown dog)) (left of:1.3) a [cat]", "brown dog", "cat"),
        ("(a dog left of a cat:1.2)", "dog", "cat"),
        (
            "a (brown:1.2) dog left of a cat",
            "dog",
            "cat",
        ),  # a bracket within the phrase: the part with the noun
        ('a "dog" left of a “cat”', "dog", "cat"),
        (r"a dog \(left of\) a cat", "dog", "cat"),
    ],
)
def test_emphasis_is_not_in_the_phrases(prompt, subject, object):
    assert read(prompt) == [f"{subject} | left of | {object}"]


@pytest.mark.parametrize(
    ("prompt", "relations"),
    [
        (
            "a cup left of a spoon left of a fork",
            ["cup | left of | spoon", "spoon | left of | fork"],
        ),
        ("a dog left of a cat above a bus", ["dog | left of | cat", "cat | above | bus"]),
        ("a dog left of a cat which is above a bus", ["dog | left of | cat", "cat | above | bus"]),
        ("a dog left of a cat, which is above a bus", ["dog | left of | cat", "cat | above | bus"]),
        ("a dog left of a cat and above a bus", ["dog | left of | cat", "dog | above | bus"]),
        (
            "a dog is left of a cat, and is above a bus",
            ["dog | left of | cat", "dog | above | bus"],
        ),
        ("a dog left of a cat, above a bus", ["dog | left of | cat", "dog | above | bus"]),
        (
            "a dog left of a cat in a garden and above a bus",
            ["dog | left of | cat", "dog | above | bus"],
        ),
        ("a dog above and to the left of a cat", ["dog | above | cat", "dog | left of | cat"]),
        (
            "a dog left of a cat, and a bus above a car",
            ["dog | left of | cat", "bus | above | car"],
        ),
        ("a dog left of a cat and a bus above a car", ["dog | left of | cat", "bus | above | car"]),
        (
            "A dog is left of a cat. A bus hangs above a car.",
            ["dog | left of | cat", "bus | above | car"],
        ),
        ("dog left of cat\nbus above car", ["dog | left of | cat", "bus | above | car"]),
        (
            "a dog left of a cat. Above a bus",
            ["dog | left of | cat"],
        ),  # a sentence takes no subject from another
    ],
)
def test_several(prompt, relations):
    assert read(prompt) == relations


def test_repeated_words_keep_their_own_places():
    assert parse("a dog left of a dog").relations == (
        Relation(Phrase("dog", (2, 5)), "left of", Phrase("dog", (16, 19))),
    )
    first, second = parse("a dog left of a cat, a cat above a dog").relations
    assert (first.subject.span, first.object.span) == ((2, 5), (16, 19))
    assert (second.subject.span, second.object.span) == ((23, 26), (35, 38))


@pytest.mark.parametrize(
    "prompt",
    [
        "", "   ", "\n", "a dog", "a dog and a cat", "a dog left alone", "right after a dog", "a dog right after a cat",
        "a dog looking to the left", "a dog on the left and a cat on the right", "a dog above average",
        "a dog of above average size", "right of way", "a car has the right of way", "an over-the-top hat",
        "a hat that is over the top", "a dog with its right hand up", "some left over pizza", "left of a cat",
        "a dog left of", "a dog left of.", "a dog left of, a cat", "seen from above, a dog", "people over 18",
        "a bridge under construction", "paint all over the floor", "two dogs, one above the other",
        "dogs above each other", "a dog left of it", "it is left of a dog", "a dog on the left side of the image",
        "an icon over a white background", "the sky above", "a cat, above all", "leftof a cat rightof a dog",
    ],
)  # fmt: skip
def test_no_relation(prompt):
    assert parse(prompt) == Parsed(prompt, (), ())


@pytest.mark.parametrize(
    ("prompt", "kept", "warned"),
    [
        ("A dog is left of a cat. The cat is left of the dog.", 2, "contradicts"),
        ("A dog is left of a cat. The dog is right of the cat.", 2, "contradicts"),
        ("A dog is above a cat. The dog is below the cat.", 2, "contradicts"),
        ("the dog left of the cat, the cat left of the dog", 2, "contradicts"),
        ("A dog is left of a cat. The cat is right of the dog.", 1, "says the same"),
        ("A dog is left of a cat. The dog is to the left of the cat.", 1, "says the same"),
        ("A dog is left of a cat. The dog is above the cat.", 2, None),
        ("a dog left of a cat, a cat left of a dog", 2, None),  # two dogs and two cats
        ("a dog left of the dog", 1, None),
    ],
)
def test_said_twice(prompt, kept, warned):
    parsed = parse(prompt)
    assert len(parsed.relations) == kept
    assert len(parsed.warnings) == (warned is not None)
    assert all(warned in warning for warning in parsed.warnings)


def test_warning_names_both_relations():
    (warning,) = parse("A dog is left of a cat. The cat is left of the dog.").warnings
    assert warning == (
        '"cat | left of | dog" contradicts "dog | left of | cat": a picture can follow only one. Take one out.'
    )
    (warning,) = parse("A dog is left of a cat. The cat is right of the dog.").warnings
    assert (
        warning
        == '"cat | right of | dog" says the same as "dog | left of | cat", so it counts once.'
    )


PROMPT = "a hot dog, a Teddy Bear and a dog-house with a cat and a cat"


@pytest.mark.parametrize(
    ("lines", "label", "subject", "object"),
    [
        ("hot dog | left of | cat", "left of", (2, 9), (47, 50)),
        ("  A hot dog|TO THE  LEFT of|the cat  ", "left of", (2, 9), (47, 50)),
        ("\n\nteddy bear | on top of | hot dog\n\n", "above", (13, 23), (2, 9)),
        ("cat | beneath | cat", "below", (47, 50), (57, 60)),
        ("cat#2 | right of | cat", "right of", (57, 60), (47, 50)),
        ("cat #2 | right of | cat#1", "right of", (57, 60), (47, 50)),
        ("dog-house | above | dog", "above", (30, 39), (6, 9)),
    ],
)
def test_override(lines, label, subject, object):
    parsed = override(PROMPT, lines)
    check_spans(parsed)
    (relation,) = parsed.relations
    assert (relation.label, relation.subject.span, relation.object.span) == (label, subject, object)


def test_override_places_do_not_overlap():
    (relation,) = override("a hot dog left of a dog", "dog | right of | hot dog").relations
    assert (relation.subject.span, relation.object.span) == ((20, 23), (2, 9))


def test_override_several_lines():
    parsed = override(
        "a dog, a cat, a bus", "dog | left of | cat\ncat | left of | dog\ncat | right of | dog\n"
    )
    assert list(map(str, parsed.relations)) == ["dog | left of | cat", "cat | left of | dog"]
    assert ["contradicts" in parsed.warnings[0], "says the same" in parsed.warnings[1]] == [
        True,
        True,
    ]
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
            "cat | near | hot dog",
            'Line 1, "cat | near | hot dog": "near" is not a relation that can be steered. '
            "Use left of, right of, above or below.",
        ),
        (
            "\ncat left of hot dog",
            'Line 2, "cat left of hot dog": write "subject | relation | object", for example "dog | left of | cat".',
        ),
        (
            "cat | | dog",
            'Line 1, "cat | | dog": write "subject | relation | object", for example "dog | left of | cat".',
        ),
        (
            "hot dog | above | hot dog",
            'Line 1, "hot dog | above | hot dog": "hot dog" and "hot dog" are the same words of the prompt. '
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
    ],
)
def test_override_error(lines, sentence):
    with pytest.raises(ValueError) as error:
        override(PROMPT, lines)
    assert str(error.value) == sentence


def test_command_line():
    prompts = [
        "a café left of a dog",
        "",
        "a dog",
        "A dog is left of a cat. The cat is left of the dog.",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "steering.relations"], cwd=ROOT, input="\n".join(prompts), capture_output=True,
        encoding="utf-8", check=True,
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["prompt"] for answer in answers] == prompts
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
        "warnings": [],
    }
    assert answers[1] == {"prompt": "", "relations": [], "warnings": []}
    assert [len(answer["relations"]) for answer in answers] == [1, 0, 0, 2]
    assert [len(answer["warnings"]) for answer in answers] == [0, 0, 0, 1]


def test_table():
    assert set(STEERABLE) <= set(SPELLINGS) == set(OPPOSITE)
    assert all(OPPOSITE[OPPOSITE[label]] == label for label in OPPOSITE)


# "q" keeps a made-up noun from being a word that the parser knows.
noun_words = st.from_regex("q[a-z]{0,6}", fullmatch=True)
nouns = st.lists(noun_words, min_size=1, max_size=3).map(" ".join)
spellings = st.sampled_from(
    [(label, spelling) for label, ways in SPELLINGS.items() for spelling in ways]
)


@settings(deadline=None)
@given(nouns, st.lists(st.tuples(spellings, nouns), min_size=1, max_size=4))
def test_any_chain_is_read_as_built(noun, links):
    prompt, subject, expected = f"a {noun}", Phrase(noun, (2, 2 + len(noun))), []
    for (label, spelling), noun in links:
        prompt += f" {spelling} a {noun}"
        object = Phrase(noun, (len(prompt) - len(noun), len(prompt)))
        expected.append(Relation(subject, label, object))
        subject = object
    assert parse(prompt) == Parsed(prompt, tuple(expected), ())


pieces = st.sampled_from(
    ["left of", "to the right of", "above", "over", "under", "a", "the", "and", "which", "is", "wearing", "in", "dog",
     "cat", "sitting", "high", "of", "photo of", "average", "it", ",", ".", "(", ":1.2)", "2", "|", "#2", "\n"]
)  # fmt: skip
texts = st.text() | st.lists(pieces | st.text(max_size=3), max_size=25).map(" ".join)


@settings(deadline=None)
@given(texts, texts)
def test_any_text_is_read_or_refused_in_words(prompt, lines):
    check_spans(parse(prompt))
    try:
        check_spans(override(prompt, lines))
    except ValueError as error:
        assert str(error).startswith("Line ")


@pytest.mark.parametrize(
    "words", ["above and ", "in ", "wearing a ", "a dog left of ", "1", "(", "dog , "]
)
def test_long_prompts_are_read(words):
    parse(words * 1200)  # more than Python's limit of recursion
