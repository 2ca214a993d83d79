"""The rows that a configuration names: opened, embedded, with their graph beside them."""

import hashlib
from dataclasses import replace
from typing import Any

from synthdata.construction.config import Config, HardNegativesConfig, SelectPairsConfig
from synthdata.construction.embedding import TFIDF, TRIPLES, embed_images, embed_texts, embed_triples, with_columns
from synthdata.construction.sources import open_source
from synthdata.construction.table import Table
from synthdata.errors import MisuseError
from synthdata.models import Encoder


def open_rows(config: Config) -> tuple[Table, Table | None, dict[str, Any]]:
    """The rows, what the audit alone may read, and the JSON-ready identity of all that relations depend on.

    Raises:
        MisuseError: a source or an encoder cannot be used.
        FailureError: one cannot be read.
    """
    encoder = None
    if config.encoder not in (None, TFIDF, TRIPLES):
        encoder = Encoder.from_pretrained(config.encoder)
        rows = open_source(config.source, config.split, encoder.image_size, encoder.channels)
        rows = embed_images(rows, encoder)
    else:
        rows = _embedded(open_source(config.source, config.split), config)
    identity = {"source": rows.identity}
    if config.encoder is not None:
        identity["encoder"] = _weights_identity(encoder) if encoder else {"class": config.encoder}
    truth = None
    if isinstance(config, HardNegativesConfig):
        if config.graph is not None:
            edges = open_source(config.graph, config.split)
            rows, identity["graph"] = replace(rows, edges=edges), edges.identity
        if config.truth is not None:
            truth = open_source(config.truth, config.split)
            identity["truth"] = truth.identity
    return rows, truth, identity


def _embedded(rows: Table, config: Config) -> Table:
    if config.encoder is None:
        _check_embedding(rows, config)
        return rows
    if config.encoder == TFIDF:
        if not isinstance(config, SelectPairsConfig | HardNegativesConfig):
            raise MisuseError(f"--encoder {TFIDF} embeds nothing that {config.name} reads: leave it out")
        column = config.response if isinstance(config, SelectPairsConfig) else config.text
        return with_columns(rows, **{config.embedding: embed_texts(rows.texts(column))})
    if not isinstance(config, HardNegativesConfig):
        raise MisuseError(f"--encoder {TRIPLES} embeds nothing that {config.name} reads: leave it out")
    heads, relations, tails = (rows.keys(name) for name in (config.head, config.relation, config.tail))
    queries, vectors = embed_triples(heads, relations, tails)
    return with_columns(rows, **{config.query: queries, config.embedding: vectors})


def _check_embedding(rows: Table, config: Config) -> None:
    """Refuse rows without the vectors that a strategy compares, and say what would embed them."""
    if not isinstance(config, SelectPairsConfig | HardNegativesConfig) or config.embedding in rows:
        return
    column = config.response if isinstance(config, SelectPairsConfig) else config.text
    if rows.images is not None:
        with_what = "the folder of an encoder of images"
    elif isinstance(config, HardNegativesConfig) and config.columns.are_in(rows):
        with_what = TRIPLES
    elif column in rows:
        with_what = TFIDF
    else:
        rows.values(config.embedding)  # which says what there is
        return
    raise MisuseError(
        f"{rows.source} has no column {config.embedding}: give --encoder {with_what}, or name a column of vectors with "
        "--embedding"
    )


def _weights_identity(encoder: Encoder) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return {"class": type(encoder).__name__, "sha256": digest.hexdigest()}
