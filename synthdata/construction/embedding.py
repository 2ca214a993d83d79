"""Embeddings of the rows of a table: a column of it, an encoder's, or what needs no training."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from synthdata.construction.table import Table
from synthdata.data import Images
from synthdata.data.decode import PixelFormat
from synthdata.errors import MisuseError
from synthdata.evaluation.features import map_images
from synthdata.models import Encoder

TFIDF, TRIPLES = "tfidf", "triples"
_RESIDENT_BYTES = 4 * 2**30
_TEXT_DIMENSIONS = 256


def embed_images(rows: Table, encoder: Encoder) -> Table:
    """``rows`` with the unit-norm embeddings of its images as the column ``embedding``.

    Raises:
        MisuseError: the rows have no images, or one of them cannot be read.
    """
    if rows.images is None:
        raise MisuseError(f"{rows.source} has no images for --encoder to embed: leave it out, or name another source")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pixel_format = PixelFormat(encoder.channels, encoder.image_size)
    images = Images(rows.images, torch.from_numpy(rows.ids), pixel_format, _RESIDENT_BYTES)
    if len(images) != len(rows):
        raise MisuseError(f"{len(rows) - len(images)} images of {rows.source} cannot be read: mend or remove them")
    return with_columns(rows, embedding=map_images(encoder.to(device), encoder, images, device).numpy())


def with_columns(rows: Table, **columns: Any) -> Table:
    """``rows`` with more columns."""
    return replace(rows, columns={**rows.columns, **columns})


def embed_texts(texts: list[str], seed: int = 0) -> NDArray[np.float32]:
    """(N, D) unit-norm: TF-IDF of the words, brought down to at most 256 dimensions by a truncated SVD.

    Raises:
        MisuseError: no text has a word.
    """
    try:
        counts = TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit_transform(texts)
    except ValueError as error:
        raise MisuseError(f"the texts hold no words to compare: {error}") from error
    if counts.shape[1] <= _TEXT_DIMENSIONS:
        return counts.toarray()
    dimensions = min(_TEXT_DIMENSIONS, min(counts.shape) - 1)
    left, values, _ = randomized_svd(counts, dimensions, random_state=seed)
    return unit(left * values)


def embed_triples(
    heads: list[str], relations: list[str], tails: list[str], rank: int = 20, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Queries and tails of triples, such that their product scores a tail for a head and relation.

    A truncated higher-order SVD of the tensor of triples, with as many dimensions for each of its three sides (De
    Lathauwer et al., "A Multilinear Singular Value Decomposition", 2000): in closed form, nothing is trained.

    Returns:
        Two (N, rank) arrays: of each triple, the query (head, relation), and its tail.
    """
    (h, n_heads), (r, n_relations), (t, n_tails) = (_numbered(names) for names in (heads, relations, tails))
    ones = np.ones(len(h), np.float64)

    def side(row: NDArray[np.int64], size: int, column: NDArray[np.int64]) -> NDArray[np.float64]:
        # Columns without an entry change nothing, and of a large graph there are billions of them.
        told, place = np.unique(column, return_inverse=True)
        unfolded = coo_matrix((ones, (row, place)), (size, len(told))).tocsr()
        unfolded.data[:] = 1.0
        return randomized_svd(unfolded, min(rank, *unfolded.shape), random_state=seed)[0]

    of_heads = side(h, n_heads, r * n_tails + t)
    of_relations = side(r, n_relations, h * n_tails + t)
    of_tails = side(t, n_tails, r * n_heads + h)
    triples = np.unique(np.stack([h, r, t], 1), axis=0)
    core = np.einsum(
        "na,nb,nc->abc", *(u[triples[:, i]] for i, u in enumerate((of_heads, of_relations, of_tails))), optimize=True
    )
    queries = np.einsum("na,nb,abc->nc", of_heads[h], of_relations[r], core, optimize=True)
    return queries.astype(np.float32), of_tails[t].astype(np.float32)


def _numbered(names: list[str]) -> tuple[NDArray[np.int64], int]:
    distinct, numbers = np.unique(names, return_inverse=True)
    return numbers.astype(np.int64), len(distinct)


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """(N, D) vectors of norm 1; those of norm 0 stay so."""
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)
