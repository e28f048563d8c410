"""Several networks of one kind as one: what they do not agree on is averaged.

Source: B. Lakshminarayanan et al., NeurIPS 2017, arXiv:1612.01474.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gliomaseg.networks.outputs import Supervised


class Members(nn.Module):
    """Networks that learn side by side from the same batches, each by a loss of its own."""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, batch: Tensor) -> Tensor | tuple[Tensor | Supervised, ...]:
        """Return the mean of the logits (n, 2, y, x); in training what each network returns."""
        outputs = tuple(network(batch) for network in self.networks)
        return outputs if self.training else torch.stack(outputs).mean(dim=0)
