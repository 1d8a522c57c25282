"""Path parameters that several nouns share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

StudyId = Annotated[str, Path(max_length=100, description="Id of the study, `st_...`.")]
TrialId = Annotated[str, Path(max_length=100, description="Id of the trial, `tr_...`.")]
LeaseId = Annotated[str, Path(max_length=100, description="Id of the lease, `ls_...`.")]
CheckpointId = Annotated[str, Path(max_length=100, description="Id of the checkpoint, `ck_...`.")]
WorkerId = Annotated[str, Path(max_length=100, description="Id of the worker, `wk_...`.")]
TokenId = Annotated[str, Path(max_length=100, description="Id of the token, `tk_...`.")]
