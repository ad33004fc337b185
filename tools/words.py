"""Make the list of words that prompts are read with, steering/prompts/words.txt.

    python tools/words.py /usr/share/wordnet

takes it from WordNet, Debian's package wordnet-base, which is needed only to make the list again. WordNet's licence
stands at the list's top.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from paths import arguments

WORDS = Path("steering", "prompts", "words.txt")
# A part of speech as WordNet's files and its sense keys name it, by our letter for it.
FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
KEYS = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
PLAIN = re.compile(r"[a-z][a-z-]*")
TWO = re.compile(r"([a-z]{3,9})_([a-z]{3,9})")
# What kinds of noun are told apart: by WordNet's files of noun senses, and by what a sense is a kind of.
LEXNAMES = {"08": "b", "18": "p", "05": "c"}  # parts of a body, persons, creatures
IDEAS = {"04", "07", "09", "11", "12", "16", "19", "22", "24", "26", "28"}  # acts, states, times: nothing to be drawn
# Frames of a verb without an object, "somebody ----s".
ALONE = {"01", "02", "03", "04", "06", "07", "12", "13", "22", "23"}
WEAR = ("clothing", "garment", "headdress", "footwear", "jewelry", "spectacles", "hairpiece", "armor_plate")
# Endings by which a word is known for what it is; reading knows them too.
KNOWN = ("ous", "ful", "less", "ish", "able", "ible")
NOTICE = """\
# What English words can be, made by tools/words.py of WordNet 3.0. A line has words of one kind, named first: n noun,
# v verb, a adjective, r adverb, the usual one first; g an -ing form, d a past form, s a plural; then t a verb with an
# object, m what is nearly always a verb, b a part of a body, w something worn, p a person, c a creature, i an idea;
# + two words that name one thing though one of them looks like a verb. What is not here is a noun, or has an ending
# that tells.
#
# WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved.
# This software and database is being provided to you, the LICENSEE, by Princeton University under the following
# license. By obtaining, using and/or copying this software and database, you agree that you have read, understood, and
# will comply with these terms and conditions.: Permission to use, copy, modify and distribute this software and
# database and its documentation for any purpose and without fee or royalty is hereby granted, provided that you agree
# to comply with the following copyright notice and statements, including the disclaimer, and that the same appear on
# ALL copies of the software, database and documentation, including modifications that you make for internal use or for
# distribution.
# THIS SOFTWARE AND DATABASE IS PROVIDED "AS IS" AND PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES,
# EXPRESS OR IMPLIED. BY WAY OF EXAMPLE, BUT NOT LIMITATION, PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES
# OF MERCHANT- ABILITY OR FITNESS FOR ANY PARTICULAR PURPOSE OR THAT THE USE OF THE LICENSED SOFTWARE, DATABASE OR
# DOCUMENTATION WILL NOT INFRINGE ANY THIRD PARTY PATENTS, COPYRIGHTS, TRADEMARKS OR OTHER RIGHTS.
# The name of Princeton University or Princeton may not be used in advertising or publicity pertaining to distribution
# of the software and/or database. Title to copyright in this software, database and any associated documentation shall
# at all times remain with Princeton University and LICENSEE agrees to preserve same.
"""


def rows(path: Path) -> Iterator[list[str]]:
    """The lines of one of WordNet's files without its head, which is indented."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(" "):
            yield line.split()


