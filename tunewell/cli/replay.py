"""tunewell study replay: derives every suggested point again and compares with what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from .arguments import StudyName
from .output import (
    Json,
    TokenOption,
    Url,
    connect,
    opened,
    print_json,
    print_table,
    say,
)

_OUTCOMES = ("equal", "different", "skipped")


def replay(
    study: StudyName,
    check: Annotated[
        bool, typer.Option("--check", help="Show only what is not equal; exit 1 if any differs.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also points that other library versions made.")
    ] = False,
    local: Annotated[
        str | None,
        typer.Option(
            metavar="DB",
            help="Work here on this database (a URL or an SQLite file), no service.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    token: TokenOption = None,
    json: Json = False,
) -> None:
    """Derive every suggested point again and compare.

    Each is derived from what was known then, and compared bit for bit.
    """
    with _pages(study, local, url, token, force=force) as pages:
        verdicts = list(_followed(pages))
    counts = Counter(str(verdict["outcome"]) for verdict in verdicts)
    shown = [v for v in verdicts if not check or v["outcome"] != "equal"]
    if json:
        print_json({**{name: counts[name] for name in _OUTCOMES}, "trials": shown})
    else:
        _print(shown, counts, is_forced=force)
    raise typer.Exit(1 if check and counts["different"] else 0)


@contextmanager
def _pages(
    study: str, local: str | None, url: str | None, token: str | None, *, force: bool
) -> Iterator[Iterable[Mapping[str, Any]]]:
    """The verdicts on a study, page by page: worked out by the service, or here."""
    if local is None:
        with connect(url, token) as client:
            yield client.replay(client.find_study(study)["id"], force=force)
        return
    database = local if "://" in local else f"sqlite:///{Path(local).absolute()}"
    with opened("local_replay", database) as replays:
        yield replays.pages(replays.find(study), force=force)


def _followed(pages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The verdicts of all pages; says after each page how far it is."""
    counts: Counter[str] = Counter()
    for page in pages:
        yield from page["trials"]
        counts.update(str(verdict["outcome"]) for verdict in page["trials"])
        said = ", ".join(f"{counts[name]} {name}" for name in _OUTCOMES)
        say(f"trial {page['last_number']} of {page['n_trials']}: {said}")


def _print(verdicts: Iterable[Mapping[str, Any]], counts: Counter[str], *, is_forced: bool) -> None:
    rows = [
        (v["number"], v["outcome"], v["source"], v["suggester"], "; ".join(v["reasons"]))
        for v in verdicts
    ]
    columns = ("number", "outcome", "source", "suggester", "why")
    print_table(columns, rows, empty="Every suggested point is equal.")
    if counts["skipped"]:
        more = "" if is_forced else "; --force looks at those of other versions too"
        say(f"{counts['skipped']} could not be compared, the last column says why{more}")
