"""A service killed while a webhook is on its way: the next one sends it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.pages import marked
from tests.receiver import SECRET, Received, receiving

from .running import Service


def settings_of_the_page() -> dict[str, str]:
    """The page's, with this machine for its host and the secret of the receiver."""
    env = dict(re.findall(r"^(\w+)=(\S+)", marked("a webhook's settings"), re.MULTILINE))
    assert env["TUNEWELL_WEBHOOK_HOSTS"].split(",")[0] == "hooks.example"
    env["TUNEWELL_WEBHOOK_HOSTS"] = env["TUNEWELL_WEBHOOK_HOSTS"].replace(
        "hooks.example", "127.0.0.1"
    )
    return {**env, "TUNEWELL_WEBHOOK_SECRET": SECRET}


class Headers(dict[str, str]):
    """Names in any case, as every framework has them."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())


def assert_is_as_the_page_says(received: Received) -> None:
    """The message has the members of the page, and its receiver takes it, unless it was changed."""
    assert set(received.message) == set(json.loads(marked("a webhook's message")))
    headers = Headers(received.headers)
    names: dict[str, Any] = {"headers": headers, "body": received.body, "secret": SECRET}
    exec(marked("a webhook's receiver"), dict(names))
    with pytest.raises(AssertionError):
        exec(marked("a webhook's receiver"), {**names, "body": received.body + " "})
    old = Headers({**headers, "tunewell-timestamp": "1"})
    with pytest.raises(AssertionError):
        exec(marked("a webhook's receiver"), {**names, "headers": old})


def test_a_webhook_outlives_its_service(folder: Path, database_url: str) -> None:
    with receiving() as receiver:
        service = Service(folder, database_url, settings_of_the_page())
        service.start()
        try:
            definition = {
                "name": "told",
                "metrics": [{"name": "value", "direction": "minimize"}],
                "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
                "webhook": {"url": receiver.url},
            }
            shown = json.loads(marked("a webhook's definition"))
            assert {**shown["webhook"], "url": receiver.url} == definition["webhook"]
            study = service.call("POST", "/v1/studies", definition)
            receiver.hold.clear()  # it is taken in, but never answered
            service.call("POST", f"/v1/studies/{study['id']}:cancel")
            first = receiver.next()
            service.kill()
            receiver.hold.set()
            service.start()
            again = receiver.next()
            assert again.body == first.body
            assert_is_as_the_page_says(again)

            def delivered() -> bool:
                [shown] = service.study(study["id"])["webhook_deliveries"]
                return bool(shown["state"] == "delivered" and shown["attempts"] == 2)

            service.wait(delivered)
        finally:
            service.end()


def test_a_listed_host_without_a_secret_is_a_sentence(folder: Path, database_url: str) -> None:
    from .running import Process, tunewell

    command = tunewell("serve", "--port", "0", "--database-url", database_url)
    process = Process(command, folder, {"TUNEWELL_WEBHOOK_HOSTS": "hooks.example"})
    assert process.process.wait(timeout=60) == 2
    process.end()
    assert "TUNEWELL_WEBHOOK_SECRET" in process.errors.read_text()