def senses(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Word -> letter -> its senses, the usual one first."""
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for letter, file in FILES.items():
        for word, _, count, pointers, *more in rows(folder / f"index.{file}"):
            if PLAIN.fullmatch(word):
                found[word][letter] = more[int(pointers) + 2 :][: int(count)]
    return found


def counts(folder: Path) -> dict[str, Counter[str]]:
    """How often a word was met as what, in the texts that WordNet's makers have read."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for key, _, times in rows(folder / "cntlist.rev"):
        word, sense = key.split("%")
        found[word][KEYS[sense[0]]] += int(times)
    return found


def kinds_of_noun(folder: Path) -> dict[str, str]:
    """Sense -> the letter of its kind."""
    kind, below, worn = {}, defaultdict(list), []
    for sense, lexname, _, count, *more in rows(folder / "data.noun"):
        kind[sense] = "i" if lexname in IDEAS else LEXNAMES.get(lexname, "")
        words = more[: 2 * int(count, 16) : 2]
        worn += [sense] if words[0] in WEAR else []
        below[sense] = [at for pointer, at in zip(more, more[1:], strict=False) if pointer in ("~", "~i")]
    while worn:
        sense = worn.pop()
        if kind[sense] != "w":
            kind[sense] = "w"
            worn += below[sense]
    return kind


def with_objects(folder: Path) -> set[str]:
    """The senses of verbs that have an object always."""
    found = set()
    for sense, _, _, count, *more in rows(folder / "data.verb"):
        more = more[2 * int(count, 16) :]
        frames = more[4 * int(more[0]) + 2 : more.index("|")]
        if not ALONE & set(frames[1::3]):
            found.add(sense)
    return found


def letters(word: str, can: dict[str, list[str]], met: Counter[str], kind: dict[str, str], takes: set[str]) -> str:
    order = sorted(can, key=lambda letter: (-met[letter], "navr".index(letter)))
    nouns = [kind[sense] for sense in can.get("n", ())[:2]]
    # A second sense tells only what is worn, "a tie", or a part, "a mane".
    sort = nouns[0] if nouns and nouns[0] else "".join(letter for letter in nouns[1:] if letter in "bw")
    object = "t" if "v" in can and takes.issuperset(can["v"][:2]) else ""
    mostly = "m" if met["v"] >= 8 * max(met["n"] + met["a"], 1) else ""
    return "".join(order) + object + mostly + sort


def forms(verb: str) -> Iterator[str]:
    """Of a regular verb, how its -ing and -ed forms may be written; reading undoes the same."""
    for stem in (verb, verb.removesuffix("e"), verb + verb[-1]):
        yield stem + "ing"
        yield stem + "ed"


def listed(folder: Path) -> dict[str, str]:
    """Word -> its letters, of all words that are worth a line."""
    can, met, kind = senses(folder), counts(folder), kinds_of_noun(folder)
    takes = with_objects(folder)
    made = {form: verb for verb in can if "v" in can[verb] and len(verb) > 2 for form in forms(verb)}
    found = {}
    for word in sorted(can):
        given = letters(word, can[word], met[word], kind, takes)
        rare = not met[word].total() and (len(word) > 12 or "-" in word)
        regular = given == "r" and word.endswith("ly")
        if given == "n" or (given in ("nc", "ni") and not met[word].total()) or rare or regular:
            ends = word.endswith(("ly", "ed", "ing", "s", *KNOWN))  # what looks like something else
            if not (ends and "n" in given):
                continue
        ones = (word[:-1], word[:-2], word[:-3] + "y") if word.endswith("s") and not word.endswith("ss") else ()
        if not given.endswith("w") and any("n" in can.get(one, ()) for one in ones):
            continue  # "bats"
        if given == "a" and (word.endswith(KNOWN) or not met[word].total() and word.startswith(("un", "non"))):
            continue
        if word in made:  # "building" is a thing more often than to build is met in this form
            verbs = met[made[word]]["v"] // 6
            others = [letter for letter in given if letter in "nar"]
            first = others and met[word][others[0]] >= max(verbs, 1)
            form = "g" if word.endswith("ing") else "d"
            given = given[:1] + form + given[1:] if first else form + given
        found[word] = given
    for form, verb, *_ in rows(folder / "verb.exc"):
        if form.endswith("ing") and met[verb]["v"] and form[:-4] + "ie" == verb:
            found[form] = "g" + found.get(form, "")  # "lying"
        elif PLAIN.fullmatch(form) and not form.endswith(("ing", "ed")) and met[verb]["v"]:
            before = found.get(form, "")
            first = before and before[0] in "nar" and met[form][before[0]] > met[verb]["v"] // 6
            found[form] = before[:1] + "d" + before[1:] if first else "d" + before
    for form, noun, *_ in rows(folder / "noun.exc"):
        usual = form.endswith("s") and "v" not in can.get(form[:-1], ())  # "leaves" might be of "leave"
        if PLAIN.fullmatch(form) and not usual and met[noun]["n"] and not form.endswith("ing"):  # it has "crying"
            verb = "z" if form.endswith("s") else ""
            found[form] = "s" + verb + "".join(letter for letter in found.get(noun, "") if letter in "bwpc")
    for name, _, _, pointers, *more in rows(folder / "index.noun"):
        two = TWO.fullmatch(name)
        if two and kind[more[int(pointers) + 2]] != "i":
            moving = two[1].endswith("ing") and found.get(two[1], "g")[0] != "n"  # "swimming pool"
            if moving or found.get(two[2], "n")[0] in "vg":  # "bean sprout"
                found[name] = "+"
    return found


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("wordnet", type=Path, help="the folder of its files")
    args = parser.parse_args(argv)
    lines = defaultdict(list)
    for word, given in listed(args.wordnet).items():
        lines[given].append(word)
    text = NOTICE + "".join(f"{given} {' '.join(words)}\n" for given, words in sorted(lines.items()))
    path = args.into / WORDS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
