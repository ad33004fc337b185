"""What a word is, by its form and its neighbours: part of a noun phrase, a verb, the beginning of words of place.

A noun phrase is what stands between the words that lexicon.py knows; vocabulary.py tells what a word can be, and its
neighbours which of that it is ("a dog sniffs", "two monks pray").
"""

import re

from . import lexicon as lex
from .text import Text
from .vocabulary import alive, kinds, one_thing, stems

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
    if text.word(i) not in lex.STARTS or (
        text.word(i) in ("near", "inside") and text.word(i - 1) in ("the", "a", "an")
    ):
        return False  # "the near bank"
    return any(
        way.match(text.plain, start) for way in (lex.NAMED_WAYS, lex.SURROUNDED, lex.EACH_OTHER, lex.SIDE_BY_SIDE)
    )


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
    can, taking = kinds(text.word(i)), closed(text, i + 1) or i + 1 == len(text.words)
    if stems(text.word(i)) & lex.CARRYING and text.word(i).endswith("ing"):
        return True  # "a girl on left holding a flower"
    acts = ("m" in can or "z" in can) and taking  # "a woman on the left threads a needle"
    acts = acts or ("v" in can and text.word(i + 1) in lex.POSSESSIVES)  # "two men on the right point their cameras"
    return not names(text, i) or is_verb(text, i) or text.word(i) in lex.ARTICLES or acts


# --- Parts of a noun phrase -----------------------------------------------------------------------------------------


def closed(text: Text, i: int) -> bool:
    """Is it a word that no noun phrase contains? The letter in "A is left of B" may be one."""
    word = text.word(i)
    if word in lex.MODALS and named_so(text, i):
        return False
    letter = word == "a" and (text.word(i + 1) in lex.BE or starts_place(text, i + 1) or place_follows(text, i + 1))
    return word in lex.CLOSED and not letter


def named_so(text: Text, i: int) -> bool:
    """Is it the name that another follows, "Will Turner"?"""
    if i + 1 >= len(text.words):
        return False
    (one, end), (two, last) = ((word.start, word.end) for word in text.words[i : i + 2])
    titles = text.prompt[one].isupper() and text.prompt[two].isupper()
    return titles and not text.prompt[one:end].isupper() and not text.prompt[two:last].isupper()


def noun(text: Text, i: int) -> bool:
    """Can the word be part of a noun phrase?"""
    return text.word(i)[0].isalnum() and not closed(text, i) and not starts_place(text, i)


def loose(text: Text, i: int) -> bool:
    """Is it an adverb or the like, which no noun phrase ends with?"""
    word, before = text.word(i), text.word(i - 1)
    if word in lex.HEADS and text.word(i + 1) == "of" or before.endswith(("'s", "’s")):
        return False  # "a film still of", "a horse's back"
    return word in lex.LOOSE or kinds(word)[0] == "r"


def names(text: Text, i: int) -> bool:
    """Can it name something or say which: is it part of a noun phrase and no adverb?"""
    return noun(text, i) and not loose(text, i)


def named_after(text: Text, i: int) -> bool:
    """Does a noun phrase begin behind the word at i? Not in "the middle stays empty"."""
    return names(text, i + 1) and (kinds(text.word(i + 1))[0] != "a" or names(text, i + 2))


def adjective(word: str) -> bool:
    """Is it one more often than a noun, or a participle that stands like one, "a rusted gate"?"""
    first = kinds(word)[0]
    return first == "a" or word in lex.COLOURS or (first in "dg" and "n" not in kinds(word))


def is_plural(word: str) -> bool:
    """Can it be one? So do verbs in the third person look."""
    return "s" in kinds(word) or word in lex.PLURAL_WORDS


# --- Verbs ----------------------------------------------------------------------------------------------------------


def is_verb(text: Text, i: int, length: int = 0) -> bool:
    """Is the word a verb? length: how many words of a noun phrase stand directly before it.

    An adjective or a participle that stands behind its noun counts as one, "a cat asleep on a sofa".
    """
    word, before = text.word(i), text.word(i - 1)
    can = kinds(word)
    single = word.endswith("s") and text.word(i - length - 1) in ("a", "an")  # "a bus stops"
    if length and ((one_thing(before, word) and not single) or (word == "set" and before in lex.SETS)):
        return False
    named = named_after(text, i) if not length else names(text, i + 1)
    taking = text.word(i + 1) in lex.DETERMINERS  # "mends a net"
    # A noun can stand before, "a mammoth stands".
    headed = length > 0 and (not adjective(before) or ("n" in kinds(before) and "m" in can))
    headed = headed or (length == 1 and before == "other" and not named)  # "the other sleeps"
    if "g" in can:
        if one_thing(word, text.word(i + 1)):
            return False  # "a hotel swimming pool"
        acts = "a" in can and length > 0 and alive(before) and not named  # "a wolf howling"
        if can[0] == "n" and not acts and not (headed and taking) and ("i" not in can or (length and not headed)):
            return False  # "a stone building"
        if not named:
            return True
        following = text.word(i + 1)
        # "an oven glowing orange"
        acting = (
            taking
            or alive(before)
            or kinds(following)[0] in "sgdz"
            or (adjective(following) and not names(text, i + 2))
        )
        acting = acting or not set("na") & set(can)  # "a robot pouring milk"
        lower, name = (text.prompt[text.words[k].start].islower() for k in (i, i + 1))
        return headed and lower and (acting or not name)
    if "z" in can:
        return _third(text, i, length, named, taking, headed)
    if "d" in can or word in lex.SAME:
        sure = "n" not in can or word in lex.SAME | {"left"} or (headed and taking)
        return sure and (not named or taking and headed)
    if can[0] == "a" and "n" not in can:  # "a cat asleep on a sofa"
        return headed and not named and kinds(before)[0] in "ns"
    return "v" in can and _base(text, i, length, named, taking, headed)


