"""Reads the storages of Optuna 3, 4 and 5: its SQLite files and its journal files. Needs no Optuna.

Columns are named as Optuna's own `trials_dataframe` names them.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import why
from .files import columns_of
from .records import BadHistory, History, Row
from .spaces import merged_space, outer_value

STATES = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
"""Optuna's states by the number that its journal has for them."""
DIRECTIONS = ("minimize", "minimize", "maximize")
"""By the number of the journal; 0 is "not set", which Optuna takes for minimize."""

_UTC_SINCE = 5
"""SQLite files hold local times up to Optuna 4, UTC from this version on."""
_SPECIAL = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


@dataclass(slots=True, kw_only=True)
class _Trial:
    number: int
    state: str
    values: dict[int, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)
    started_at: str | None = None
    ended_at: str | None = None


@dataclass(slots=True, kw_only=True)
class _Study:
    name: str
    directions: list[str]
    trials: list[_Trial] = field(default_factory=list)


def read_optuna(source: str, study_name: str | None = None) -> History:
    """A study of an Optuna storage.

    Args:
        source: the path of an SQLite file or of a journal file.
        study_name: which study of it; may be left out where there is only one.

    Raises:
        BadHistory: it is no such file, or the study is not in it.
    """
    path = Path(source.removeprefix("sqlite:///"))
    try:
        with path.open("rb") as file:
            is_sqlite = file.read(16) == b"SQLite format 3\x00"
    except OSError as error:
        raise BadHistory(f"{source} cannot be read: {why(error)}") from error
    if is_sqlite:
        study, notes = _from_sqlite(path, study_name)
    else:
        study, notes = _chosen(_from_journal(path), study_name, path), []
        notes = _give_offsets(study)
    return _history(path, study, notes)


def _chosen(studies: Sequence[_Study], wanted: str | None, path: Path) -> _Study:
    names = [study.name for study in studies]
    if wanted is None and len(studies) == 1:
        return studies[0]
    if wanted in names:
        return studies[names.index(wanted)]
    known = ", ".join(names) or "none"
    if wanted is None:
        raise BadHistory(f"{path} holds {len(names)} studies: {known}; choose one with --from")
    near = get_close_matches(wanted, names, n=1)
    meant = f", did you mean {near[0]!r}?" if near else f"; it holds: {known}"
    raise BadHistory(f"{path} holds no study {wanted!r}{meant}")


def _history(path: Path, study: _Study, notes: Sequence[str]) -> History:
    trials = study.trials
    # Optuna counts steps from 0, often; here the first one is 1.
    shift = 1 if any(0 in trial.reports for trial in trials) else 0
    said = list(notes)
    if shift:
        said.append("reports at step n are imported as n + 1: here steps count from 1")
    rows = [_row(trial, len(study.directions), shift) for trial in trials]
    space, more = merged_space([trial.distributions for trial in trials])
    return History(
        name=f"study {study.name!r} of {path}",
        columns=columns_of(rows),
        rows=rows,
        space=space,
        directions=study.directions,
        notes=[*said, *more],
    )


def _row(trial: _Trial, n_metrics: int, shift: int) -> Row:
    columns: dict[str, Any] = {"number": trial.number, "state": trial.state}
    for index, value in sorted(trial.values.items()):
        columns["value" if n_metrics == 1 else f"values_{index}"] = value
    columns |= {"datetime_start": trial.started_at, "datetime_complete": trial.ended_at}
    columns |= {f"params_{name}": value for name, value in trial.params.items()}
    columns |= trial.attributes
    curve = [(step + shift, value) for step, value in sorted(trial.reports.items())]
    known = {name: value for name, value in columns.items() if value is not None}
    return Row(place=f"trial {trial.number}", columns=known, curve=curve)


# SQLite ------------------------------------------------------------------------------------------


def _from_sqlite(path: Path, wanted: str | None) -> tuple[_Study, list[str]]:
    try:
        # Only to be read: also beside an Optuna that still writes.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return _study_of(db, path, wanted), _time_note(db)
    except sqlite3.Error as error:
        raise BadHistory(f"{path} is no storage of Optuna 3, 4 or 5: {error}") from error


