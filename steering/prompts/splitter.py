"""A prompt -> its pieces in order: things (noun phrases), words of place, verbs, prepositions and marks."""

import re
from dataclasses import dataclass

from ..relations import NAME_OF, NOWHERE, Direction
from ..words import Phrase
from . import lexicon as lex
from .forms import (
    adjective,
    comes_last,
    in_brackets,
    is_end,
    is_plural,
    is_verb,
    loose,
    named_after,
    named_so,
    names,
    noun,
    place_follows,
    starts_place,
)
from .nouns import after_determiners, after_remark, last_words, phrase_end
from .text import Text, text_of
from .vocabulary import alive, kinds, one_thing, stems


@dataclass(frozen=True)
class Piece:
    """A part of the prompt that the grammar of relations tells apart.

    kind: "thing", "relation" ("left of"), "side" ("on the left"), "adverb" ("on top"), "row" ("from left to right"),
    "each other", "both", "pronoun", "verb", "preposition", "which", "there", "not", "join", "comma", "dash" or "stop".
    start: its first character in the prompt. text: in lower case; of a thing, its noun. relation: of a relation, adverb
    or row; place: of a side, as in relations.DIRECTIONS; phrase and article: of a thing; article is the last word
    before the noun phrase that says which one, "" for none.
    """

    kind: str
    start: int
    text: str = ""
    relation: str = ""
    place: Direction = NOWHERE
    phrase: Phrase = Phrase("", (0, 0))
    article: str = ""


def pieces(prompt: str) -> list[Piece]:
    """Every piece of the prompt in order. Never raises; takes time linear in the prompt's length."""
    return _on_one_line(_Splitter(prompt).split())


def _on_one_line(pieces: list[Piece]) -> list[Piece]:
    """Without the line breaks that end nothing: a thing stands before, and relation words with their object follow.

    A blank line ends what was said, and so does a break before "left of the door is a window".
    """
    kept: list[Piece] = []
    i = 0
    while i < len(pieces):
        end = i
        while end < len(pieces) and pieces[end].text in ("\n", "\r"):
            end += 1
        broken = "".join(piece.text for piece in pieces[i:end]) in ("\n", "\r", "\r\n")
        following = [piece.kind for piece in pieces[end : end + 3]]
        goes_on = following[:2] == ["relation", "thing"] and following[2:] not in (["verb"], ["thing"], ["there"])
        if not (broken and goes_on and kept and kept[-1].kind in ("thing", "verb", "comma")):
            kept += pieces[i:end]
        kept += pieces[end : end + 1]
        i = end + 1
    return kept


def plain_after(text: Text, m: re.Match) -> str:
    return text.plain[m.end() : m.end() + 40]


