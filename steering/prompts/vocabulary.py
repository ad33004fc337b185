"""What an English word can be: from words.txt, a list made of WordNet, and from a word's ending."""

from functools import lru_cache
from pathlib import Path

PATH = Path(__file__).with_name("words.txt")
ADJECTIVE_ENDINGS = ("ous", "ful", "less", "ish", "able", "ible", "'s", "’s", "s'", "s’")


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
    a past form, a adjective, r adverb, then b part of a body, w something worn, p person, c creature, i idea.

    A word that nobody knows is a noun.
    """
    if given := table().get(word):
        return given
    whole, hyphen, last = word.rpartition("-")
    if hyphen and whole:
        given = kinds(last)
        return "a" if given[0] in "adgr" else given.replace("v", "").replace("z", "") or "n"
    if word.endswith(ADJECTIVE_ENDINGS):
        return "a"
    if word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        return kinds_of_stem(word, "s", {"n": "s", "v": "z"}) or "s"
    if word.endswith("ing") and len(word) > 4:
        return kinds_of_stem(word, "ing", {"v": "g"}) or "ga"
    if word.endswith("ed") and not word.endswith("eed") and len(word) > 4:
        return kinds_of_stem(word, "ed", {"v": "d"}) or "da"
    if word.endswith("ly") and len(word) > 4:
        return "r"
    return "n"


def kinds_of_stem(word: str, ending: str, form: dict[str, str]) -> str:
    """The same of an inflected form, as its stem is known, or "" where it is not."""
    stem = word.removesuffix(ending)
    stems = [stem, stem + "e", stem[:-1] if stem[-2:-1] == stem[-1:] else "", stem[:-1] + "y"]
    if ending == "s":
        stems = [stem, stem.removesuffix("e"), stem[:-2] + "y" if stem.endswith("ie") else "",
                 stem[:-2] + "f" if stem.endswith("ve") else "", stem[:-2] + "fe" if stem.endswith("ve") else ""]  # fmt: skip
    for one in stems:
        given = table().get(one, "")
        if letters := "".join(form.get(letter, letter if letter in "bwpci" else "") for letter in given):
            if letters[0] in form.values():
                return letters
    return ""


def one_thing(first: str, second: str) -> bool:
    """Do two words name one thing, though one of them looks like a verb: "swimming pool", "bean sprouts"?"""
    name = f"{first}_{second}"
    return name in table() or (second.endswith("s") and name[:-1] in table())
