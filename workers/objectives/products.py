"""The products of a network's large layers on a CPU.

torch gives products of float32 to MKL, which takes half the width of AVX-512 on a processor that is
not Intel's. oneDNN, which torch brings too, takes all of it: on an AMD Zen 5 the first layer's
products are 1.4, 1.7 and 1.9 times as fast at 32, 64 and 128 rows. A call costs 10 us more, which
small ones do not win back.

Which of the two it is depends on the processor and on shapes alone, never on a timing: what is
trained on one machine twice comes to the same bits.
"""

from __future__ import annotations

import functools

import torch
from torch import nn

from ..processor import INTEL, maker

LEAST_MULTIPLICATIONS = 2**21
"""Products of so many are left to oneDNN: 21 rows of a layer 784-128."""


@functools.cache
def is_wider() -> bool:
    """Whether oneDNN is at hand and has wider registers than MKL would take."""
    capability: str = torch.backends.cpu.get_cpu_capability()
    return (
        capability == "AVX512"
        and maker() not in (None, INTEL)
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def affine(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    room: torch.Tensor | None = None,
) -> torch.Tensor:
    """x weight^T + bias, without a gradient.

    Args:
        x: (n, k).
        weight: (m, k).
        bias: (m,).
        room: memory that the result may be put in, (n, m).
    """
    if _is_for_onednn(x, weight):
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return product
    if bias is None:
        return torch.mm(x, weight.t(), out=room)
    return torch.addmm(bias, x, weight.t(), out=room)


def _is_for_onednn(x: torch.Tensor, weight: torch.Tensor) -> bool:
    return (
        x.shape[0] * weight.numel() >= LEAST_MULTIPLICATIONS
        and x.dtype is torch.float32
        and x.device.type == "cpu"
        and is_wider()
    )


class Linear(nn.Linear):
    """torch's layer; without a gradient its product is `affine`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Outputs (n, m) of inputs (n, k)."""
        if torch.is_grad_enabled():
            return super().forward(input)
        return affine(input, self.weight, self.bias)
