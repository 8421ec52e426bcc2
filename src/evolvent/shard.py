"""A shard: the share of a stage's parts that one worker makes."""

import re
from dataclasses import dataclass
from typing import Self

from evolvent.errors import InputError

SHARDS = "shards"  # the folder of all shards, in a run folder
NAME = re.compile(r"(\d{1,9})-of-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Shard:
    """Every ``of``-th part of a stage, from part ``number`` on.

    Attributes:
        number: from 1 to ``of``.
        of: how many shards there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The shard that a user names: ``3/64``.

        Raises:
            InputError: there is none of this name.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(f"shard {text!r} is none", fix="Of 64 shards the first is 1/64, the last 64/64.")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def named(cls, folder: str) -> Self | None:
        """The shard whose folder has this name; None if it is no shard's."""
        found = NAME.fullmatch(folder)
        shard = cls(int(found[1]), int(found[2])) if found else None
        return shard if shard and shard.folder == folder and 1 <= shard.number <= shard.of else None

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.number}-of-{self.of}"

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def takes(self, part: int) -> bool:
        """Whether it makes the part of this number, from 0."""
        return part % self.of == self.number - 1
