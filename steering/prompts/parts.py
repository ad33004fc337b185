"""Pieces -> parts: relation words together with their object, and each part with what its neighbours tell about it."""

from collections.abc import Iterator
from typing import NamedTuple

from ..relations import DIRECTIONS, NAME_OF, NOWHERE, OPPOSITE, PLACES, Direction
from . import lexicon as lex
from .forms import is_plural
from .splitter import Piece
from .vocabulary import alive, kinds, stems


class Part(NamedTuple):
    """A piece that stands for itself, or relation words with their object: what is read in one step.

    kind: that of its first piece, but relation words without an object are an "adverb", and "left of the image" is a
    "side". relations: that stand before one object, "above and near", or the one of an adverb or row; objects: pieces
    of the kinds "thing", "pronoun", "which" or "each other", two only for "between"; place: of a side.
    begins: does a clause begin here? inverted: does its subject stand behind it, "under the tree stands a dog"?
    following: the kind of the next piece. These three are set where something is made of them.
    """

    kind: str
    piece: Piece
    relations: tuple[str, ...] = ()
    objects: tuple[Piece, ...] = ()
    place: Direction = NOWHERE
    begins: bool = False
    inverted: bool = False
    following: str = ""
    then: str = ""  # the text of the next piece


def parts(pieces: list[Piece]) -> Iterator[Part]:
    """The parts in order. What "the other" stands for is left out: "one above the other"."""
    i = 0
    while i < len(pieces):
        piece = pieces[i]
        if shared := _shared(pieces, i):
            yield shared
            i += 1
            continue
        if piece.kind == "relation":
            part, i = _relation(pieces, i)
            if part:
                yield part
            continue
        i += 1
        if piece.kind == "side":
            begins = _begins(pieces, i - 1)
            yield Part("side", piece, place=piece.place, begins=begins, inverted=_inverted(pieces, begins, i))
        else:
            begins = piece.kind == "adverb" and _begins(pieces, i - 1)
            then = pieces[i].text if i < len(pieces) else ""
            following = _kind(pieces, i)
            if following == "relation" and _kind(pieces, i + 1) not in ("thing", "pronoun", "which", "each other"):
                following = "adverb"
            yield Part(piece.kind, piece, (piece.relation,), begins=begins, following=following, then=then)


def _shared(pieces: list[Piece], i: int) -> Part | None:
    """ "a rose to the left and a thorn to the right of a skull": words of place whose object stands behind others."""
    piece, kinds_after = pieces[i], [_kind(pieces, k) for k in range(i + 1, i + 5)]
    if piece.kind not in ("side", "adverb", "relation") or kinds_after != ["join", "thing", "relation", "thing"]:
        return None
    relation = piece.relation or NAME_OF.get(piece.place, "")
    if OPPOSITE.get(relation) != pieces[i + 3].relation or _kind(pieces, i - 1) != "thing":
        return None
    if _no_thing(pieces[i + 4]) or unsuited(pieces[i + 4], (relation,), piece.text):
        return None
    return Part("relation", piece, (relation,), (pieces[i + 4],))


def _kind(pieces: list[Piece], i: int) -> str:
    return pieces[i].kind if 0 <= i < len(pieces) else "stop"


def _begins(pieces: list[Piece], i: int) -> bool:
    """Does a clause begin at i?"""
    return _kind(pieces, i - 1) in ("stop", "comma", "dash", "join", "there")


def _inverted(pieces: list[Piece], begins: bool, after: int) -> bool:
    """Does the subject stand at or behind the index `after`, "under the tree (stands) a dog"?"""
    kind = _kind(pieces, after)
    if kind == "thing":
        return begins
    stands = kind == "there" or (kind == "verb" and not {"g", "t"} & set(kinds(pieces[after].text)))
    return begins and stands and _kind(pieces, after + 1) == "thing"


def _relation(pieces: list[Piece], i: int) -> tuple[Part | None, int]:
    """The part whose relation words begin at i, and the index after it."""
    piece, begins = pieces[i], _begins(pieces, i)
    relations, i = _relations(pieces, i)
    after, kind = i + 1, _kind(pieces, i)
    if kind == "thing" and _idiom(pieces[i], relations):
        return None, after
    if kind == "which" and pieces[i].text == "whose":
        return Part("preposition", piece), i  # "a girl between whose feet a cat sleeps"
    if kind not in ("thing", "pronoun", "which", "each other"):
        if {"on", "around"} & set(relations):
            return Part("preposition", piece), i
        return Part("adverb", piece, relations[:1], begins=begins, following=kind), i
    if kind == "thing" and unsuited(pieces[i], relations, piece.text):
        return Part("preposition", piece), i
    objects, after = _objects(pieces, i, relations)
    relations = _middle(piece, relations, objects)
    if not relations:
        return Part("preposition", piece), i
    inverted, following = _inverted(pieces, begins, after), _kind(pieces, after)
    if kind == "thing" and (_no_thing(pieces[i]) or _corner(piece, pieces[i])):
        if pieces[i].text not in lex.PICTURE | lex.HEADS or DIRECTIONS.get(relations[0]) not in PLACES.values():
            return None, after
        return Part("side", piece, place=DIRECTIONS[relations[0]], begins=begins, inverted=inverted), after
    part = Part("relation", piece, relations, objects, begins=begins, inverted=inverted, following=following)
    return part, after


