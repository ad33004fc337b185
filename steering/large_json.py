"""A JSON file read value by value: of a file of hundreds of MB, never more than a piece is held."""

import json
from collections.abc import Iterator
from typing import TextIO

PIECE = 1 << 20  # characters
CUT = 16  # so near the end of a piece, what cannot be read may only be cut off


class LargeJson:
    """Goes through the file once. All raise ValueError, naming the character, where it is no JSON or breaks off."""

    def __init__(self, file: TextIO):
        self.file, self.text, self.at, self.before, self.ended = file, "", 0, 0, False

    def next(self) -> str:
        """The next character that is no blank, which stays; empty at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in " \t\r\n":
                    return self.text[self.at]
                self.at += 1
            if self.ended:
                return ""
            self._more()

    def value(self) -> object:
        """The next value, whole."""
        self.next()
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos > len(self.text) - CUT
                if self.ended or not cut:
                    raise self._broken(error.pos) from None
            else:
                if self.ended or end < len(self.text):  # else a number may go on
                    self.at = end
                    return value
            self._more()

    def values(self) -> Iterator[object]:
        """Of the array that comes next."""
        return (self.value() for _ in self._parts("[", "]"))

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next; whoever takes a key must take its value too, in any way."""
        for _ in self._parts("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise self._broken(self.at)
            self._take(":")
            yield key

    def _parts(self, opening: str, closing: str) -> Iterator[None]:
        self._take(opening)
        if self.next() != closing:
            yield
            while self.next() == ",":
                self.at += 1
                yield
        self._take(closing)

    def _take(self, wanted: str) -> None:
        if self.next() != wanted:
            raise self._broken(self.at)
        self.at += 1

    def _more(self) -> None:
        """Twice as much of a value that one piece does not hold, so that long values take no longer."""
        part = self.file.read(max(PIECE, len(self.text) - self.at))
        self.before += self.at
        self.text, self.at, self.ended = self.text[self.at :] + part, 0, not part

    def _broken(self, at: int) -> ValueError:
        if self.ended and at >= len(self.text):
            return ValueError(f"it breaks off after {self.before + at} characters")
        return ValueError(f"it is no JSON at character {self.before + at + 1}")
