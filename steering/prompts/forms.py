"""What a word is, by its form and its neighbours: part of a noun phrase, a verb, the beginning of words of place.

There is no dictionary of nouns: a noun phrase is what stands between the words that lexicon.py knows, and a word is a
verb when its form and its neighbours say so ("a dog sniffs", "two monks pray").
"""

import re

from . import lexicon as lex
from .text import Text

# --- Words of place -------------------------------------------------------------------------------------------------


def starts_place(text: Text, i: int) -> bool:
    """A cheap look whether words of place begin at i, as far as they can follow a noun phrase."""
    if i >= len(text.words):
        return False
    start = text.words[i].start
    if text.word(i) in ("left", "right", "upper", "lower", "top", "bottom"):
        m = lex.LEFT_RIGHT.match(text.plain, start)
        if not m:
            return False
        if m["of"]:  # but "the left hand of the king"
            return text.word(i - 1) not in lex.NOT_BEFORE
        return in_brackets(text, m) or comes_last(text, m)
    return any(way.match(text.plain, start) for way in (lex.NAMED_WAYS, lex.EACH_OTHER, lex.SIDE_BY_SIDE))


def place_follows(text: Text, i: int) -> bool:
    """Do words like "to the left of", which begin with a preposition, begin at i?"""
    if i >= len(text.words) or text.word(i) not in lex.LEADS:
        return False
    m = lex.LEFT_RIGHT.match(text.plain, text.words[i].start)
    return bool(m and m["of"])


def in_brackets(text: Text, m: re.Match) -> bool:
    around = text.prompt[max(m.start() - 1, 0) : m.start()] + text.prompt[m.end() : m.end() + 1]
    return around in ("()", "[]")


def comes_last(text: Text, m: re.Match) -> bool:
    return text.plain[m.end() : m.end() + 9].lstrip()[:1] in ("", ",", ".", ";", "\n")


def is_end(text: Text, i: int) -> bool:
    """Does no noun stand at i, so that "on the left" is a place and not the beginning of "on the left wall"?"""
    return not names(text, i) or is_verb(text, i) or text.word(i) in lex.ARTICLES


# --- Parts of a noun phrase -----------------------------------------------------------------------------------------


def closed(text: Text, i: int) -> bool:
    """Is it a word that no noun phrase contains? The letter in "A is left of B" may be one."""
    word = text.word(i)
    letter = word == "a" and (text.word(i + 1) in lex.BE or starts_place(text, i + 1) or place_follows(text, i + 1))
    return word in lex.CLOSED and not letter


def noun(text: Text, i: int) -> bool:
    """Can the word be part of a noun phrase?"""
    return text.word(i)[0].isalnum() and not closed(text, i) and not starts_place(text, i)


def loose(text: Text, i: int) -> bool:
    """Is it an adverb or the like, which no noun phrase ends with?"""
    word = text.word(i)
    return word in lex.LOOSE or (word.endswith("ly") and word not in lex.LY_NOUNS)


def names(text: Text, i: int) -> bool:
    """Can it name something or say which: is it part of a noun phrase and no adverb?"""
    return noun(text, i) and not loose(text, i)


def adjective(word: str) -> bool:
    """Does it look like one, or say what a thing is made of or whose it is?"""
    ending = word.endswith(lex.ADJECTIVE_ENDINGS) and word not in lex.NOT_ADJECTIVES
    return ending or word in lex.BEFORE_NOUNS


def is_plural(word: str) -> bool:
    """Does it look like one? So do verbs in the third person."""
    regular = len(word) > 3 and word.endswith("s") and not word.endswith(lex.SINGULAR_ENDINGS)
    return regular or word in lex.IRREGULAR_PLURALS


# --- Verbs ----------------------------------------------------------------------------------------------------------


def is_verb(text: Text, i: int, length: int = 0) -> bool:
    """Is the word a verb? length: how many words of a noun phrase stand directly before it."""
    word, before, determiner = text.word(i), text.word(i - 1), text.word(i - length - 1)
    named = names(text, i + 1)  # a noun may follow
    if word in lex.VERBS_ONLY or (word in lex.CARRYING and not (named and adjective(before))):
        return True  # but "an old sewing machine"
    lower = text.prompt[text.words[i].start].islower()
    if word in lex.PAST:
        return not named and not (word == "set" and before in lex.SETS)  # "a tv set"
    if word in lex.THIRD:  # but "two hot dog stands"
        counted = length > 0 and determiner in lex.PLURALS
        return not counted or is_plural(before)
    if word in lex.INTRANSITIVE:
        if length > 0 and text.word(i + 1) in lex.PLURALS:
            return True  # "near the cheese stand three mice"
        joined = text.word(i - length - 2) in lex.JOINS  # "a dog and a cat stand"
        plural = is_plural(before) and before not in lex.PLURAL_FIRST
        return length > 0 and (plural or joined) and not named
    if word.endswith("ing") and len(word) > 4 and word not in lex.ING_NOUNS:
        # "a hotel swimming pool"
        first = word in lex.ING_FIRST and not is_plural(text.word(i + 1))
        with_object = length > 0 and lower and not first and not adjective(before)
        return not named or with_object  # "a woman mending nets"
    if word.endswith("ed") and len(word) > 4 and not word.endswith("eed"):
        return not named and word not in lex.ED_NOUNS and word not in lex.ADJECTIVES
    if not length or not lower:
        return False
    if determiner in ("a", "an"):  # "a dog sniffs", "a merchant weighs gold"
        if before in lex.ADJECTIVES | {"of"} or before.endswith(("ed", "ing")):
            return False
        return is_plural(word) and word not in lex.NOT_THIRD
    return not is_plural(word) and not named and _several(text, i - 1)  # "two monks pray"


def _several(text: Text, i: int) -> bool:
    """Is it a plural, and no name that looks like one, "James Bond"?"""
    word = text.word(i)
    begins = text.word(i - 1) in (".", "!", "?", ";", "\n")
    proper = text.prompt[text.words[i].start].isupper() and not begins
    return is_plural(word) and not proper and word not in lex.S_NOUNS and word not in lex.PLURAL_FIRST