def _objects(pieces: list[Piece], i: int, relations: tuple[str, ...]) -> tuple[tuple[Piece, ...], int]:
    """The thing at i and those joined with it, and the index after them.

    What something is said of begins anew: "left of a cat and a bird flies". Commas join only where many are meant.
    """
    found, after = [pieces[i]], i + 1
    many = surrounded(pieces[i - 1])
    while pieces[i].kind == "thing":
        end = after
        while many and _kind(pieces, end) == "comma" and _kind(pieces, end + 1) == "thing":
            end += 2
        if _kind(pieces, end) == "comma" and many:
            end += 1
        two = _kind(pieces, end) == "join" and pieces[end].text in ("and", "&") and _kind(pieces, end + 1) == "thing"
        begins = _kind(pieces, end + 2) in ("relation", "side", "adverb", "row", "verb", "which", "join", "preposition")
        if two and ("between" in relations or not begins):
            found += [piece for piece in pieces[after : end + 2] if piece.kind == "thing"]
            after = end + 2
        break
    return tuple(found), after


def surrounded(piece: Piece) -> bool:
    """Does the object stand around the subject, "surrounded by"?"""
    return piece.relation == "around" and piece.text.endswith((" by", " with"))


def _middle(piece: Piece, relations: tuple[str, ...], objects: tuple[Piece, ...]) -> tuple[str, ...]:
    """The relations as the objects tell: "in the middle of (two trees, a lake, a table)", "at the bottom of a lake"."""
    words, thing = piece.text.split(), objects[0]
    several = len(objects) > 1 or thing.article in lex.PLURALS or is_plural(thing.text) and thing.text != "woods"
    if set(words) & lex.MIDDLE and not several and thing.kind == "thing":
        return () if thing.text in lex.SURFACES | lex.PICTURE else ("inside",)
    if words[-2:] == ["bottom", "of"] and thing.text in lex.HOLDING:
        return ("inside",)
    return relations


def _alone(piece: Piece) -> bool:
    """Is it no compound, "harbour mouth"?"""
    return all(kinds(word)[0] != "n" for word in piece.phrase.name.split()[:-1])


def _unowned(piece: Piece) -> bool:
    return "'s" not in piece.phrase.text.replace("’", "'")


def unsuited(piece: Piece, relations: tuple[str, ...], words: str) -> bool:
    """Is the thing no object of the relations: a part of the subject's own body, a backdrop, "on a sunny day"?"""
    can, stem, article = set(kinds(piece.text)), stems(piece.text), piece.article
    bare = article in ("", "the") and _unowned(piece)
    own, bare = article in lex.POSSESSIVES, bare or article in ("one", "both", "each")
    if stem & lex.BACKDROPS - {"screen", "canvas"} or (
        _unowned(piece) and (stem & lex.BODY and (bare or own) and _alone(piece) or "b" in can and own)
    ):
        return True
    if stem & lex.BODY and {"on", "around"} & set(relations):
        return True  # "a parrot on a pirate's shoulder"
    if words == "hidden by" and stem & lex.WEATHER:
        return True
    if words == "by" and alive(piece.text):
        return True  # "a painting by the master"
    if own and "w" in can and {"on", "around", "above", "below", "inside"} & set(relations):
        return True
    if article == "the" and _one_word(piece) and piece.text.endswith("est") and kinds(piece.text[:-3])[0] == "a":
        return True  # "among the richest"
    if "on" in relations:
        no = lex.NOT_ON | (lex.BARE_NOT_ON if not article and _one_word(piece) else set())
        return bool(
            stem & no or ("i" in can and not article and piece.phrase.text.islower()) or piece.phrase.text[0].isdigit()
        )
    if "around" in relations:
        return bool(bare and (stem & lex.NOT_AROUND or (not article and "i" in can)) or piece.phrase.text[0].isdigit())
    return False


def _relations(pieces: list[Piece], i: int) -> tuple[tuple[str, ...], int]:
    """The relations before one object, "above and to the left of", and the index after their words."""
    relations, i = [pieces[i].relation], i + 1
    while _kind(pieces, i) == "join" and _kind(pieces, i + 1) == "relation":
        relations.append(pieces[i + 1].relation)
        i += 2
    directions = [DIRECTIONS[relation] for relation in relations if relation in DIRECTIONS]
    if len(relations) == len(directions) == 2:
        both = tuple(map(sum, zip(*directions, strict=True)))
        relations = [NAME_OF[both]] if both in NAME_OF else relations
    return tuple(relations), i


def _no_thing(piece: Piece) -> bool:
    """Is it the picture, "left of the image", or what the text names elsewhere, "above the other"?"""
    bare = piece.article not in ("a", "an") and _one_word(piece)
    return bare and piece.text in lex.PICTURE | lex.NOT_THINGS


def _corner(piece: Piece, of: Piece) -> bool:
    """ "in the top right corner of the panel", which is the picture"""
    corner = {"corner", "half", "edge"} & set(piece.text.split())
    return bool(corner) and of.article == "the" and of.text in lex.HEADS and _one_word(of)


def _one_word(piece: Piece) -> bool:
    return piece.phrase.text.lower().startswith(piece.text)


def _idiom(piece: Piece, relations: tuple[str, ...]) -> bool:
    """Is the relation word none, "over the years", "above average"?"""
    if "between" in relations and (
        piece.phrase.text.isdigit() or piece.text in ("worlds", "lives", "choices", "times")
    ):
        return True
    if piece.article in lex.POSSESSIVES and piece.text == "time":
        return True
    if piece.phrase.text[0].isdigit() and lex.COUNTED & set(piece.phrase.name.split()):
        return True
    if not _one_word(piece):
        return piece.text in lex.FIGURATIVE
    if not piece.article:
        lens = piece.text == "camera" and DIRECTIONS.get(relations[0], NOWHERE)[0]  # "a lens left of camera"
        return not lens and piece.text in lex.IDIOMS | lex.BARE_IDIOMS
    return piece.text in lex.IDIOMS and piece.article in ("the", "this")