class _Splitter:
    """Stands at a word and takes one piece after the other."""

    def __init__(self, prompt: str):
        self.text = text_of(prompt)
        self.pieces: list[Piece] = []
        self.i = 0  # the word to be read
        self.verb_at: int | None = None  # the word that ended a noun phrase because it is its verb

    def split(self) -> list[Piece]:
        while self.i < len(self.text.words):
            if not (self._mark() or self._place() or self._small_word() or self._verb() or self._thing()):
                self.i += 1  # an adverb
        return self.pieces

    def _before(self) -> str:
        """The kind of the piece before."""
        return self.pieces[-1].kind if self.pieces else "stop"

    def _add(self, kind: str, words: int = 1, **more) -> bool:
        first, last = self.text.words[self.i], self.text.words[self.i + words - 1]
        self.pieces.append(Piece(kind, first.start, **{"text": self.text.plain[first.start : last.end], **more}))
        self.i += words
        return True

    def _add_match(self, kind: str, match: re.Match, **more) -> bool:
        return self._add(kind, self.text.index(self.i, match.end()) - self.i, **more)

    # --- marks, small words and verbs -----------------------------------------------------------------------------

    def _mark(self) -> bool:
        word = self.text.word(self.i)
        if word[0].isalnum() or word == "&":
            return False
        if word in "\n\r" and self._before() in ("relation", "join", "preposition"):
            self.i += 1  # a line broken within a phrase
            return True
        return self._add("stop" if word in ".!?;\n\r|" else "dash" if word in "-–—" else "comma")

    def _small_word(self) -> bool:
        i, text = self.i, self.text
        word, before, following = (text.word(i + k) for k in (0, -1, 1))
        if word == "there" and (following in lex.BE | {"stand", "lived"} or following.endswith("s")):
            return self._add("there", 2)
        if word == "no" and following in ("longer", "one"):
            return self._add("not", 2)
        if self._before() == "thing" and word in lex.SOMEBODY | lex.PERSONS:
            return self._add("which")  # "the statue everyone photographs"
        hers = word == "her" and (noun(text, i + 1) or following in lex.PLURALS) and not is_verb(text, i + 1)
        if hers or (word == "that" and self._that_one(following)):
            return False  # "that dog", "her dog"
        if word in ("both", "all") and (starts_place(text, i + 1) or following in lex.BE | lex.LEADS):
            return self._add("both")  # "a dog and a cat, both above a bus"
        if word == "like" and before in lex.AUXILIARIES:  # "I'd like a dog"
            self.i += 1
            return True
        if kind := lex.KINDS.get(word):
            span = text.words[i].start, text.words[i].end
            return self._add(kind, phrase=Phrase(text.prompt[slice(*span)], span))
        # "you can see"
        modal = word in lex.MODALS and before in lex.AUXILIARIES | lex.PRONOUNS | lex.RELATIVES
        number = word == "one" and noun(text, i + 1) and not is_verb(text, i + 1)
        if word in lex.MODALS and named_so(text, i):
            return False
        if modal or word in lex.REFLEXIVES or (word in lex.AUXILIARIES and not number):
            self.i += 1
            return True
        return False

    def _that_one(self, following: str) -> bool:
        """Is it "that dog", and no "that sleeps"?"""
        if self._before() == "thing" or following in lex.SOMEBODY or is_plural(following):
            return False
        return names(self.text, self.i + 1) and not is_verb(self.text, self.i + 1)

    def _verb(self) -> bool:
        i, text = self.i, self.text
        word, before = text.word(i), text.word(i - 1)
        which = before in lex.DETERMINERS and not (before == "one" and "z" in kinds(word))  # "one sleeps"
        if not noun(text, i) or (which and self._before() not in ("which", "pronoun")):
            return False
        named = named_after(text, i)
        placed = not named and (starts_place(text, i + 1) or place_follows(text, i + 1))
        lower = text.prompt[text.words[i].start].islower()
        found = (
            self.verb_at == i
            # "sleeping left of", but "a sleeping cat"
            or (is_verb(text, i) and not named and not (self._before() == "relation" and is_plural(word)))
            # "on the wall behind him hang saws"
            or (self._before() == "pronoun" and {"v", "m"} <= set(kinds(word)))
            # "between them winds a river"
            or (self._before() == "pronoun" and "z" in kinds(word) and text.word(i + 1) in ("a", "an", "the"))
            # "a girl feeding pigeons"
            or (kinds(word)[0] == "g" and self._before() in ("thing", "verb", "which"))
            or ({"g", "i"} <= set(kinds(word)) and self._before() == "verb" and is_plural(text.word(i + 1)))
            # "can see", "has left"
            or (before in lex.MODALS and not text.prompt[text.words[i].start].isupper())
            or (before in lex.NOT and kinds(word)[0] in "vzgd")
            # "1girl, holding umbrella"
            or (
                stems(word) & lex.CARRYING
                and word.endswith("ing")
                and not one_thing(word, text.word(i + 1))
                and self._before() in ("comma", "stop", "thing", "relation")
            )
            or (before in lex.PERFECT_BEFORE and "d" in kinds(word))
            # "which winds between hedges"
            or (names(text, i) and self._after_which())
            # "a cave was dug under a hill"; "two rivals, angry, stand in front of a shop"
            or (placed and before in lex.BE and lower)
            or (
                placed
                and before == ","
                and len(self.pieces) > 1
                and self.pieces[-2].kind != "side"
                and self._after_aside(word)
            )
        )
        return found and self._add("verb")

    def _after_aside(self, word: str) -> bool:
        """ "two rivals, angry, stand in front of a shop"; but "masterpiece, cat right of a dog" """
        can, last = kinds(word), self.text.word(self.i - 2)
        aside = kinds(last)[0] in "adgr" or adjective(last) or "m" in can or self._in_aside()
        return aside and bool({"v", "z"} & set(can))

    def _in_aside(self) -> bool:
        """ "a staircase, its railing eaten by rust, coils behind a cage" """
        start = max((k for k in range(max(self.i - 12, 0), self.i - 1) if self.text.word(k) == ","), default=-1)
        return self.text.word(start + 1) in ("its", "his", "her", "their")

    def _after_which(self) -> bool:
        """Must a verb follow, as in "which winds between hedges", not "whose wings", not "over which eagles circle"?"""
        object = len(self.pieces) > 1 and self.pieces[-2].kind in ("relation", "preposition")
        return self._before() == "which" and not object and self.text.word(self.i - 1) != "whose"

    # --- words of place -------------------------------------------------------------------------------------------

    def _place(self) -> bool:
        """ "to the left of", "on its left", "in the upper left corner", "next to", "on top", "from left to right" """
        text, plain, start = self.text, self.text.plain, self.text.words[self.i].start
        if m := lex.SAYINGS.match(plain, start):
            self.i = text.index(self.i, m.end())
            return True
        m = lex.SURROUNDED.match(plain, start)
        if m and not (m[0] in ("rings", "ringing") and self._before() == "thing" and alive(self.pieces[-1].text)):
            return self._add_match("relation", m, relation="around")
        if m := lex.ROW.match(plain, start):
            return self._add_match("row", m, relation=lex.ROWS[" ".join(m["row"].split())])
        if text.word(self.i) in ("centered", "centred") and self._ends_at(self.i + 1):
            return self._add("side", place=NOWHERE)
        if m := lex.EACH_OTHER.match(plain, start):
            return self._add_match("each other", m)
        if m := lex.SIDE_BY_SIDE.match(plain, start):
            self._add_match("relation", m, relation="near")
            self.pieces.append(Piece("each other", m.end()))
            return True
        if (m := lex.OWNED.match(plain, start)) and self._ends(m):
            self._add_match("relation", m, relation=m["horizontal"] + " of")
            owner = Phrase(text.prompt[slice(*m.span("owner"))], m.span("owner"))
            self.pieces.append(Piece("thing", m.start("owner"), m["owner"], phrase=owner, article="the"))
            return True
        before = text.word(self.i - 1)
        if (m := lex.LEFT_RIGHT.match(plain, start)) and self._left_right(m, before):
            return True
        if (m := lex.TOP_BOTTOM.match(plain, start)) and self._top_bottom(m):
            return True
        if before == "from" and self._peeps():
            before = ""  # "a rabbit peeks out from behind a tree"
        if before in (lex.NOT_BEFORE_OVER if text.word(self.i) == "over" else lex.NOT_BEFORE):
            return False
        m, adverb = lex.NAMED_WAYS.match(plain, start), lex.ADVERB_WAYS.match(plain, start)
        way = " ".join(m[0].split()) if m else ""
        if m and not (adverb and adverb.end() > m.end()):  # "on top"
            return self._add_match("relation", m, relation=lex.NAMED.get(way) or lex.SHORT[way])
        if adverb and self._ends(adverb):
            return self._add_match("adverb", adverb, relation=lex.ADVERBS[" ".join(adverb[0].split())])
        if text.word(self.i) == "by" and text.word(self.i + 1) in ("a", "an", "the") and self._beside():
            return self._add("relation", relation="near")
        return False

    def _peeps(self) -> bool:
        """Does it say where one looks out, "from under the bed", and not whence a picture was taken?"""
        if self.text.word(self.i) not in ("behind", "under", "beneath", "underneath", "inside", "between"):
            return False
        said = {stem for piece in self.pieces[-4:] for word in piece.text.split() for stem in stems(word)}
        taken = said & (lex.HEADS | {"see", "seen", "shoot", "film", "take", "taken", "photograph", "light"})
        return self.text.word(self.i + 1) in lex.DETERMINERS and not taken

    def _beside(self) -> bool:
        """ "a swing by the lake", "she sits by a window"; but "lit by the moon" """
        last = self.pieces[-1].text if self.pieces else ""
        return self._before() == "thing" or (
            self._before() == "verb" and ("d" not in kinds(last) and last not in lex.SAME or last in lex.STAYING)
        )

    def _left_right(self, m: re.Match, before: str) -> bool:
        vertical = m["vertical"] or m["late"]
        y = 0 if not vertical else -1 if vertical in lex.UPPER else 1
        place = (-1 if m["horizontal"][0] == "l" else 1, y, 0, 0)
        relation = NAME_OF[place]
        if not m["of"] and (other := lex.AND_OTHER.match(plain_after(self.text, m))):
            self.i = self.text.index(self.i, m.end() + other.end())  # "torches on left and right"
            return True
        both = (
            not m["of"] and (m["lead"] or self._before() == "thing") and lex.AND_RIGHT.match(plain_after(self.text, m))
        )
        if both:  # "to the left and right of a throne"
            return self._add_match("relation", m, relation=relation)
        if m["of"]:
            after = self.text.index(self.i, m.end())
            whole = self.text.word(after) in ("the", "this") and self.text.word(after + 1) in lex.PICTURE | lex.HEADS
            if not m["lead"] and whole and self._before() in ("stop", "comma"):  # "the left side of the image shows"
                return self._add("side", after + 2 - self.i, place=place)
            if not m["lead"] and before in ("bit", "little", "much", "nothing", "part", "piece"):
                return False  # "the last bit left of a melting snowman"
            if not m["lead"] and (m["whose"] or before in lex.NOT_BEFORE):
                return False  # "the left of", "the right of way"
            article = self.text.word(after) in lex.ARTICLES
            named = (self._before() == "thing" and article) or before in lex.BE
            if m["of"].strip(" -") == "to" and not (article or before in lex.BE):
                return False  # "a path to the left to follow"
            if m["of"].strip(" -") not in ("of", "off") and not (m["lead"] or vertical or named):
                return False  # "turn left to the castle"
            return self._add_match("relation", m, relation=relation)
        if self._half(m, place):  # "the left half shows a city"
            return True
        if not m["colon"] and not self._ends(m):
            return False  # "his right hand", "on the left wall"
        if m["lead"] and m["whose"] not in (None, "the"):  # "on its left"
            self._add_match("relation", m, relation=relation)
            self.pieces.append(Piece("pronoun", m.end(), m["whose"]))
            return True
        if before in ("one", "other", "another"):
            self.i = self.text.index(self.i, m.end())  # "two girls, one on the left"
            return True
        if not m["lead"] and before in lex.PERFECT_BEFORE:
            return False  # "the train has left"
        if m["lead"] == "from" or (m["lead"] is None and not self._stands_alone(m)):
            return False
        return self._add_match("side", m, place=place)

    def _top_bottom(self, m: re.Match) -> bool:
        place = lex.PLACES[m["place"]]
        if m["of"]:
            after = self.text.index(self.i, m.end())
            # "at the top of the picture"
            whole = self.text.word(after) in ("the", "this") and self.text.word(after + 1) in lex.PICTURE | lex.HEADS
            return whole and self._add("side", after + 2 - self.i, place=place)
        if self._half(m, place):
            return True
        if " ".join(m[0].split()) in lex.ADVERBS or not (m["colon"] or self._ends(m)):
            return False
        return bool(m["lead"] or self._stands_alone(m)) and self._add_match("side", m, place=place)

    def _half(self, m: re.Match, place: Direction) -> bool:
        """Take "the left half shows" before what it shows, and "the right half" after it."""
        end = self.text.index(self.i, m.end())
        shows = self.text.word(end) in lex.SHOWING | {"is", "has", "contains"}
        again = self.text.word(end) in lex.ARTICLES and any(piece.kind == "side" for piece in self.pieces)
        alone = not m["lead"] and m["part"] in ("half", "side", "part", "third") and self.text.word(self.i) == "the"
        if not alone or not (shows or again) or self._before() not in ("stop", "comma", "join"):
            return False
        return self._add("side", end - self.i + shows, place=place)

    def _ends(self, m: re.Match) -> bool:
        """Does no noun follow?"""
        return self._ends_at(self.text.index(self.i, m.end()))

    def _ends_at(self, i: int) -> bool:
        return is_end(self.text, i)

    def _stands_alone(self, m: re.Match) -> bool:
        """Does the place stand alone in brackets, before a colon or behind its thing: "left: a dog, cat right"?"""
        if in_brackets(self.text, m):
            return True
        if m["colon"]:
            return self._before() in ("stop", "comma", "join")
        row = not self.pieces or any(piece.kind == "side" for piece in self.pieces[:1])
        article = self.text.word(self.text.index(self.i, m.end())) in ("a", "an")
        if row and article and not m["part"] and self._before() in ("stop", "comma"):
            return True  # "left a fern, centre a bonsai, right a cactus"
        if m.re is lex.LEFT_RIGHT and m["vertical"] and m["part"] and self._before() in ("comma", "thing"):
            return comes_last(self.text, m)  # "the moon, top right corner"
        turns = stems(self.text.word(self.i - 1)) & (lex.LOOKING | lex.MOVING | {"keep"})  # "the camera pans left"
        return m.re is lex.LEFT_RIGHT and self._before() == "thing" and comes_last(self.text, m) and not turns

    # --- things ---------------------------------------------------------------------------------------------------

    def _thing(self) -> bool:
        """A noun phrase with its determiners: "the two big, red dogs of Mr. Smith"."""
        first, text, word = self.i, self.text, self.text.word
        order = word(first) in lex.ORDERS and word(first + 1) in lex.DETERMINERS | {"me", "us", "one"}
        if (order or word(first) in lex.OPENERS) and self._before() in ("stop", "comma", "pronoun"):
            return False  # "Tonight a dog"
        deep = "r" in kinds(word(first)) and kinds(word(first))[0] in "ar" and starts_place(text, first + 1)
        if deep and self._before() in ("stop", "comma", "join"):
            return False  # "deep within a cave"
        # "half a dozen eggs"
        half = word(first) == "half" and word(first + 1) in ("a", "an")
        if loose(text, first) and not half and not names(text, first + 1):
            return False
        begin = after_determiners(text, first + half)
        if begin == first and self._before() in ("verb", "join") and self._says_how(first):
            self.i += 1
            return True
        end = self._phrase_end(begin, begin > first)
        if end == begin:
            self.i = begin  # "this", "one" name no thing of their own
            return begin > first
        if after := self._after_no_thing(first, begin, end):
            self.i = after
            return True
        name, end = self._with_of(end)
        article = word(begin - 1) if begin > first else ""
        if begin > first + 1 and word(first) == "both":
            first += 1  # "both the dog and the cat"
        while first < begin and word(first) in lex.ARTICLES:
            first += 1
        first = last_words(text, first, end)
        span = text.words[first].start, text.words[end - 1].end
        phrase = Phrase(text.prompt[slice(*span)], span)
        self.pieces.append(Piece("thing", span[0], name, phrase=phrase, article=article))
        self.i = after_remark(text, end)
        return True

    def _says_how(self, i: int) -> bool:
        """ "an oven glowing orange", "the middle is empty" """
        word = self.text.word(i)
        plain = kinds(word)[0] == "a" and ("n" not in kinds(word) or stems(self.pieces[-1].text) & lex.LINKING)
        return (plain or word in lex.HUES) and not names(self.text, i + 1)

    def _phrase_end(self, begin: int, determined: bool) -> int:
        end, verb = phrase_end(self.text, begin, determined)
        self.verb_at = self.verb_at if verb is None else verb
        return end

    def _after_no_thing(self, first: int, begin: int, end: int) -> int | None:
        """The index behind a noun phrase that names no thing, or None: "two metres above", "a photo of a dog"."""
        word, name, following = self.text.word, self.text.word(end - 1), self.text.word(end)
        if (
            end == begin + 1
            and begin > first
            and name in lex.MEASURES
            and following != "of"
            and word(begin - 1) != "the"
        ):
            return end  # "two metres above"
        if end == begin + 1 and begin == first and following == ":" and self._before() == "stop":
            return end  # "Position: left of a dog"
        heads = following == "of" and name in lex.HEADS and self._before() in ("stop", "comma", "there")
        if name in lex.HANGING and self.pieces and begin > first:
            return None  # "a mural of a jaguar behind them"
        # "a photo of a dog" is about the dog, "a photo of a dog hangs above a sofa" about the photo
        if heads and word(self._phrase_end(after_determiners(self.text, end + 1), True)) not in lex.HUNG:
            return end + 1
        return None

    def _with_of(self, end: int) -> tuple[str, int]:
        """The noun of a phrase that ends there, and its end with all that follows with "of", "a cup of tea"."""
        word = self.text.word
        name, quantity = word(end - 1), word(end - 1) in lex.QUANTITIES
        while word(end) == "of" and word(end - 1) not in ("full", "made", "out"):
            inner = after_determiners(self.text, end + 1)
            further = self._phrase_end(inner, inner > end + 1)
            if further == inner:
                break
            end = further
            name = word(end - 1) if quantity else name
        return name, end
