"""A prompt's text -> its words, each with its place in the text."""

import re
from dataclasses import dataclass

from . import lexicon as lex

# What is no word of the prompt: weights "(a dog:1.2)", LoRA tags, embeddings. Counts are bounded to keep time linear.
WEIGHT = re.compile(r":\s{0,4}[-+]?\d{0,8}\.?\d{1,16}(?=\s{0,4}[)\]])")
TAG = re.compile(r"<[^<>\n]*>|\bembedding:[^\s,()\[\]]+|\b(?:score|source|rating)_\w+", re.IGNORECASE)
BREAK = re.compile(r"\b(?:BREAK|AND|COUPLE|ADDCOMM|ADDBASE|ADDCOL|ADDROW)\b")
CHOICE = re.compile(r"\{[^{}\n]{0,300}\|[^{}\n]{0,300}\}")  # "{a dog|a cat}": nobody knows which it will be
# Text in the picture: a sign reading "Fresh eggs".
QUOTED = re.compile(
    r"""(?P<said>\b(?:reads?|reading|says?|saying|said|titled|entitled|named|called|text|words?|title|caption|slogan|letters|
    stamped|labell?ed|lettering|inscription|inscribed|written|printed|quote|phrase|message|logo|captioned|for|with)[\s:,]{1,3})?
    (?:(?-i:(?P<capitals>[A-Z]{2,}(?:\s[A-Z]{2,})*)\b)|["“](?P<text>[^"“”\n]{1,200})["”]|(?<!\w)['‘](?P<single>[^'‘’\n]{1,200})['’](?!\w))""",
    re.VERBOSE | re.IGNORECASE,
)
NEGATIVE = re.compile(r"\bnegative(?: prompt)?\s{0,3}:[^\n]*", re.IGNORECASE)
BLANKS = str.maketrans(dict.fromkeys('()[]{}"“”\\*_', " "))
NO_OWNER = "left|right|above|below|over|under|behind|next|near|beside|on|to|in|is|are|and|with"
OWNERS = rf"(?<=s)['’](?=\s+(?!(?:{NO_OWNER})\b)\w)"
WORD = re.compile(
    rf"\d+(?:[.,]\d+)+|[^\W_]+(?:(?:['’]-?|-)[^\W_]+)*(?:{OWNERS})?|&|[^\w\s]|[\n\r]"
)  # OWNERS: "the kids' desk"
PLACE_WORD = r"(?:upper|lower|top|bottom|left|right|above|below|hand|side|corner|center|of)"
PLACE_WORDS = re.compile(rf"{PLACE_WORD}(?:-{PLACE_WORD})+")  # "upper-left", "left-hand"


@dataclass(frozen=True)
class Word:
    """A word or a mark, in lower case, and its characters in the prompt, end exclusive."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Text:
    """A prompt and its words. plain: the prompt in lower case without ComfyUI's syntax, with the same places."""

    prompt: str
    plain: str
    words: tuple[Word, ...]

    def word(self, i: int) -> str:
        """The word at index i; a full stop before the first and after the last one."""
        return self.words[i].text if 0 <= i < len(self.words) else "."

    def gap(self, i: int) -> str:
        """What stands in the prompt between the word at i and the one before."""
        return self.prompt[self.words[i - 1].end : self.words[i].start]

    def index(self, i: int, end: int) -> int:
        """The first word from i on that begins at this character or later."""
        while i < len(self.words) and self.words[i].start < end:
            i += 1
        return i


def text_of(prompt: str) -> Text:
    """The prompt taken apart into words. Never raises; takes time linear in its length."""
    plain = _plain(prompt)
    return Text(prompt, plain, tuple(_words(plain)))


def _plain(prompt: str) -> str:
    """The prompt in lower case with ComfyUI's syntax blanked out; as long as the prompt."""

    def blank(match: re.Match) -> str:
        return " " * len(match[0])

    def quoted(match: re.Match) -> str:
        """Blank what is written in the picture, not a thing in quotation marks, nor a whole prompt in them."""
        text, said = match["text"] or match["single"] or match["capitals"], match["said"] or ""
        whole = not said and 5 * len(text) > 4 * len(prompt)
        sentence = match["text"] and lex.ABOUT_PLACES.search(text.lower()) and not whole
        sure = said and not prompt.isupper() and (match["text"] or said.strip(" :,").lower() not in ("for", "with"))
        if sentence or (sure and not whole):
            return said + " " * (len(match[0]) - len(said))
        return match[0]

    text = CHOICE.sub(blank, NEGATIVE.sub(blank, QUOTED.sub(quoted, prompt)))
    if not prompt.isupper():
        text = BREAK.sub(lambda match: " " * (len(match[0]) - 1) + ".", text)
    text = TAG.sub(blank, WEIGHT.sub(blank, text)).translate(BLANKS)
    return "".join(lower if len(lower := letter.lower()) == 1 else letter for letter in text)


def _words(text: str) -> list[Word]:
    words: list[Word] = []
    for match in WORD.finditer(text):
        word, start, end = match[0], match.start(), match.end()
        last = words[-1] if words and words[-1].end == start else None  # the word right before it
        stem, apostrophe, tail = word.replace("’", "'").partition("'")
        if PLACE_WORDS.fullmatch(word):
            for part in word.split("-"):
                words.append(Word(part, start, start + len(part)))
                start += len(part) + 1
        elif apostrophe and stem in lex.CONTRACTED:  # "there's", "I'd"
            middle, verb = start + len(stem), {"s": "is", "re": "are"}.get(tail, "have")
            words += [Word(stem, start, middle), Word(verb, middle, end)]
        elif tail == "t" and stem.endswith("n"):  # "isn't", "can't"
            stem = stem[:-1] if stem[:-1] in lex.BE | lex.AUXILIARIES else stem
            middle = start + len(stem)
            words += [Word(stem, start, middle), Word("not", middle, end)]
        elif word == "." and last and last.text in lex.TITLES:
            pass  # "Mr. Smith"
        elif word == "." and last and last.text == "no" and text[end : end + 2].strip().isdigit():
            words[-1] = Word("no.", last.start, end)  # "No. 5"
        elif word == "." and last and last.text in ".,":
            words[-1] = Word(",", last.start, end)  # "a wizard... a grumpy one"
        else:
            words.append(Word(word, start, end))
    return words
