"""Products by oneDNN are those of torch, and small ones, others' types and processors are left to
torch.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from workers.objectives import products

SIZES = [(1, 784, 128), (16, 784, 128), (128, 784, 128), (128, 77, 784), (2000, 128, 10)]


def drawn(
    n: int, k: int, m: int, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(n)
    x = torch.randn(n, k, generator=rng, dtype=dtype)
    return x, torch.randn(m, k, generator=rng, dtype=dtype), torch.arange(float(m)).to(dtype)


@pytest.fixture(autouse=True)
def _looked_at_anew() -> Iterator[None]:
    real = products.is_wider
    real.cache_clear()
    yield
    real.cache_clear()


@pytest.mark.parametrize("is_wide", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_a_product_is_that_of_the_numbers(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int, int], is_wide: bool
) -> None:
    monkeypatch.setattr(products, "is_wider", lambda: is_wide)
    x, weight, bias = drawn(*size)
    exact = x.double() @ weight.double().t()
    allowed = {"rtol": 1e-5, "atol": 1e-3}  # of sums of 784 products of numbers about 1
    torch.testing.assert_close(products.affine(x, weight).double(), exact, **allowed)
    with_bias = products.affine(x, weight, bias)
    torch.testing.assert_close(with_bias.double(), exact + bias, **allowed)
    for given, expected in (bias, with_bias), (None, products.affine(x, weight)):
        room = torch.full_like(with_bias, torch.nan)
        torch.testing.assert_close(products.affine(x, weight, given, room=room), expected)


@pytest.mark.parametrize("is_wide", [True, False])
def test_both_factors_may_be_transposed(monkeypatch: pytest.MonkeyPatch, is_wide: bool) -> None:
    """As those of the first layer's gradient are."""
    monkeypatch.setattr(products, "is_wider", lambda: is_wide)
    x, d_hidden, _ = drawn(64, 784, 64)
    d_hidden = d_hidden[:, :128].contiguous()
    product = products.affine(d_hidden.t(), x.t(), room=torch.empty(128, 784))
    exact = d_hidden.double().t() @ x.double()
    torch.testing.assert_close(product.double(), exact, rtol=1e-5, atol=1e-4)


def test_a_layer_has_torchs_gradients_and_its_product_without_them() -> None:
    x, weight, bias = drawn(64, 784, 128)
    ours, torchs = products.Linear(784, 128), nn.Linear(784, 128)
    for layer in ours, torchs:
        layer.load_state_dict({"weight": weight, "bias": bias})
        layer(x).square().sum().backward()
    gradients = [layer.weight.grad for layer in (ours, torchs)]
    assert torch.equal(*(each for each in gradients if each is not None))
    with torch.no_grad():
        assert torch.equal(ours(x), products.affine(x, weight, bias))


def test_small_products_and_other_types_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_wider", lambda: True)

    def is_left(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> bool:
        """torch takes the room that it is given."""
        room = x.new_empty(len(x), len(weight))
        return products.affine(x, weight, bias, room=room) is room

    assert is_left(*drawn(20, 784, 128))
    assert not is_left(*drawn(21, 784, 128))
    assert is_left(*drawn(128, 784, 128, torch.float64))


@pytest.mark.parametrize(
    ("maker", "capability", "expected"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", False),
        ("GenuineIntel", "AVX512", False),  # where MKL takes the whole width itself
        (None, "AVX512", False),  # not on Linux
    ],
)
def test_onednn_is_taken_where_mkl_holds_back(
    monkeypatch: pytest.MonkeyPatch, maker: str | None, capability: str, expected: bool
) -> None:
    """And torch has the product under its name: one that names it otherwise fails here."""
    monkeypatch.setattr(products, "maker", lambda: maker)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert products.is_wider() is expected
