"""Self-attention whose heads need not add up to the width of the residual stream."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Stands in for ``torch.nn.MultiheadAttention``, with its names of weights, where heads have been removed.

    Args:
        dimension: of the tokens.
        num_heads: heads, of which each has ``head_dim`` dimensions.
        head_dim: of the queries, keys and values of a head.
    """

    def __init__(self, dimension: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.in_proj_weight = nn.Parameter(torch.empty(3 * num_heads * head_dim, dimension))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * num_heads * head_dim))
        self.out_proj = nn.Linear(num_heads * head_dim, dimension)
        nn.init.xavier_uniform_(self.in_proj_weight)

    @classmethod
    def like(cls, attention: nn.MultiheadAttention) -> "SelfAttention":
        """One with the sizes and the weights of ``attention``, which has equal queries, keys and values."""
        made = cls(attention.embed_dim, attention.num_heads, attention.head_dim)
        made.load_state_dict(attention.state_dict())
        return made

    @property
    def num_heads(self) -> int:
        """Heads that are left."""
        return self.in_proj_weight.shape[0] // (3 * self.head_dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False) -> tuple[Tensor, None]:
        """Tokens (N, L, dimension), given three times, to the same shape, and None for the weights."""
        projected = F.linear(query, self.in_proj_weight, self.in_proj_bias)
        queries, keys, values = projected.unflatten(2, (3, -1, self.head_dim)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(queries, keys, values)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None
