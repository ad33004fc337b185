"""A prompt's text -> its pieces: things (noun phrases), words of place, verbs, prepositions and marks, in order.

There is no dictionary of nouns: a noun phrase is what stands between the words that lexicon.py knows, and a word is a
verb when its form and its neighbours say so ("a dog sniffs", "two monks pray").
"""

import re
from dataclasses import dataclass

from ..relations import NAME_OF
from ..words import Phrase
from . import lexicon as lex

# What is no word of the prompt: weights "(a dog:1.2)", LoRA tags, embeddings. Counts are bounded to keep time linear.
WEIGHT = re.compile(r":\s{0,4}[-+]?\d{0,8}\.?\d{1,16}(?=\s{0,4}[)\]])")
TAG = re.compile(r"<[^<>\n]*>|\bembedding:[^\s,()\[\]]+|\b(?:score|source|rating)_\w+", re.IGNORECASE)
BREAK = re.compile(r"\bBREAK\b")
BLANKS = str.maketrans(dict.fromkeys('()[]{}"“”\\*_', " "))
NO_OWNER = "left|right|above|below|over|under|behind|next|near|beside|on|to|in|is|are|and|with"
OWNERS = rf"(?<=s)['’](?=\s+(?!(?:{NO_OWNER})\b)\w)"
WORD = re.compile(
    rf"\d+(?:[.,]\d+)+|[^\W_]+(?:(?:['’]-?|-)[^\W_]+)*(?:{OWNERS})?|&|[^\w\s]|[\n\r]"
)  # OWNERS: "the kids' desk"
PLACE_WORD = r"(?:upper|lower|top|bottom|left|right|above|below|hand|side|corner|center|of)"
PLACE_WORDS = re.compile(rf"{PLACE_WORD}(?:-{PLACE_WORD})+")  # "upper-left", "left-hand"


@dataclass(frozen=True)
class Piece:
    """A part of the prompt that the grammar of relations tells apart.

    kind: "thing", "relation" ("left of"), "side" ("on the left"), "adverb" ("on top"), "row" ("from left to right"),
    "each other", "both", "pronoun", "verb", "preposition", "which", "there", "not", "join", "comma", "dash" or "stop".
    start: its first character in the prompt. text: in lower case; of a thing, its noun. label: of a relation, adverb or
    row; place: of a side, as in relations.DIRECTIONS; phrase and article: of a thing; article is the last word before
    the noun phrase that says which one, "" for none.
    """

    kind: str
    start: int
    text: str = ""
    label: str = ""
    place: tuple[int, ...] = ()
    phrase: Phrase | None = None
    article: str = ""


@dataclass(frozen=True)
class _Word:
    text: str  # in lower case
    start: int
    end: int


def pieces(prompt: str) -> list[Piece]:
    """Every piece of the prompt in order. Never raises; takes time linear in the prompt's length."""
    return _Splitter(prompt).split()


def _plain(prompt: str) -> str:
    """The prompt in lower case with ComfyUI's syntax blanked out; as long as the prompt."""

    def blank(match: re.Match) -> str:
        return " " * len(match[0])

    text = BREAK.sub("    .", prompt)
    text = TAG.sub(blank, WEIGHT.sub(blank, text)).translate(BLANKS)
    return "".join(lower if len(lower := letter.lower()) == 1 else letter for letter in text)


def _words(text: str) -> list[_Word]:
    words: list[_Word] = []
    for match in WORD.finditer(text):
        word, start, end = match[0], match.start(), match.end()
        last = words[-1] if words and words[-1].end == start else None  # the word right before it
        stem, apostrophe, tail = word.replace("’", "'").partition("'")
        if PLACE_WORDS.fullmatch(word):
            for part in word.split("-"):
                words.append(_Word(part, start, start + len(part)))
                start += len(part) + 1
        elif apostrophe and stem in lex.CONTRACTED:  # "there's", "I'd"
            middle, verb = start + len(stem), {"s": "is", "re": "are"}.get(tail, "have")
            words += [_Word(stem, start, middle), _Word(verb, middle, end)]
        elif tail == "t" and stem.endswith("n"):  # "isn't", "can't"
            stem = stem[:-1] if stem[:-1] in lex.BE | lex.AUXILIARIES else stem
            middle = start + len(stem)
            words += [_Word(stem, start, middle), _Word("not", middle, end)]
        elif word == "." and last and last.text in lex.TITLES:
            pass  # "Mr. Smith"
        elif word == "." and last and last.text == "no" and text[end : end + 2].strip().isdigit():
            words[-1] = _Word("no.", last.start, end)  # "No. 5"
        elif word == "." and last and last.text in ".,":
            words[-1] = _Word(",", last.start, end)  # "a wizard... a grumpy one"
        else:
            words.append(_Word(word, start, end))
    return words


