"""How far a noun phrase reaches: from its determiners to its last word, and which of its words belong to it."""

from . import lexicon as lex
from .forms import adjective, closed, is_verb, loose, names, noun, place_follows, starts_place
from .text import Text
from .vocabulary import kinds


def after_determiners(text: Text, i: int) -> int:
    """The first word from i on that is no determiner."""
    while text.word(i) in lex.DETERMINERS and closed(text, i):
        if text.word(i + 1) == "of" and text.word(i) not in lex.ARTICLES:
            break  # "one of the dogs"
        i += 1
    return i


def phrase_end(text: Text, begin: int, determined: bool) -> tuple[int, int | None]:
    """The index after the last word of the noun phrase that begins at `begin`, after its determiners if any, and the
    index of its verb, if that is what ends it."""
    end, verb = begin, None
    while end < len(text.words):
        length, word = end - begin, text.word(end)
        joined = length > 0 and _joins(text, end, determined)
        if joined or (length == 1 and determined and _particle(text, end)):
            end += 1
            continue
        blue_one = length > 0 and word == "one" and not names(text, end + 1)
        if not noun(text, end) and not blue_one:
            break
        if length and word in lex.SOMEBODY:
            break
        if length and is_verb(text, end, length):
            verb = end
            break
        if word in lex.MODALS and text.word(end + 1) in lex.BE:
            break  # "a comet can be seen", not "a trash can"
        if length and remark(text, end):
            break
        end += 1
    last = text.word(end - 1)
    well = (
        end > begin + 1
        and "n" in kinds(last)
        and last not in lex.LOOSE
        and kinds(text.word(end - 2))[0] in "adgn"
        and determined
    )
    while end > begin + 1 and ((loose(text, end - 1) and not well) or not text.word(end - 1)[0].isalnum()):
        end -= 1
    return begin if end == begin + 1 and not determined and loose(text, begin) else end, verb


def _joins(text: Text, i: int, determined: bool) -> bool:
    """Does the phrase go on: "a black and white cat", "a big, red dog", "fish and chips"?"""
    before, after = text.word(i - 1), text.word(i + 1)
    if text.word(i) == ",":
        can = kinds(before)
        first = (
            can[0] == "a"
            or (can[0] in "dgv" and "a" in can or can[0] in "dg")
            and adjective(after)
            and names(text, i + 2)
        )
        return determined and first and noun(text, i + 1)
    adjectives = adjective(before) and adjective(after) and noun(text, i + 2)
    return (text.word(i) in ("and", "&") or (adjectives and text.word(i) in ("yet", "but"))) and (
        adjectives or (before, after) in lex.PAIRS
    )


def _particle(text: Text, i: int) -> bool:
    """ "a worn out sofa", "a boarded up shop" """
    before = text.word(i - 1)
    participle = "d" in kinds(before) or adjective(before)
    return text.word(i) in ("up", "down", "out", "off") and participle and names(text, i + 1)


def last_words(text: Text, first: int, end: int) -> int:
    """Where the phrase's last words begin: brackets cut it, "a (brown:1.2) dog", and the noun stands last."""
    for i in range(end - 1, first, -1):
        whole = (
            not text.gap(i).replace("_", " ").strip()  # "teddy_bear" is one word
            or "," in (text.word(i), text.word(i - 1))
            or text.word(i - 1) in lex.TITLES
        )
        if not whole:
            return i
    return first


def remark(text: Text, i: int) -> bool:
    """Does a remark on the noun begin here in brackets: "a cat (oil painting)", "a bat \\(animal\\)"?

    Other brackets are ComfyUI's emphasis.
    """
    gap = text.gap(i)
    if "\\(" in gap:
        return True
    if starts_place(text, i) or place_follows(text, i):
        return False  # "a dog (left of a cat)"
    start = text.words[i].start
    inside, bracket, _ = text.prompt[start : start + 80].partition(")")
    if "(" not in gap or not bracket or ":" in inside or "(" in inside:
        return False
    if inside[:1].isdigit():
        return True  # "Captain Okafor (50s)"
    style = any(word in lex.HEADS | lex.STYLE for word in inside.lower().split())
    several = " " in inside.strip() and gap == " ("
    return style or (several and not adjective(text.word(i - 1)))


def after_remark(text: Text, i: int) -> int:
    """The index after the remark that begins at i, or i where none does."""
    if i < len(text.words) and remark(text, i):
        i += 1
        while i < len(text.words) and ")" not in text.gap(i):
            i += 1
    return i