def _study_of(db: sqlite3.Connection, path: Path, wanted: str | None) -> _Study:
    ids = dict(db.execute("SELECT study_name, study_id FROM studies ORDER BY study_id"))
    found = _chosen([_Study(name=name, directions=[]) for name in ids], wanted, path)
    key = (ids[found.name],)
    rows = db.execute(
        "SELECT direction FROM study_directions WHERE study_id = ? ORDER BY objective", key
    )
    found.directions = [str(name).lower().replace("not_set", "minimize") for (name,) in rows]
    zone = UTC if _major(db) >= _UTC_SINCE else None
    trials = {
        trial_id: _Trial(
            number=number,
            state=state,
            started_at=_instant(start, zone),
            ended_at=_instant(end, zone),
        )
        for trial_id, number, state, start, end in db.execute(
            "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials "
            "WHERE study_id = ? ORDER BY number",
            key,
        )
    }
    _fill(db, key, trials)
    found.trials = list(trials.values())
    return found


def _fill(db: sqlite3.Connection, key: tuple[int], trials: Mapping[int, _Trial]) -> None:
    """Reads what belongs to the trials of a study."""

    def rows(columns: str, table: str) -> sqlite3.Cursor:
        # Names of ours, nothing of the file's.
        return db.execute(
            f"SELECT t.trial_id, {columns} FROM {table} AS x JOIN trials AS t "
            "ON t.trial_id = x.trial_id WHERE t.study_id = ? ORDER BY t.number, x.rowid",
            key,
        )

    for trial_id, name, inner, text in rows(
        "param_name, param_value, distribution_json", "trial_params"
    ):
        trials[trial_id].distributions[name] = distribution = json.loads(text)
        trials[trial_id].params[name] = outer_value(distribution, inner)
    for trial_id, index, value, kind in rows("objective, value, value_type", "trial_values"):
        trials[trial_id].values[index] = _SPECIAL.get(kind, value)
    for trial_id, step, value, kind in rows(
        "step, intermediate_value, intermediate_value_type", "trial_intermediate_values"
    ):
        trials[trial_id].reports[step] = _SPECIAL.get(kind, value)
    for kind in ("user", "system"):
        for trial_id, name, text in rows("key, value_json", f"trial_{kind}_attributes"):
            trials[trial_id].attributes[f"{kind}_attrs_{name}"] = json.loads(text)


def _major(db: sqlite3.Connection) -> int:
    """Of the Optuna that made the file, or brought it up to date."""
    found = db.execute("SELECT library_version FROM version_info").fetchone()
    text = str(found[0]).partition(".")[0] if found else ""
    return int(text) if text.isdigit() else 0


def _time_note(db: sqlite3.Connection) -> list[str]:
    return [] if _major(db) >= _UTC_SINCE else [_local_note()]


def _local_note() -> str:
    return f"its times are taken as local ones of this machine ({datetime.now().astimezone():%Z})"


def _instant(text: str | None, zone: Any) -> str | None:
    """A time of the file, which names no zone, with its offset; in local time where `zone` is
    None.
    """
    if text is None:
        return None
    naive = datetime.fromisoformat(text)
    return (naive.replace(tzinfo=zone) if zone else naive.astimezone()).isoformat()


# Journal -----------------------------------------------------------------------------------------


