"""A CONDITIONING that another node made: its text found in it row by row, or refused with what to do."""

import pytest
import torch
from learn_to_steer.nodes.host.marks import MARK
from learn_to_steer.nodes.relation_parse import RelationParse
from tiny import encoder

import nodes as host_nodes

PROMPT = "a dog above a cat"
OTHER = "a tall old house"


def encoded(clip, text: str, **values) -> list:
    return [[rows, {**more, **values}] for rows, more in clip.encode_from_tokens_scheduled(clip.tokenize(text))]


def call(node: str, *args):
    cls = host_nodes.NODE_CLASS_MAPPINGS[node]
    return getattr(cls(), cls.FUNCTION)(*args)[0]


def parsed(clip, text, conditioning, corrections=""):
    return RelationParse.execute(clip, text, corrections, conditioning).result


@pytest.mark.parametrize("name", ["SD1", "SDXL", "Flux", "SD3", "Qwen-Image", "Z-Image"])
def test_another_text_of_as_many_rows_is_refused(name):
    clip = encoder(name)
    parsed(clip, PROMPT, encoded(clip, PROMPT))
    with pytest.raises(ValueError, match="The CONDITIONING is not of this text.*positions by hand"):
        parsed(clip, PROMPT, encoded(clip, "a cat above a dog"))


@pytest.mark.parametrize("name, swapped", [("SDXL", "l"), ("SDXL", "g"), ("Flux", "t5xxl")])
def test_one_of_two_texts_is_not_enough(name, swapped):
    clip = encoder(name)
    tokens = clip.tokenize(PROMPT) | {swapped: clip.tokenize("a cat above a dog")[swapped]}
    with pytest.raises(ValueError, match="for all its encoders"):
        parsed(clip, PROMPT, clip.encode_from_tokens_scheduled(tokens))


def test_flux_s_clip_may_have_another_text():
    """It makes no rows."""
    clip = encoder("Flux")
    tokens = clip.tokenize(PROMPT) | {"l": clip.tokenize(OTHER)["l"]}
    assert parsed(clip, PROMPT, clip.encode_from_tokens_scheduled(tokens))[0][0][1][MARK].prompt == PROMPT


def test_of_a_prompt_that_changes_while_sampling_only_its_own_entries_are_marked():
    clip = encoder("SD1")
    schedule = encoded(clip, "a giraffe above a cat", end_percent=0.5) + encoded(clip, PROMPT, start_percent=0.5)
    positive, _, understood = parsed(clip, PROMPT, schedule)
    assert [MARK in values for _, values in positive] == [False, True]
    assert "1 of the conditioning's 2 parts are not of this text" in understood


@pytest.mark.parametrize("name", ["SD1", "SDXL", "Flux"])
def test_behind_another_text_the_rows_are_found(name):
    clip = encoder(name)
    ours, others = encoded(clip, PROMPT), encoded(clip, OTHER)
    alone = parsed(clip, PROMPT, ours)[1]
    both = parsed(clip, PROMPT, call("ConditioningConcat", others, ours))[1]
    offset = others[0][0].shape[1]
    assert both.rows == tuple(tuple(offset + row for row in rows) for rows in alone.rows)
    assert parsed(clip, PROMPT, call("ConditioningConcat", ours, others))[1].rows == alone.rows


def test_pieces_between_breaks_are_found():
    clip = encoder("SD1")
    pieces = ["a dog above a cat,", "a bird left of a house"]
    conditioning = call("ConditioningConcat", encoded(clip, pieces[0]), encoded(clip, pieces[1]))
    words = parsed(clip, " BREAK ".join(pieces), conditioning)[1]
    rows = dict(zip(words.names, words.rows, strict=True))
    assert rows == {"dog": (2,), "cat": (5,), "bird": (77 + 2,), "house": (77 + 6,)}


@pytest.mark.parametrize("made", ["longer", "average second"])
def test_the_advice_to_give_positions_is_not_refused_again(made):
    clip = encoder("SD1")
    ours, others = encoded(clip, PROMPT), encoded(clip, OTHER)
    average = call("ConditioningAverage", others, ours, 0.5)
    conditioning = encoded(clip, "very " * 100) if made == "longer" else average
    with pytest.raises(ValueError, match="positions by hand"):
        parsed(clip, PROMPT, conditioning)
    rows = conditioning[0][0].shape[1]
    corrections = f"dog@2 | above | cat@{rows - 1}"
    positive, words, _ = parsed(clip, PROMPT, conditioning, corrections)
    assert words.rows == ((2,), (rows - 1,)) and positive[0][1][MARK].prompt == PROMPT
    with pytest.raises(ValueError, match=f"Token position {rows} is beyond"):
        parsed(clip, PROMPT, conditioning, f"dog@2 | above | cat@{rows}")


def test_pictures_that_padding_hides_are_noticed():
    """Klein's text is padded to 512 rows: pictures before it move the words, not the number of rows."""
    clip = encoder("Klein")
    conditioning = encoded(clip, PROMPT)
    moved = torch.roll(conditioning[0][0], 7, dims=-2)
    with pytest.raises(ValueError, match="is not of this text.*pictures"):
        parsed(clip, PROMPT, [[moved, conditioning[0][1]]])


def test_what_a_tokenizer_says_beside_its_tokens_is_left_out(monkeypatch):
    clip = encoder("SD1")
    tokenize = clip.tokenize
    monkeypatch.setattr(clip, "tokenize", lambda *a, **k: tokenize(*a, **k) | {"is_edit": False})
    monkeypatch.setattr(clip, "encode_from_tokens_scheduled", lambda tokens: [[torch.zeros(1, 77, 32), {}]])
    assert RelationParse.execute(clip, PROMPT).result[1].rows == ((2,), (5,))
