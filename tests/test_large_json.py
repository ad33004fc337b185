"""A JSON file read value by value: the same values as at once, broken files told, memory of a piece only."""

import io
import json
import tracemalloc

import pytest
from learn_to_steer.steering import large_json
from learn_to_steer.steering.large_json import LargeJson

DATA = {"info": {"a": [1, 2.5e3, None]}, "images": [{"n": at, "s": 'a"\u00e9' * at} for at in range(30)], "none": []}


def read(text: str) -> dict:
    file = LargeJson(io.StringIO(text))
    return {key: list(file.values()) if file.next() == "[" else file.value() for key in file.members()}


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_pieces_of_any_size_give_what_the_whole_gives(monkeypatch, piece, indent):
    monkeypatch.setattr(large_json, "PIECE", piece)
    assert read(json.dumps(DATA, indent=indent)) == DATA
    assert list(LargeJson(io.StringIO("[12345, 6]")).values()) == [12345, 6]


@pytest.mark.parametrize("cut", [5, 40, 200, -1])
def test_a_file_that_breaks_off_is_told(cut):
    with pytest.raises(ValueError, match="it breaks off after|it is no JSON at character"):
        read(json.dumps(DATA)[:cut])


def test_what_is_no_json_is_told_where_and_at_once(monkeypatch):
    monkeypatch.setattr(large_json, "PIECE", 64)
    file = io.StringIO('{"a": [x' + " " * 9999 + "]}")
    reader = LargeJson(file)
    with pytest.raises(ValueError, match="it is no JSON at character 8"):
        for _ in reader.members():
            list(reader.values())
    assert file.tell() <= 128


def test_memory_is_that_of_a_piece():
    text = json.dumps([{"segmentation": [0.5] * 200}] * 12000)
    file = LargeJson(io.StringIO(text))
    tracemalloc.start()
    count = sum(1 for _ in file.values())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 12000 and peak < 6 * large_json.PIECE < len(text)
