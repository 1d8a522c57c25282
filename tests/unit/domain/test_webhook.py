"""Which URLs a webhook may have, and which addresses may be told."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.checking import Faults
from app.domain.webhook import Webhook, may_tell, parse_webhook, refused_addresses
from app.settings import Settings


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://hooks.example/x?y=z", "hooks.example"),
        ("https://HOOKS.Example.:8443/", "hooks.example"),
        ("https://10.0.0.5/", "10.0.0.5"),
        ("http://127.0.0.1:9000/hook", "127.0.0.1"),
        ("http://[::1]:9000/hook", "::1"),
    ],
)
def test_these_are_urls_of_webhooks(url: str, host: str) -> None:
    faults = Faults()
    found = parse_webhook({"url": url}, "/webhook", faults)
    assert found == Webhook(url=url)
    assert found.host == host
    assert len(faults) == 0


@pytest.mark.parametrize(
    "raw",
    [
        {"url": "http://hooks.example/"},
        {"url": "http://localhost/"},
        {"url": "http://10.0.0.5/"},
        {"url": "ftp://hooks.example/"},
        {"url": "file:///etc/passwd"},
        {"url": "https://"},
        {"url": "https:///path"},
        {"url": "https://user:secret@hooks.example/"},
        {"url": "https://hooks.example@10.0.0.1/"},
        {"url": "https://hooks.example/#x"},
        {"url": "https://hooks.example:99999/"},
        {"url": "https://hooks.example:x/"},
        {"url": "https://[::1/"},
        {"url": "https://hooks.example/a b"},
        {"url": "https://hooks.example\\@evil.example/"},
        {"url": "https://h\u00f6oks.example/"},
        {"url": "https://hooks.example/\r\nX: y"},
        {"url": "https://hooks.example/" + "x" * 2_000},
        {"url": ""},
        {"url": 3},
        {"url": None},
        {},
        {"url": "https://hooks.example/", "secret": "x"},
        "https://hooks.example/",
        [],
    ],
)
def test_these_are_not(raw: Any) -> None:
    faults = Faults()
    parse_webhook(raw, "/webhook", faults)
    assert len(faults) >= 1
    assert all(fault.pointer.startswith("/webhook") for fault in faults.items)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "255.255.255.255", "224.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1",
        "2002:a00:1::", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "nonsense",
    ],
)  # fmt: skip
def test_a_name_must_not_lead_to_a_private_address(address: str) -> None:
    assert refused_addresses("hooks.example", ["93.184.215.14", address]) == [address]


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::808:808"])
def test_public_addresses_are_told(address: str) -> None:
    assert refused_addresses("hooks.example", [address]) == []


def test_an_address_that_is_listed_itself_is_told() -> None:
    assert refused_addresses("10.0.0.5", ["10.0.0.5"]) == []


def test_hosts_are_listed_whole() -> None:
    listed = ("hooks.example", "::1", "10.0.0.5")
    for host in ("hooks.example", "::1", "0:0:0:0:0:0:0:1", "10.0.0.5"):
        assert may_tell(host, listed)
    for host in ("example", "x.hooks.example", "hooks.example.evil", "10.0.0.6", "::2", ""):
        assert not may_tell(host, listed)
    assert not may_tell("hooks.example", ())


def test_listed_hosts_need_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWELL_WEBHOOK_HOSTS", " Hooks.Example , [::1],,")
    with pytest.raises(ValueError, match="TUNEWELL_WEBHOOK_SECRET"):
        Settings()
    monkeypatch.setenv("TUNEWELL_WEBHOOK_SECRET", "0123456789abcdef")
    settings = Settings()
    assert settings.webhook_hosts == ("hooks.example", "::1")
    assert "0123456789abcdef" not in repr(settings) + str(settings.masked())