class _Splitter:
    def __init__(self, prompt: str):
        self.prompt = prompt
        self.plain = _plain(prompt)  # as long as the prompt: the same places
        self.words = _words(self.plain)
        self.pieces: list[Piece] = []
        self.i = 0  # the word to be read
        self.verb_at = -1  # the word that ended a noun phrase because it is its verb

    def split(self) -> list[Piece]:
        while self.i < len(self.words):
            if not (self._mark() or self._place() or self._small_word() or self._verb() or self._thing()):
                self.i += 1  # an adverb
        return self.pieces

    def _text(self, i: int) -> str:
        return self.words[i].text if 0 <= i < len(self.words) else "."

    def _gap(self, i: int) -> str:
        """What stands between the word and the one before."""
        return self.prompt[self.words[i - 1].end : self.words[i].start]

    def _before(self) -> str:
        """The kind of the piece before."""
        return self.pieces[-1].kind if self.pieces else "stop"

    def _add(self, kind: str, words: int = 1, **more) -> bool:
        first, last = self.words[self.i], self.words[self.i + words - 1]
        self.pieces.append(Piece(kind, first.start, **{"text": self.plain[first.start : last.end], **more}))
        self.i += words
        return True

    def _add_match(self, kind: str, match: re.Match, **more) -> bool:
        return self._add(kind, self._index(match.end()) - self.i, **more)

    def _index(self, end: int) -> int:
        """The first word from here on that begins at this character or later."""
        i = self.i
        while i < len(self.words) and self.words[i].start < end:
            i += 1
        return i

    # --- marks, small words and verbs -----------------------------------------------------------------------------

    def _mark(self) -> bool:
        text = self._text(self.i)
        if text[0].isalnum() or text == "&":
            return False
        if text in "\n\r" and self._before() in ("relation", "join", "preposition"):
            self.i += 1  # a line broken within a phrase
            return True
        return self._add("stop" if text in ".!?;\n\r|" else "dash" if text in "-–—" else "comma")

    def _small_word(self) -> bool:
        text, before, following = (self._text(self.i + k) for k in (0, -1, 1))
        if text == "there" and (following in lex.BE | {"stand", "lived"} or following.endswith("s")):
            return self._add("there", 2)
        if text == "no" and following in ("longer", "one"):
            return self._add("not", 2)
        if self._before() == "thing" and text in lex.SOMEBODY | lex.PERSONS:
            return self._add("which")  # "the statue everyone photographs"
        hers = text == "her" and (self._noun(self.i + 1) or following in lex.PLURALS)
        if hers or (text == "that" and self._that_one(following)):
            return False  # "that dog", "her dog"
        if text in ("both", "all") and (self._starts_place(self.i + 1) or following in lex.BE | lex.LEADS):
            return self._add("both")  # "a dog and a cat, both above a bus"
        if text == "like" and before in lex.AUXILIARIES:  # "I'd like a dog"
            self.i += 1
            return True
        if kind := lex.KINDS.get(text):
            return self._add(kind)
        # "you can see"
        modal = text in lex.MODALS and before in lex.AUXILIARIES | lex.PRONOUNS | lex.RELATIVES
        number = text == "one" and self._noun(self.i + 1)
        if modal or text in lex.REFLEXIVES or (text in lex.AUXILIARIES and not number):
            self.i += 1
            return True
        return False

    def _that_one(self, following: str) -> bool:
        """Is it "that dog", and no "that sleeps"?"""
        if self._before() == "thing" or following in lex.SOMEBODY or is_plural(following):
            return False
        return self._names(self.i + 1) and not self._is_verb(self.i + 1)

    def _verb(self) -> bool:
        text, before, i = self._text(self.i), self._text(self.i - 1), self.i
        if not self._noun(i) or (before in lex.DETERMINERS and self._before() != "which"):
            return False
        named = self._names(i + 1)
        placed = not named and (self._starts_place(i + 1) or self._place_follows(i + 1))
        lower = self.prompt[self.words[i].start].islower()
        is_verb = (
            self.verb_at == i
            # "sleeping left of", but "a sleeping cat"
            or (self._is_verb(i) and not named)
            # "a girl feeding pigeons"
            or (text in lex.CARRYING and self._before() in ("thing", "verb", "which"))
            # "can see", "has left"
            or before in lex.MODALS
            or (before in lex.PERFECT_BEFORE and (text in lex.PERFECTS or text.endswith("ed")))
            # "which winds between hedges"
            or (self._names(i) and self._after_which())
            # "a cave was dug under a hill"; "two rivals, angry, stand in front of a shop"
            or (placed and before in lex.BE and lower)
            or (placed and text in lex.INTRANSITIVE and self._before() in ("comma", "dash"))
        )
        return is_verb and self._add("verb")

    def _place_follows(self, i: int) -> bool:
        """Do words like "to the left of", which begin with a preposition, begin here?"""
        if i >= len(self.words) or self._text(i) not in lex.LEADS:
            return False
        m = lex.LEFT_RIGHT.match(self.plain, self.words[i].start)
        return bool(m and m["of"])

    def _after_which(self) -> bool:
        """Must a verb follow, as in "which winds between hedges", not "whose wings", not "over which eagles circle"?"""
        object = len(self.pieces) > 1 and self.pieces[-2].kind in ("relation", "preposition")
        return self._before() == "which" and not object and self._text(self.i - 1) != "whose"

    def _is_verb(self, i: int, length: int = 0) -> bool:
        """Is the word a verb? length: how many words of a noun phrase stand directly before it."""
        text, before, determiner = self._text(i), self._text(i - 1), self._text(i - length - 1)
        named = self._names(i + 1)  # a noun may follow
        if text in lex.VERBS_ONLY or (text in lex.CARRYING and not (named and _adjective(before))):
            return True  # but "an old sewing machine"
        lower = self.prompt[self.words[i].start].islower()
        if text in lex.PAST:
            return not named and not (text == "set" and before in lex.SETS)  # "a tv set"
        if text in lex.THIRD:  # but "two hot dog stands"
            counted = length > 0 and determiner in lex.PLURALS
            return not counted or is_plural(before)
        if text in lex.INTRANSITIVE:
            if length > 0 and self._text(i + 1) in lex.PLURALS:
                return True  # "near the cheese stand three mice"
            joined = self._text(i - length - 2) in lex.JOINS  # "a dog and a cat stand"
            plural = is_plural(before) and before not in lex.PLURAL_FIRST
            return length > 0 and (plural or joined) and not named
        if text.endswith("ing") and len(text) > 4 and text not in lex.ING_NOUNS:
            # "a hotel swimming pool"
            names = text in lex.ING_FIRST and not is_plural(self._text(i + 1))
            with_object = length > 0 and lower and not names and not _adjective(before)
            return not named or with_object  # "a woman mending nets"
        if text.endswith("ed") and len(text) > 4 and not text.endswith("eed"):
            return not named and text not in lex.ED_NOUNS and text not in lex.ADJECTIVES
        if not length or not lower:
            return False
        if determiner in ("a", "an"):  # "a dog sniffs", "a merchant weighs gold"
            if before in lex.ADJECTIVES | {"of"} or before.endswith(("ed", "ing")):
                return False
            return is_plural(text) and text not in lex.NOT_THIRD
        begins = self._text(i - 2) in (".", "!", "?", ";", "\n")
        proper = self.prompt[self.words[i - 1].start].isupper() and not begins  # "James Bond"
        plural = is_plural(before) and not proper
        plural = plural and before not in lex.S_NOUNS and before not in lex.PLURAL_FIRST
        return plural and not is_plural(text) and not named  # "two monks pray"

    # --- words of place -------------------------------------------------------------------------------------------

    def _place(self) -> bool:
        """ "to the left of", "on its left", "in the upper left corner", "next to", "on top", "from left to right" """
        start, before = self.words[self.i].start, self._text(self.i - 1)
        if m := lex.ROW.match(self.plain, start):
            return self._add_match("row", m, label=lex.ROWS[" ".join(m["row"].split())])
        if m := lex.EACH_OTHER.match(self.plain, start):
            return self._add_match("each other", m)
        if m := lex.SIDE_BY_SIDE.match(self.plain, start):
            self._add_match("relation", m, label="near")
            self.pieces.append(Piece("each other", m.end()))
            return True
        if (m := lex.OWNED.match(self.plain, start)) and self._ends(m.end()):
            self._add_match("relation", m, label=m["horizontal"] + " of")
            owner = Phrase(self.prompt[slice(*m.span("owner"))], m.span("owner"))
            self.pieces.append(Piece("thing", m.start("owner"), m["owner"], phrase=owner, article="the"))
            return True
        if (m := lex.LEFT_RIGHT.match(self.plain, start)) and self._left_right(m, before):
            return True
        if (m := lex.TOP_BOTTOM.match(self.plain, start)) and self._top_bottom(m):
            return True
        if before in (lex.NOT_BEFORE_OVER if self._text(self.i) == "over" else lex.NOT_BEFORE):
            return False
        if m := lex.NAMED_WAYS.match(self.plain, start):
            return self._add_match("relation", m, label=lex.NAMED[" ".join(m[0].split())])
        if (m := lex.ADVERB_WAYS.match(self.plain, start)) and self._ends(m.end()):
            return self._add_match("adverb", m, label=lex.ADVERBS[" ".join(m[0].split())])
        return False

    def _left_right(self, m: re.Match, before: str) -> bool:
        vertical = m["vertical"] or m["late"]
        y = 0 if not vertical else -1 if vertical in lex.UPPER else 1
        place = (lex.PLACES[m["horizontal"]][0], y, 0, 0)
        label = NAME_OF[place]
        if m["of"]:
            if not m["lead"] and (m["whose"] or before in lex.NOT_BEFORE):
                return False  # "the left of", "the right of way"
            if m["of"].strip(" -") != "of" and not (m["lead"] or vertical or self._before() == "thing"):
                return False  # "turn left to the castle"
            return self._add_match("relation", m, label=label)
        if not m["colon"] and not self._ends(m.end()):
            return False  # "his right hand", "on the left wall"
        if m["lead"] and m["whose"] not in (None, "the"):  # "on its left"
            self._add_match("relation", m, label=label)
            self.pieces.append(Piece("pronoun", m.end(), m["whose"]))
            return True
        if m["lead"] in (None, "from") and not self._stands_alone(m):
            return False
        return self._add_match("side", m, place=place)

    def _top_bottom(self, m: re.Match) -> bool:
        place = lex.PLACES[m["place"]]
        if m["of"]:
            after = self._index(m.end())
            # "at the top of the picture"
            whole = self._text(after) in ("the", "this") and self._text(after + 1) in lex.PICTURE
            return whole and self._add("side", after + 2 - self.i, place=place)
        if " ".join(m[0].split()) in lex.ADVERBS or not self._ends(m.end()):
            return False
        return bool(m["lead"] or self._stands_alone(m)) and self._add_match("side", m, place=place)

    def _stands_alone(self, m: re.Match) -> bool:
        """Does the place stand alone in brackets, before a colon or behind its thing: "left: a dog, cat right"?"""
        if self._in_brackets(m):
            return True
        if m["colon"]:
            return self._before() in ("stop", "comma", "join")
        return m.re is lex.LEFT_RIGHT and self._before() == "thing" and self._comes_last(m)

    def _in_brackets(self, m: re.Match) -> bool:
        around = self.prompt[max(m.start() - 1, 0) : m.start()] + self.prompt[m.end() : m.end() + 1]
        return around in ("()", "[]")

    def _comes_last(self, m: re.Match) -> bool:
        return self.plain[m.end() : m.end() + 9].lstrip()[:1] in ("", ",", ".", ";", "\n")

    def _ends(self, end: int) -> bool:
        """Does no noun follow, so that "on the left" is a place and not the beginning of "on the left wall"?"""
        i = self._index(end)
        return not self._names(i) or self._is_verb(i) or self._text(i) in lex.ARTICLES

    def _starts_place(self, i: int) -> bool:
        """A cheaper look whether words of place begin here, as far as they can follow a noun phrase."""
        if i >= len(self.words):
            return False
        start = self.words[i].start
        if self._text(i) in ("left", "right", "upper", "lower", "top", "bottom"):
            m = lex.LEFT_RIGHT.match(self.plain, start)
            if not m:
                return False
            if m["of"]:  # but "the left hand of the king"
                return self._text(i - 1) not in lex.NOT_BEFORE
            return self._in_brackets(m) or self._comes_last(m)
        return any(way.match(self.plain, start) for way in (lex.NAMED_WAYS, lex.EACH_OTHER, lex.SIDE_BY_SIDE))

    # --- noun phrases -------------------------------------------------------------------------------------------

    def _closed(self, i: int) -> bool:
        """Is it a word that no noun phrase contains? The letter in "A is left of B" may be one."""
        text = self._text(i)
        letter = text == "a" and (
            self._text(i + 1) in lex.BE or self._starts_place(i + 1) or self._place_follows(i + 1)
        )
        return text in lex.CLOSED and not letter

    def _noun(self, i: int) -> bool:
        """Can the word be part of a noun phrase?"""
        return self._text(i)[0].isalnum() and not self._closed(i) and not self._starts_place(i)

    def _loose(self, i: int) -> bool:
        """Is it an adverb or the like, which no noun phrase ends with?"""
        text = self._text(i)
        return text in lex.LOOSE or (text.endswith("ly") and text not in lex.LY_NOUNS)

    def _names(self, i: int) -> bool:
        """Can it name something or say which: is it part of a noun phrase and no adverb?"""
        return self._noun(i) and not self._loose(i)

    def _thing(self) -> bool:
        """A noun phrase with its determiners: "the two big, red dogs of Mr. Smith"."""
        first = self.i
        if self._text(first) in lex.OPENERS and self._before() in ("stop", "comma", "pronoun"):
            return False  # "Tonight a dog"
        # "half a dozen eggs"
        half = self._text(first) == "half" and self._text(first + 1) in ("a", "an")
        if self._loose(first) and not half and not self._names(first + 1):
            return False
        begin = self._after_determiners(first + half)
        end = self._phrase_end(begin, begin > first)
        if end == begin:
            self.i = begin  # "this", "one" name no thing of their own
            return begin > first
        noun, following, one_word = self._text(end - 1), self._text(end), end == begin + 1
        if one_word and begin > first and noun in lex.MEASURES and following != "of":
            self.i = end  # "two metres above"
            return True
        if one_word and begin == first and following == ":" and self._before() == "stop":
            self.i = end  # "Position: left of a dog"
            return True
        if following == "of" and noun in lex.HEADS and self._heads_style(end + 1):
            self.i = end + 1  # "a photo of a dog": the dog
            return True
        quantity = noun in lex.QUANTITIES
        while self._text(end) == "of" and self._text(end - 1) not in ("full", "made", "out"):
            inner = self._after_determiners(end + 1)
            further = self._phrase_end(inner, inner > end + 1)
            if further == inner:
                break
            end = further
            noun = self._text(end - 1) if quantity else noun
        article = self._text(begin - 1) if begin > first else ""
        if begin > first + 1 and self._text(first) == "both":
            first += 1  # "both the dog and the cat"
        while first < begin and self._text(first) in lex.ARTICLES:
            first += 1
        first = self._last_piece(first, end)
        span = self.words[first].start, self.words[end - 1].end
        phrase = Phrase(self.prompt[slice(*span)], span)
        self.pieces.append(Piece("thing", span[0], noun, phrase=phrase, article=article))
        self.i = end
        self._skip_remark()
        return True

    def _after_determiners(self, i: int) -> int:
        while self._text(i) in lex.DETERMINERS and self._closed(i):
            if self._text(i + 1) == "of" and self._text(i) not in lex.ARTICLES:
                break  # "one of the dogs"
            i += 1
        return i

    def _phrase_end(self, begin: int, determined: bool) -> int:
        """The index after the last word of the noun phrase that begins at `begin`, after its determiners if any."""
        end = begin
        while end < len(self.words):
            length, text = end - begin, self._text(end)
            joined = length > 0 and self._joins(end, determined)
            if joined or (length == 1 and determined and self._particle(end)):
                end += 1
                continue
            blue_one = length > 0 and text == "one" and not self._names(end + 1)
            if not self._noun(end) and not blue_one:
                break
            if length and text in lex.SOMEBODY:
                break
            if length and self._is_verb(end, length):
                self.verb_at = end
                break
            if text in lex.MODALS and self._text(end + 1) in lex.BE:
                break  # "a comet can be seen", not "a trash can"
            if length and self._remark(end):
                break
            end += 1
        while end > begin + 1 and (self._loose(end - 1) or not self._text(end - 1)[0].isalnum()):
            end -= 1
        return begin if end == begin + 1 and not determined and self._loose(begin) else end

    def _joins(self, i: int, determined: bool) -> bool:
        """Does the phrase go on: "a black and white cat", "a big, red dog", "fish and chips"?"""
        before, after = self._text(i - 1), self._text(i + 1)
        if self._text(i) == ",":
            return determined and before in lex.ADJECTIVES and self._noun(i + 1)
        adjectives = before in lex.ADJECTIVES and after in lex.ADJECTIVES and self._noun(i + 2)
        return self._text(i) in ("and", "&") and (adjectives or (before, after) in lex.PAIRS)

    def _particle(self, i: int) -> bool:
        """ "a worn out sofa", "a boarded up shop" """
        before = self._text(i - 1)
        participle = before in lex.PERFECTS or before.endswith("ed") or before in lex.ADJECTIVES
        return self._text(i) in ("up", "down", "out", "off") and participle and self._names(i + 1)

    def _heads_style(self, i: int) -> bool:
        """Does "a photo of" begin a sentence, and no "a photo of a dog hangs above a sofa"? i: the index after "of"."""
        if self._before() not in ("stop", "comma", "there"):
            return False
        return self._text(self._phrase_end(self._after_determiners(i), True)) not in lex.HUNG

    def _last_piece(self, first: int, end: int) -> int:
        """Where the phrase's last piece begins: brackets cut it, "a (brown:1.2) dog", and the noun stands last."""
        for i in range(end - 1, first, -1):
            whole = (
                not self._gap(i).replace("_", " ").strip()  # "teddy_bear" is one piece
                or "," in (self._text(i), self._text(i - 1))
                or self._text(i - 1) in lex.TITLES
            )
            if not whole:
                return i
        return first

    def _remark(self, i: int) -> bool:
        """Does a remark on the noun begin here in brackets: "a cat (oil painting)", "a bat \\(animal\\)"?

        Other brackets are ComfyUI's emphasis.
        """
        gap = self._gap(i)
        if "\\(" in gap:
            return True
        if self._starts_place(i) or self._place_follows(i):
            return False  # "a dog (left of a cat)"
        start = self.words[i].start
        inside, bracket, _ = self.prompt[start : start + 80].partition(")")
        if "(" not in gap or not bracket or ":" in inside or "(" in inside:
            return False
        if inside[:1].isdigit():
            return True  # "Captain Okafor (50s)"
        style = any(word in lex.HEADS | lex.STYLE for word in inside.lower().split())
        several = " " in inside.strip() and gap == " ("
        return style or (several and self._text(i - 1) not in lex.ADJECTIVES)

    def _skip_remark(self) -> None:
        if self.i < len(self.words) and self._remark(self.i):
            self.i += 1
            while self.i < len(self.words) and ")" not in self._gap(self.i):
                self.i += 1


def _adjective(word: str) -> bool:
    """Does it look like one, or say what a thing is made of or whose it is?"""
    ending = word.endswith(lex.ADJECTIVE_ENDINGS) and word not in lex.NOT_ADJECTIVES
    return ending or word in lex.BEFORE_NOUNS


def is_plural(word: str) -> bool:
    """Does it look like one? So do verbs in the third person."""
    regular = len(word) > 3 and word.endswith("s") and not word.endswith(lex.SINGULAR_ENDINGS)
    return regular or word in lex.IRREGULAR_PLURALS
