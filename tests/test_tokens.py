import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learn_to_steer.steering.tokens import phrase_positions, variants


def tokens(text: str, keeps: int | None = None, chunk: int = 10**9) -> list[int | None]:
    """A tokenizer of words and marks: a template that is tokens too, cut after `keeps` of the text's tokens, and a
    start and an end token around each chunk; "(" joins the letters after it."""
    words = re.findall(r"\(?[^\W\d]+|\d|\S", text)
    ids = [hash(word) for word in ("<say>", *words[:keeps], *(() if keeps else ("</say>",)))]
    chunks = [ids[i : i + chunk] for i in range(0, len(ids), chunk)]
    return [token for part in chunks for token in (None, *part, None)]


def find(prompt: str, span: tuple[int, int], **limits) -> list[int]:
    replaced, longer = variants(prompt, span)
    texts = [tokens(text, **limits) for text in (prompt, *replaced, longer)]
    return list(phrase_positions(texts[0], texts[1:-1], texts[-1]))


def test_the_phrase_at_its_place():
    prompt = "a dog left of a hot dog"
    assert find(prompt, (2, 5)) == [3]
    assert find(prompt, (16, 23)) == [7, 8]
    assert find(prompt, (20, 23)) == [8]


def test_special_tokens_between_chunks_are_left_out():
    #        None <say> a None | None dog left None | None of a None | None hot dog None | ...
    assert find("a dog left of a hot dog", (16, 23), chunk=2) == [13, 14]
    assert find("a dog left of a hot dog", (0, 10), chunk=2) == [2, 5, 6]


def test_a_bracket_that_joins_the_phrase_is_taken_and_another_is_not():
    assert find("(dog) on a cat", (1, 4)) == [2]  # "(dog" is one token
    assert find("( dog ) on a cat", (2, 5)) == [3]
    assert find("(7 dogs) on a cat", (1, 7)) == [3, 4]


@pytest.mark.parametrize("phrase", ["q", "7", "Q q", "7 q", "q7xk35", "ｑ"])
def test_a_phrase_like_a_stand_in(phrase):
    prompt = f"a q 7 left of {phrase} 7 q"
    span = (14, 14 + len(phrase))
    replaced, _ = variants(prompt, span)
    assert prompt not in replaced
    count = len(tokens(phrase)) - len(tokens(""))
    assert find(prompt, span) == list(range(7, 7 + count))


def test_a_phrase_that_is_cut_off():
    prompt = "a hot dog left of a big red cat and more and more"
    assert find(prompt, (2, 9), keeps=7) == [3, 4]  # what follows it moves when it is replaced
    assert find(prompt, (20, 31), keeps=7) == [8]
    assert find(prompt, (28, 31), keeps=7) == []


def test_no_phrase():
    assert find("a dog", (2, 2)) == []
    assert find("", (0, 0)) == []
    assert phrase_positions([], [[]], []) == ()


WORDS = st.lists(st.sampled_from(["a", "dog", "cat", "q", "7", "(", ")", "red", ","]), max_size=12)


@given(WORDS, st.lists(st.sampled_from(["a", "dog", "cat", "red"]), min_size=1, max_size=4), WORDS,
       st.integers(1, 5), st.none() | st.integers(1, 20))  # fmt: skip
def test_positions_are_the_phrases(before, phrase, after, chunk, keeps):
    """Whatever is repeated around it, in chunks, and cut off; words between blanks are tokens."""
    text, head = " ".join(before + phrase + after), " ".join([*before, ""])
    span = (len(head), len(head) + len(" ".join(phrase)))
    at = [i for i, t in enumerate(tokens(text, keeps, chunk)) if t is not None]
    wanted = range(1 + len(before), 1 + len(before) + len(phrase))
    kept = 1 + (len(before + phrase + after) if keeps is None else keeps)
    assert find(text, span, keeps=keeps, chunk=chunk) == [at[i] for i in wanted if i < kept]
