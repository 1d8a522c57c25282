"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from .completion import study_files, study_names, worker_names

StudyName = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="The study's id or name.", autocompletion=study_names),
]
StudySource = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A JSON file, - for standard input, or the name of an example.",
        autocompletion=study_files,
    ),
]
WorkerName = Annotated[
    str,
    typer.Argument(metavar="WORKER", help="The worker's id or name.", autocompletion=worker_names),
]
TrialOf = Annotated[
    str,
    typer.Argument(
        metavar="TRIAL", help="The trial's id, or its study.", autocompletion=study_names
    ),
]
TrialNumber = Annotated[
    int | None,
    typer.Argument(
        metavar="NUMBER", min=1, help="After a study: the trial's number in it.", show_default=False
    ),
]