def _third(text: Text, i: int, length: int, named: bool, taking: bool, headed: bool) -> bool:
    """The same of a word like "stands", which may be a plural."""
    can, before, determiner = kinds(text.word(i)), text.word(i - 1), text.word(i - length - 1)
    if "s" not in can:
        return True
    if not length and text.word(i + 1) in lex.BE:
        return False  # "Screws are strewn on a bench"
    if not length:
        if before == "one" and not named:
            return True  # "two dogs, one jumps over a fence"
        listed = kinds(text.word(i - 2))[0] == "z" and (before == "and" or text.word(i + 1) in (",", "and"))
        also = before in (",", "and") and listed  # "flits, bobs and sings"
        return not named and (also or (can[0] == "z" and ("m" in can or before[0].isalnum())))
    if determiner in lex.PLURALS:  # "two hot dog stands"
        return is_plural(before)
    if not headed:
        return False
    if determiner in ("a", "an", "another", "each", "every") or "m" in can or taking:
        return True  # "a dog sniffs", "a merchant weighs gold"
    owned = any(text.word(k).endswith(("'s", "’s")) for k in range(i - length, i))
    if determiner in lex.DETERMINERS or owned:
        return can[0] == "z" or "i" in can
    if text.word(i + 1) in ("into", "onto", "through", "from"):
        return True  # "black smoke twists into nothing"
    if determiner == "of" and _several(text, i - 1) and starts_place(text, i + 1):
        return True  # "a flock of gulls circles over a roof"
    if determiner == "of" and (can[0] == "z" or "i" in can):
        return "a" not in kinds(before)  # "a string of lamps twinkles", "a row of concrete arches"
    proper = length > 1 or text.word(i - 2) not in (".", "!", "?", ";", "\n")
    proper = (
        proper
        and text.prompt[text.words[i - 1].start].isupper()
        and text.prompt[text.words[i].start].islower()
        and not named
    )
    return proper or (can[0] == "z" and alive(before))


def _base(text: Text, i: int, length: int, named: bool, taking: bool, headed: bool) -> bool:
    """The same of a word like "stand", which may be a noun."""
    can, determiner = kinds(text.word(i)), text.word(i - length - 1)
    if not set(can) & set("nas"):
        return length > 0 or ((not named or "m" in can) and text.prompt[text.words[i].start].islower())  # not "Harry"
    if headed and can[0] == "v" and text.word(i + 1) in lex.PLURALS and determiner not in ("a", "an"):
        return True  # "below the bridge drift two boats"
    if not length and taking:  # "from left to right, stand the mayor and the judge", "on which rest a cup"
        return "m" in can or text.word(i - 1) == "which"
    # "a dog and a cat stand", "a knight and a wizard face each other"
    each = lex.EACH_OTHER.match(text.plain, text.words[i].end + 1)
    joined = text.word(i - length - 2) in lex.JOINS and ("m" in can or each or alive(text.word(i - 1)))
    several = _several(text, i - 1) or (
        (text.word(i - 1) in lex.HERDS or text.word(i - 1).endswith("fish")) and can[0] == "v"
    )
    joined = joined and not ("c" in can and text.word(i - 1) in lex.PARENTS)  # "the father bear and the mother bear"
    if headed and (joined or several) and (not named or taking):
        return True
    following = text.word(i + 1)
    if headed and ((several and (can[0] == "v" or kinds(following)[0] == "s")) or following in lex.MOTION):
        return True  # "two men play dominoes", "three nuns on a Vespa speed through a town"
    # "near the cheese stand three mice", "above the street hang red lanterns"
    behind = text.word(i + 1) in lex.PLURALS or kinds(text.word(i + 1))[0] in "as"
    return headed and behind and determiner not in ("a", "an") and "m" in can


def _several(text: Text, i: int) -> bool:
    """Is it a plural, and no name that looks like one, "James Bond"?"""
    word = text.word(i)
    begins = text.word(i - 1) in (".", "!", "?", ";", "\n")
    proper = text.prompt[text.words[i].start].isupper() and not begins
    return is_plural(word) and not proper and word not in lex.PLURAL_FIRST