def _from_journal(path: Path) -> list[_Study]:
    """The studies that remain when all operations of the journal are done in order."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadHistory(f"{path} is no Optuna journal: {error}") from error
    played = _Journal()
    for number, line in enumerate(lines, start=1):
        try:
            if line.strip():
                played.do(json.loads(line))
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            is_last = number == len(lines) and number > 1
            if is_last and isinstance(error, ValueError):
                break  # it is still being written
            where = f"{path}, line {number}"
            why = "no JSON" if isinstance(error, json.JSONDecodeError) else repr(error)
            raise BadHistory(f"{where} is no entry of an Optuna journal: {why}") from error
    return list(played.studies.values())


def _give_offsets(study: _Study) -> list[str]:
    """Journals name the offset of a time from Optuna 5 on, and hold local times before."""
    times = [each for trial in study.trials for each in (trial.started_at, trial.ended_at)]
    is_local = any(each and datetime.fromisoformat(each).tzinfo is None for each in times)
    for trial in study.trials if is_local else ():
        trial.started_at = _instant(trial.started_at, None)
        trial.ended_at = _instant(trial.ended_at, None)
    return [_local_note()] if is_local else []


class _Journal:
    """What a journal has come to.

    Attributes:
        studies: by their number.
    """

    def __init__(self) -> None:
        self.studies: dict[int, _Study] = {}
        self._n_studies = 0
        self._trials: list[_Trial] = []

    def do(self, entry: Mapping[str, Any]) -> None:
        """Does one operation; those that concern nothing of a trial are passed over."""
        does: dict[int, Callable[[Mapping[str, Any]], None]] = {
            0: self._create_study,
            1: self._delete_study,
            4: self._create_trial,
            5: self._set_param,
            6: self._set_state,
            7: self._set_report,
            8: self._set_attributes,
            9: self._set_attributes,
        }
        if (doing := does.get(entry["op_code"])) is not None:
            doing(entry)

    def _delete_study(self, entry: Mapping[str, Any]) -> None:
        self.studies.pop(entry["study_id"], None)

    def _create_study(self, entry: Mapping[str, Any]) -> None:
        if any(study.name == entry["study_name"] for study in self.studies.values()):
            return
        directions = [DIRECTIONS[each] for each in entry["directions"]]
        self.studies[self._n_studies] = _Study(name=entry["study_name"], directions=directions)
        self._n_studies += 1

    def _create_trial(self, entry: Mapping[str, Any]) -> None:
        study = self.studies.get(entry["study_id"])
        if study is None:
            return
        trial = _Trial(number=len(study.trials), state=STATES[entry.get("state", 0)])
        trial.started_at, trial.ended_at = entry["datetime_start"], entry.get("datetime_complete")
        values = entry.get("values") or ([] if entry.get("value") is None else [entry["value"]])
        trial.values = dict(enumerate(values))
        trial.distributions = {n: json.loads(d) for n, d in entry.get("distributions", {}).items()}
        trial.params = {
            name: outer_value(trial.distributions[name], inner)
            for name, inner in entry.get("params", {}).items()
        }
        trial.reports = {int(s): v for s, v in entry.get("intermediate_values", {}).items()}
        self._trials.append(trial)
        study.trials.append(trial)
        for kind in ("user", "system"):
            for name, value in entry.get(f"{kind}_attrs", {}).items():
                trial.attributes[f"{kind}_attrs_{name}"] = value

    def _open(self, entry: Mapping[str, Any]) -> _Trial | None:
        """The trial of an entry, if it may still be changed."""
        if not 0 <= entry["trial_id"] < len(self._trials):
            return None
        trial = self._trials[entry["trial_id"]]
        return trial if trial.state in ("RUNNING", "WAITING") else None

    def _set_param(self, entry: Mapping[str, Any]) -> None:
        if (trial := self._open(entry)) is not None:
            name = entry["param_name"]
            trial.distributions[name] = distribution = json.loads(entry["distribution"])
            trial.params[name] = outer_value(distribution, entry["param_value_internal"])

    def _set_state(self, entry: Mapping[str, Any]) -> None:
        trial = self._open(entry)
        if trial is None:
            return
        trial.state = STATES[entry["state"]]
        trial.started_at = entry.get("datetime_start") or trial.started_at
        trial.ended_at = entry.get("datetime_complete") or trial.ended_at
        if entry.get("values") is not None:
            trial.values = dict(enumerate(entry["values"]))

    def _set_report(self, entry: Mapping[str, Any]) -> None:
        if (trial := self._open(entry)) is not None:
            trial.reports[int(entry["step"])] = entry["intermediate_value"]

    def _set_attributes(self, entry: Mapping[str, Any]) -> None:
        if (trial := self._open(entry)) is not None:
            for kind in ("user", "system"):
                for name, value in entry.get(f"{kind}_attr", {}).items():
                    trial.attributes[f"{kind}_attrs_{name}"] = value
