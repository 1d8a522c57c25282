"""California housing as arrays: the nine published columns, and scikit-learn's features from
them.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from . import data

Array = npt.NDArray[np.float64]

_HEADER = (
    "longitude",
    "latitude",
    "housingMedianAge",
    "totalRooms",
    "totalBedrooms",
    "population",
    "households",
    "medianIncome",
    "medianHouseValue",
)
_PKZ_ORDER = (8, 7, 2, 3, 4, 5, 6, 1, 0)
"""Where scikit-learn's cached file keeps each of its columns in ours: target first."""


@functools.lru_cache(maxsize=1)
def load() -> tuple[Array, Array]:
    """Features (20640, 8) and target (20640,), bit for bit as `fetch_california_housing` has them.

    Raises:
        DataError: a copy in the data folder is corrupt.
    """
    return features(raw())


def raw() -> Array:
    """The nine columns (20640, 9) in the published order: from the data folder, else as shipped."""
    pkz = _scikit_learn_copy()
    if pkz is not None:
        return _from_pkz(pkz)
    text = data.read(data.CALIFORNIA)["cal_housing_raw.csv"].decode()
    rows = list(csv.reader(io.StringIO(text)))
    return np.array([[float(cell) for cell in row] for row in rows[1:]])


def _scikit_learn_copy() -> Path | None:
    """scikit-learn's cached file, when the data folder has that and no csv."""
    paths = data.locate(data.CALIFORNIA)
    if paths is not None and data.SHIPPED not in paths["cal_housing_raw.csv"].parents:
        return None
    places = [data.data_folder() / folder for folder in data.CALIFORNIA.folders]
    files = [place / "cal_housing_py3.pkz" for place in places]
    return next((file for file in files if file.is_file()), None)


def _from_pkz(path: Path) -> Array:
    import joblib

    stored = np.asarray(joblib.load(path), dtype="<f8")
    table = np.empty_like(stored)
    if stored.ndim == 2 and stored.shape[1] == len(_PKZ_ORDER):
        table[:, list(_PKZ_ORDER)] = stored
    found = hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest()
    if found != data.CALIFORNIA.digest:
        raise data.CorruptFile(
            f"{path} is corrupt: the digest of its rows is {found}, not {data.CALIFORNIA.digest}"
        )
    return table


def features(table: Array) -> tuple[Array, Array]:
    """Averages per household and the value in 100,000 dollars, by scikit-learn's own divisions.

    Args:
        table: the nine columns (n, 9) as published.

    Returns:
        x (n, 8): MedInc, HouseAge, AveRooms, AveBedrms, Population, AveOccup, Latitude, Longitude;
        y (n,).
    """
    column = {name: table[:, index] for index, name in enumerate(_HEADER)}
    households = column["households"]
    x = np.column_stack(
        [
            column["medianIncome"],
            column["housingMedianAge"],
            column["totalRooms"] / households,
            column["totalBedrooms"] / households,
            column["population"],
            column["population"] / households,
            column["latitude"],
            column["longitude"],
        ]
    )
    return x, column["medianHouseValue"] / 100_000.0
