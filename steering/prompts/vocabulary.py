"""What an English word can be: from words.txt, a list made of WordNet, and from a word's ending."""

import re
from functools import lru_cache
from pathlib import Path

from . import lexicon as lex

PATH = Path(__file__).with_name("words.txt")
# An ending and what the stem may have in its place, "shelves" and "shelf", the likeliest first.
STEMS = {"ies": ("y",), "es": ("", "e"), "s": ("",), "ied": ("y",), "ed": ("", "e"), "ing": ("", "e")}
FORMS = {"s": {"n": "s", "v": "z"}, "d": {"v": "d"}, "g": {"v": "g"}}
DOUBLED = re.compile(r"([b-df-hj-np-tvz])\1$")


@lru_cache(maxsize=1)
def table() -> dict[str, str]:
    """Word -> its letters, which the head of words.txt explains."""
    found: dict[str, str] = {}
    for line in PATH.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            letters, *words = line.split()
            found.update(dict.fromkeys(words, letters))
    return found


@lru_cache(maxsize=4096)
def kinds(word: str) -> str:
    """What the word can be, the usual first: n noun, s plural, v verb, z its third person ("sits"), g its -ing form, d
    a past form, a adjective, r adverb, then t verb with an object, m mostly a verb, b part of a body, w something worn,
    p person, c creature, i idea.

    A word that nobody knows is a noun.
    """
    if given := lex.OWN.get(word) or table().get(word):
        return given
    whole, hyphen, last = word.rpartition("-")
    if hyphen and whole:
        given = kinds(last)
        return "a" if given[0] in "adgr" else given.replace("v", "").replace("z", "") or "n"
    if word.endswith("men") and len(word) > 5 and word not in ("specimen", "regimen", "abdomen"):
        return "sp"
    if word.endswith(lex.ADJECTIVE_ENDINGS) and not word.endswith("fish"):
        return "a"
    if word.endswith("ly") and len(word) > 4:
        return "r"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return _inflected(word, "s") or ("sp" if word.removesuffix("s").endswith(lex.PERSON_ENDINGS) else "s")
    if len(word) > 4 and word.endswith("ing"):
        return _inflected(word, "g") or "ga"
    if len(word) > 4 and word.endswith("ed") and not word.endswith("eed"):
        return _inflected(word, "d") or "da"
    return "np" if word.endswith(lex.PERSON_ENDINGS) else "n"


def _inflected(word: str, form: str) -> str:
    """What an inflected word can be, by its stems, or "" where none is known."""
    found = ""
    for stem in sorted(stems(word)):
        made = "".join(
            FORMS[form].get(letter, letter if letter in "tmbwpci" else "") for letter in table().get(stem, "")
        )
        if made and made[0] in FORMS[form].values():
            found += "".join(letter for letter in made if letter not in found)
    return found


@lru_cache(maxsize=4096)
def stems(word: str) -> frozenset[str]:
    """The word and what it may be a form of."""
    found = {word}
    for ending, instead in STEMS.items():
        if word.endswith(ending):
            stem = word.removesuffix(ending)
            found.update(stem + letters for letters in instead if len(stem + letters) > 2)
            if ending in ("ed", "ing") and DOUBLED.search(stem):
                found.add(stem[:-1])
    return frozenset(found)


def one_thing(first: str, second: str) -> bool:
    """Do two words name one thing, though one of them looks like a verb: "swimming pool", "bean sprouts"?"""
    name = f"{first}_{second}"
    return name in table() or (second.endswith("s") and name[:-1] in table())


def finite(verb: str) -> bool:
    """Does it say what its subject does, "sits", where "sitting" and "seated" say how it is?"""
    return verb in lex.BE or bool({"v", "z"} & set(kinds(verb)))


def alive(word: str) -> bool:
    """Is it a person or an animal?"""
    return bool({"p", "c"} & set(kinds(word.lstrip("0123456789"))))


def idea(word: str) -> bool:
    """Is it a time, a state or the like more than a thing?"""
    return "i" in kinds(word) and kinds(word)[0] == "n"
