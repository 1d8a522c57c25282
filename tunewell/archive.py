"""A checkpoint as one file: what an objective saved, and by whom. A tar archive, so that files keep
their names; unpacking one runs no code and writes nowhere else.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_HEADER = "TUNEWELL.checkpoint"
"""Name of the record in the archive's global header."""


class Unusable(Exception):
    """There is no going on from a checkpoint; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What is kept beside the files.

    Attributes:
        objective: name of the objective that saved it.
        version: of its code.
        values: those of the report that it was saved after.
    """

    objective: str
    version: str
    values: Mapping[str, float]


def pack(path: Path, name: str, saved: Saved, target: Path) -> None:
    """Writes a copy of a file or folder, under a name, to an archive.

    Links are followed: where it is unpacked, what they point to need not be there.

    Raises:
        OSError: something cannot be read or written.
    """
    header = {"objective": saved.objective, "version": saved.version, "values": dict(saved.values)}
    with tarfile.open(
        target,
        "w",
        format=tarfile.PAX_FORMAT,
        pax_headers={_HEADER: json.dumps(header)},
        dereference=True,
    ) as archive:
        archive.add(path, arcname=name, filter=_nobodys)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(source: Path, folder: Path, *, objective: str, version: str) -> Saved:
    """Unpacks a checkpoint into a folder.

    Args:
        source: the archive.
        folder: where its files go; it is there and empty.
        objective: name of the objective that is to go on from it.
        version: of that objective's code.

    Raises:
        Unusable: it is no checkpoint of ours, or that of another objective or version.
        OSError: it cannot be read, or its files cannot be written.
    """
    try:
        with tarfile.open(source, "r:") as archive:
            saved = _header(archive.pax_headers)
            if (saved.objective, saved.version) != (objective, version):
                raise Unusable(
                    f"it was saved by {_named(saved.objective, saved.version)}, "
                    f"and this is {_named(objective, version)}"
                )
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise Unusable(f"it is no checkpoint as a worker saves it: {error}") from error
    return saved


def _header(found: Mapping[str, str]) -> Saved:
    try:
        return Saved(**json.loads(found[_HEADER]))
    except (KeyError, TypeError, ValueError) as error:
        raise Unusable("it does not say which objective saved it") from error


def _named(objective: str, version: str) -> str:
    return f"{objective} {version}" if version else f"{objective} without a version"
