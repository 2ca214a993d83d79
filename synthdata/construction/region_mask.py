"""Masks whose rate depends on where in a sequence, or on what part of an image, a position is."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from synthdata.construction.leaks import audit_leaks
from synthdata.construction.relation import Relation, rounded
from synthdata.construction.table import Table
from synthdata.data.decode import PixelFormat, UnreadableImageError, decode
from synthdata.errors import MisuseError
from synthdata.ranges import NonNegativeInt, PositiveInt, UnitInterval
from synthdata.rng import stream_at

Places = NDArray[np.bool_]


@dataclass
class RegionMask:
    """Masks that are denser in a region, after the masks of mRNA2vec (Zhang et al., AAAI 2025, arXiv 2408.09048).

    Of n positions floor(rate · share · n) are masked in the region, and floor(rate · (1 - share) · n) more anywhere,
    all different; what the region has no room for is masked elsewhere. Padding is no position. Of an image, positions
    are square patches, row by row, and the region is the patches whose pixels vary most: the object, not its ground.

    Attributes:
        rate: share of the positions that is masked.
        share: of the masked positions, what the region gets before the rest is drawn from anywhere.
        region: first position and number of positions of the region in a sequence.
        region_from: where its first position is counted from: the start of the sequence, or backwards from its end.
        masks: masks of each row, all different draws.
        token: characters of a position, of a sequence that is a text.
        pad: the text of a position of padding; it may stand at either end of a sequence.
        sequence: column of texts, or of lists of tokens.
        patch: side of a patch in pixels.
        object_share: share of an image's patches that is its region.
        image_size: side that images are brought to, in pixels.
        split_column: column that tells training rows from others; with it the audit looks for leaks between them.
        value: column of numbers that such leaks would tell.
    """

    name: ClassVar[str] = "region_mask"

    rate: UnitInterval = 0.15
    share: UnitInterval = 0.8
    region: tuple[NonNegativeInt, PositiveInt] = (0, 30)
    region_from: Literal["start", "end"] = "start"
    masks: PositiveInt = 1
    token: PositiveInt = 1
    pad: str = "<pad>"
    sequence: str = "sequence"
    patch: PositiveInt = 4
    object_share: UnitInterval = 0.3
    image_size: PositiveInt = 32
    split_column: str = "split"
    value: str = "value"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.sequence,)

    def units(self, rows: Table) -> int:
        return len(rows)

    def propose(self, rows: Table, seed: int, start: int = 0) -> Iterator[list[Relation]]:
        sequences = self._sequences(rows)
        for row in range(start, len(rows)):
            if sequences is None:
                real, region = self._of_image(rows, row)
                span = (0, 0)
            else:
                real, region = self._of_sequence(rows, row, tokens_of(sequences[row], self.token, self.pad))
                span = (int(np.flatnonzero(region)[0]), int(region.sum()))
            stream = stream_at(seed, row)
            drawn = [self.draw(real, region, stream) for _ in range(self.masks)]
            yield [
                Relation(row, "mask", score=float(mask.sum()), span=span, mask=tuple(mask.astype(int).tolist()))
                for mask in drawn
            ]

    def draw(self, real: Places, region: Places, stream: np.random.Generator) -> Places:
        """(n,) one mask.

        Args:
            real: (n,) the positions that are no padding.
            region: (n,) those of them that are in the region.
        """
        inside, anywhere = counts(self.rate, self.share, int(real.sum()))
        inside, overflow = min(inside, int(region.sum())), max(inside - int(region.sum()), 0)
        mask = np.zeros(len(real), bool)
        mask[stream.choice(np.flatnonzero(region), inside, replace=False)] = True
        mask[stream.choice(np.flatnonzero(real & ~mask), anywhere + overflow, replace=False)] = True
        return mask

    def audit(self, rows: Table, relations: Iterator[Relation], truth: Table | None = None) -> dict[str, float]:
        """The rates at which positions in and outside the region were masked; and, with a column that divides the rows,
        what those outside the training rows share with them."""
        sequences = self._sequences(rows)
        masked, positions = np.zeros(2), np.zeros(2)
        masks = 0
        for relation in relations:
            mask = np.array(relation.mask, bool)
            if sequences is None:
                real, region = self._of_image(rows, relation.anchor)
            else:
                tokens = tokens_of(sequences[relation.anchor], self.token, self.pad)
                real, region = self._of_sequence(rows, relation.anchor, tokens)
            for place, part in enumerate((region, real & ~region)):
                masked[place] += mask[part].sum()
                positions[place] += part.sum()
            masks += 1
        rates = masked / np.maximum(positions, 1)
        told: dict[str, float] = {"masks": masks, "rate_inside": rates[0], "rate_outside": rates[1]}
        if sequences is not None and self.split_column in rows:
            told |= audit_leaks(rows, self.sequence, self.split_column, self.value, self.pad)
        return rounded(told)

    def _sequences(self, rows: Table) -> list[str | list[Any]] | None:
        """The column of sequences; None for rows that are images instead."""
        return rows.sequences(self.sequence) if rows.images is None or self.sequence in rows else None

    def _of_sequence(self, rows: Table, row: int, tokens: list[bool]) -> tuple[Places, Places]:
        """(n,) which positions are no padding, and which are in the region."""
        real = np.array(tokens, bool)
        places = np.flatnonzero(real)
        first, length = self.region
        region = places[first : first + length] if self.region_from == "start" else places[::-1][first : first + length]
        if len(region) == 0:
            raise MisuseError(
                f"the region begins at position {first}, and row {rows.ids[row]} of {rows.source} has {len(places)}: "
                "give another --region, or leave the row out"
            )
        inside = np.zeros(len(real), bool)
        inside[region] = True
        return real, inside

    def _of_image(self, rows: Table, row: int) -> tuple[Places, Places]:
        assert rows.images is not None
        side = self.image_size // self.patch
        if side * self.patch != self.image_size:
            raise MisuseError(f"image_size is {self.image_size}: it must be a multiple of --patch {self.patch}")
        try:
            pixels = decode(rows.images.rows.read(int(rows.ids[row])), PixelFormat(1, self.image_size))[0]
        except UnreadableImageError as error:
            raise MisuseError(f"row {rows.ids[row]} of {rows.source} cannot be read as an image ({error})") from error
        patches = pixels.reshape(side, self.patch, side, self.patch).transpose(0, 2, 1, 3).reshape(side * side, -1)
        region = np.zeros(side * side, bool)
        varied = patches.astype(np.float64).std(1)
        region[np.argsort(-varied, kind="stable")[: max(1, round(self.object_share * len(region)))]] = True
        return np.ones(side * side, bool), region


def counts(rate: float, share: float, positions: int) -> tuple[int, int]:
    """How many of ``positions`` are masked in the region, and how many more anywhere."""
    # 0.15 * 0.2 * 100 is 3, whatever the last bit of the product says.
    return math.floor(round(rate * share * positions, 9)), math.floor(round(rate * (1 - share) * positions, 9))


def tokens_of(sequence: str | list[Any], token: int, pad: str) -> list[bool]:
    """Of each position of a sequence, whether it is no padding; of a text, each ``token`` characters are a position."""
    if not isinstance(sequence, str):
        return [str(element) != pad for element in sequence]
    text, before, after = sequence, 0, 0
    while pad and text.startswith(pad):
        text, before = text[len(pad) :], before + 1
    while pad and text.endswith(pad):
        text, after = text[: -len(pad)], after + 1
    return [False] * before + [True] * -(-len(text) // token) + [False] * after
