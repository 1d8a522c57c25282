"""A service killed while a webhook is on its way: the next one sends it."""

from __future__ import annotations

from pathlib import Path

from tests.receiver import SECRET, receiving

from .running import Service


def test_a_webhook_outlives_its_service(folder: Path, database_url: str) -> None:
    with receiving() as receiver:
        env = {"TUNEWELL_WEBHOOK_HOSTS": "127.0.0.1", "TUNEWELL_WEBHOOK_SECRET": SECRET}
        service = Service(folder, database_url, env)
        service.start()
        try:
            definition = {
                "name": "told",
                "metrics": [{"name": "value", "direction": "minimize"}],
                "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
                "webhook": {"url": receiver.url},
            }
            study = service.call("POST", "/v1/studies", definition)
            receiver.hold.clear()  # it is taken in, but never answered
            service.call("POST", f"/v1/studies/{study['id']}:cancel")
            first = receiver.next()
            service.kill()
            receiver.hold.set()
            service.start()
            again = receiver.next()
            assert again.body == first.body

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
