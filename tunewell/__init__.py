"""Tunewell's client: talk to a service, write objectives of your own. No torch, no SQL.

```python
import tunewell as tw

client = tw.connect()                               # TUNEWELL_URL, TUNEWELL_TOKEN
study = client.studies.get_or_create(
    "cnn", [tw.Float("lr", 1e-5, 1e-1, log=True)], tw.maximize("accuracy"), max_trials=100
)
for trial in study.ask_until_done():
    with trial:
        for epoch in range(1, 11):
            trial.report(epoch, accuracy=train(trial.params))
            if trial.should_stop:
                break
print(study.best)
```

What talks to a service is loaded when it is first used, so a process that only evaluates an
objective never loads an HTTP client. The decorator is loaded at once: it has the name of its
module, and the last one to be set wins.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    ApiError,
    DefinitionMismatch,
    Forbidden,
    InvalidStudy,
    NotFound,
    NotInstalled,
    Retryable,
    StaleLease,
    TunewellError,
    Unreachable,
    WrongAddress,
    WrongToken,
)
from .objective import Infeasible, Objective, Trial, TrialEnded, objective

if TYPE_CHECKING:
    from .client import AsyncClient, Client, aconnect, connect
    from .embedded import local
    from .handles import AsyncStudy, Study
    from .sklearn import TunewellSearchCV
    from .space import Cat, Float, Int, Metric, When, maximize, minimize, when

_LATER = {
    "AsyncClient": "client",
    "AsyncStudy": "handles",
    "Cat": "space",
    "Client": "client",
    "Float": "space",
    "Int": "space",
    "Metric": "space",
    "Study": "handles",
    "TunewellSearchCV": "sklearn",
    "When": "space",
    "aconnect": "client",
    "connect": "client",
    "local": "embedded",
    "maximize": "space",
    "minimize": "space",
    "when": "space",
}
"""Name -> the module that has it, loaded when it is first asked for (PEP 562)."""

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncStudy",
    "Cat",
    "Client",
    "DefinitionMismatch",
    "Float",
    "Forbidden",
    "Infeasible",
    "Int",
    "InvalidStudy",
    "Metric",
    "NotFound",
    "NotInstalled",
    "Objective",
    "Retryable",
    "StaleLease",
    "Study",
    "Trial",
    "TrialEnded",
    "TunewellError",
    "TunewellSearchCV",
    "Unreachable",
    "When",
    "WrongAddress",
    "WrongToken",
    "aconnect",
    "connect",
    "local",
    "maximize",
    "minimize",
    "objective",
    "when",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
