"""MNIST as tensors in memory, loaded once per process and shared by the trials forked from it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

from . import data, download

PIXEL_MEAN, PIXEL_SD = 0.1307, 0.3081
"""Mean and standard deviation of the training images' pixels, from 0 to 1."""

N_PIXELS = 784
_HEADER_BYTES = {"images-idx3-ubyte": 16, "labels-idx1-ubyte": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Images `x` (n, 784) float32, normalised, and their digits `y` (n,) int64."""

    x: torch.Tensor
    y: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Mnist:
    """A data set's training and test images."""

    source: data.DataSet
    train: Part
    test: Part


def choose(wanted: str, digest: str | None, *, may_download: bool) -> data.DataSet:
    """The data set that a trial is to use.

    Args:
        wanted: "auto" (the full one if it can be had, else the subset), "mnist" or "mnist-5k".
        digest: of the data set that the study is bound to, or None.
        may_download: whether the full set may be downloaded now.

    Raises:
        DataError: the one wanted cannot be had.
    """
    candidates = [
        each
        for each in (data.MNIST, data.MNIST_5K)
        if wanted in ("auto", each.name) and digest in (None, each.digest)
    ]
    for candidate in candidates:
        if data.locate(candidate) is not None:
            return candidate
        if candidate is data.MNIST and may_download and download.fetch_mnist():
            return candidate
    bound = f" with the digest {digest}" if digest else ""
    raise data.DataError(
        f"the data set {wanted}{bound} is not at hand: looked in {data.data_folder()}"
    )


@functools.lru_cache(maxsize=2)
def load(source: data.DataSet) -> Mnist:
    """Reads, checks and normalises a data set.

    Raises:
        DataError: it is gone, or a file is corrupt.
    """
    files = data.read(source)
    return Mnist(source=source, train=_part(files, "train"), test=_part(files, "t10k"))


def _part(files: dict[str, bytes], name: str) -> Part:
    x = _body(files, name, "images-idx3-ubyte").view(-1, N_PIXELS).float()
    # ToTensor, then Normalize by the training pixels, in that order of operations: the same floats.
    x.div_(255).sub_(PIXEL_MEAN).div_(PIXEL_SD)
    return Part(x=x, y=_body(files, name, "labels-idx1-ubyte").long())


def _body(files: dict[str, bytes], part: str, kind: str) -> torch.Tensor:
    content = files[f"{part}-{kind}"]
    array = np.frombuffer(content, dtype=np.uint8, offset=_HEADER_BYTES[kind])
    return torch.from_numpy(array.copy())
