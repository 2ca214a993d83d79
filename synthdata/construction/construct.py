"""A construction from beginning to end: rows in, a dataset of relations out."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from datasets import Features

from synthdata.construction.config import STRATEGIES, Config, ConstructionConfig, RegionMaskConfig, SelectPairsConfig
from synthdata.construction.encoding import RelationEncoder
from synthdata.construction.relation import BLOCK, Relation
from synthdata.construction.rows import open_rows
from synthdata.construction.table import Table
from synthdata.emission.dataset import Emission, check_output, write_dataset
from synthdata.emission.kinds import Kind, Row
from synthdata.emission.manifest import read_plan
from synthdata.emission.plan import Shard
from synthdata.errors import MisuseError
from synthdata.ranges import check_ranges

PROGRAM = "synthdata construct"
KIND: Kind = "relations"
_ROWS_AT_ONCE = 1_000


def construct(config: Config) -> Emission:
    """Write the relations that a strategy proposes as a dataset directory, or complete an interrupted one.

    Under a launcher, or as one of ``config.workers``, a process writes its share of the shards; what is proposed
    depends on the rows, the strategy's settings and the seed alone.

    Raises:
        MisuseError: a setting out of range, rows that the strategy cannot use, an output that holds something else.
        FailureError: a source cannot be read, or the disk is full; finished shards are kept.
    """
    check_ranges(config)
    check_output(config.output)
    maker = RelationMaker(config)
    plan = read_plan(config.output)
    count = plan["construction"]["rows"] if plan and "construction" in plan else maker.surveyed["rows"]
    return write_dataset(maker, config, {KIND: count}, f"{PROGRAM} {config.name}")


class RelationMaker:
    """The ``RowMaker`` of a strategy's relations."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rows, self.truth, identity = open_rows(config)
        # A round trip through JSON, so that it compares equal to the copy that a manifest holds.
        self.identity: dict[str, Any] = json.loads(json.dumps(identity))
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def surveyed(self) -> dict[str, Any]:
        """All relations, proposed once to be counted and audited."""
        units = self.config.units(self.rows)
        kinds: Counter[str] = Counter()
        starts: list[int] = []

        def counted() -> Iterator[Relation]:
            for unit, relations in enumerate(self.config.propose(self.rows, self.config.seed)):
                if unit % BLOCK == 0:
                    starts.append(kinds.total())
                kinds.update(relation.kind for relation in relations)
                yield from relations

        audit = self.config.audit(self.rows, counted(), self.truth)
        if not kinds:
            raise MisuseError(f"{self.config.name} finds no relation in {self.rows.source}: loosen its settings")
        return {
            "strategy": self.config.name,
            "parameters": _parameters(self.config),
            "source": {"data": _name(self.config.source), "rows": self.rows.source_rows},
            "units": units,
            "rows": kinds.total(),
            "relations": dict(sorted(kinds.items())),
            "audit": audit,
            "starts": starts,
        }

    def measure(self) -> dict[str, Any]:
        return {"construction": self.surveyed, "criteria": {KIND: {"edges": {}}}}

    def prepare(self) -> None:
        pass

    def features(self, kind: Kind) -> Features:
        return self._encoder.features()

    def make(self, kind: Kind, criteria: dict[str, Any], shards: Sequence[Shard]) -> Iterator[list[Row]]:
        if not shards:
            return
        plan = read_plan(self.config.output)
        assert plan is not None
        starts = plan["construction"]["starts"]
        block = bisect_right(starts, shards[0].first_row) - 1
        proposed = chain.from_iterable(self.config.propose(self.rows, self.config.seed, block * BLOCK))
        rows: list[Row] = []
        for index, relation in enumerate(proposed, starts[block]):
            rows.append(self._encoder.row(relation, index))
            if len(rows) == _ROWS_AT_ONCE:
                yield rows
                rows = []
        yield rows

    @cached_property
    def _encoder(self) -> RelationEncoder:
        if not self.config.embed_rows:
            return RelationEncoder(self.rows)
        copied, names = _copied(self.config, self.rows)
        return RelationEncoder(self.rows, copied, names, others=not isinstance(self.config, RegionMaskConfig))


def _copied(config: Config, rows: Table) -> tuple[tuple[str, ...], tuple[str, str, str] | None]:
    """The columns that are copied beside relations, and what those of a pair to be judged are called."""
    images = ("image",) if rows.images is not None else ()
    if isinstance(config, SelectPairsConfig):
        texts = tuple(name for name in (config.prompt, config.response) if name in rows)
        judged = config.reward in rows
        names = ("chosen", "rejected") if judged else ("response_a", "response_b")
        return (*texts, *images), (config.prompt, *names)
    vectors = {getattr(config, "embedding", ""), getattr(config, "query", "")}
    return (*(name for name in rows.columns if name not in vectors and not rows.is_image(name)), *images), None


def _parameters(config: Config) -> dict[str, Any]:
    """The strategy's own settings."""
    common = {field.name for field in fields(ConstructionConfig)} | {"graph", "truth"}
    return {name: value for name, value in asdict(config).items() if name not in common}


def _name(source: str) -> str:
    """A source without the folders that lead to it on this machine."""
    prefix, colon, path = source.rpartition(":")
    return f"{prefix}{colon}{Path(path).name}" if Path(path).exists() else source


def parse_strategy(name: str) -> type[Config]:
    """The configuration of the strategy of this name.

    Raises:
        MisuseError: there is none.
    """
    if name not in STRATEGIES:
        raise MisuseError(f"there is no strategy {name}: choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
