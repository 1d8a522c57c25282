"""Who ran what, and where time was lost: attempts as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .envelope import Envelope

MOST_BARS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One attempt at a trial, in seconds from the study's first start.

    Attributes:
        holder: the worker's name, or the client's.
        slot: of the worker, from 0; None where that is not known.
        end_s: None while it runs.
        end: how it ended, None while it runs.
    """

    number: int
    attempt: int
    holder: str
    slot: int | None = None
    start_s: float
    end_s: float | None
    end: str | None


def timeline(
    bars: Sequence[Bar], *, change_seq: int, n_total: int, from_s: float, to_s: float | None
) -> Envelope:
    """The attempts that touch a window of time, in the order of their starts; the last 1,000 of
    them where there are more.
    """
    inside = [
        bar
        for bar in sorted(bars, key=lambda bar: (bar.start_s, bar.number, bar.attempt))
        if (to_s is None or bar.start_s <= to_s) and (bar.end_s is None or bar.end_s >= from_s)
    ]
    shown = inside[-MOST_BARS:]
    holders = sorted({bar.holder for bar in shown})
    place = {holder: index for index, holder in enumerate(holders)}
    return Envelope(
        kind="timeline",
        change_seq=change_seq,
        n_total=n_total,
        n_used=len(inside),
        n_shown=len(shown),
        sampling="all" if len(shown) == len(inside) else "last",
        columns={
            "number": [bar.number for bar in shown],
            "attempt": [bar.attempt for bar in shown],
            "holder": [place[bar.holder] for bar in shown],
            "slot": [bar.slot for bar in shown],
            "start_s": [round(bar.start_s, 3) for bar in shown],
            "end_s": [None if bar.end_s is None else round(bar.end_s, 3) for bar in shown],
            "end": [bar.end for bar in shown],
        },
        more={"holders": holders},
    )
