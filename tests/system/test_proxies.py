"""The pages' set-ups of nginx and Caddy, before three replicas of the service on Postgres."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.pages import marked, program
from tests.postgres import Postgres

from .running import Service, function_study
from .test_replicas import replicas

NGINX = """
daemon off; pid {0}/nginx.pid; error_log {0}/error.log; {1}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f;
    uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;
    {2}
}}
"""
"""What the system's own nginx.conf has around a server."""
N_LOOKS = 40
"""So many that a proxy which chooses by lot chooses each of three (but for once in a million)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What stands behind the proxies, and before them.

    Attributes:
        folder: with the certificate and its key.
        addresses: host and port of each replica.
        admin: a token.
    """

    folder: Path
    replicas: list[Service]
    addresses: list[str]
    admin: str

    @property
    def certificate(self) -> Path:
        return self.folder / "site.pem"

    @property
    def key(self) -> Path:
        return self.folder / "site.key"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "processes").mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(postgres.database(is_migrated=True))
        three = stack.enter_context(replicas(folder / "processes", url, 3))
        made = three[0].call("POST", "/v1/tokens", {"name": "me", "role": "admin"})
        addresses = [one.url.removeprefix("http://") for one in three]
        found = Site(folder=folder, replicas=three, addresses=addresses, admin=made["secret"])
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=tuning.example", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", str(found.key), "-out", str(found.certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        yield found


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def before(text: str, site: Site) -> str:
    """The text with the replicas in place of the page's."""
    for k, address in enumerate(site.addresses):
        text = text.replace(f"10.0.0.1{k + 1}:8700", address)
    return text.replace("127.0.0.1:8700", site.addresses[0])


def nginx(text: str, port: int, site: Site, folder: Path) -> list[str]:
    """The command of an nginx that serves the page's servers on another port."""
    text, n_ports = re.subn(r"listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;", text)
    text, n_files = re.subn(
        r"(ssl_certificate(_key)?) +\S+;",
        lambda found: f"{found[1]} {site.key if found[2] else site.certificate};",
        text,
    )
    assert (n_ports, n_files) == (1, 2)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(folder, user, before(text, site)))
    command = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    return command


def caddy(text: str, port: int, site: Site, folder: Path) -> list[str]:
    """The command of a Caddy that serves the page's site on another port, with our certificate."""
    file = folder / "Caddyfile"
    file.write_text(text)
    adapt = [program("caddy"), "adapt", "--adapter", "caddyfile", "--config", str(file)]
    subprocess.run(adapt, check=True, capture_output=True)
    own = f"https://127.0.0.1:{port} {{\n    tls {site.certificate} {site.key}"
    text, n_sites = re.subn(r"^[a-z.]+ \{$", own, text, count=1, flags=re.MULTILINE)
    assert n_sites == 1
    file.write_text("{\n    admin off\n    auto_https off\n}\n" + before(text, site))
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]


def compose(text: str, port: int, site: Site, folder: Path) -> list[str]:
    """The command of the proxy's container; Docker's resolver is one replica here."""
    yaml.SafeLoader.add_constructor("!reset", lambda loader, node: [])
    services = yaml.safe_load(text)["services"]
    assert services["service"]["ports"] == []
    command = services["proxy"]["command"].replace("service:8700", site.addresses[0])
    assert services["proxy"]["image"] == "caddy:2"
    words = shlex.split(command.replace(" :8700", f" :{port}"))
    assert words.pop(0) == "caddy"
    return [program("caddy"), *words]


SET_UPS: dict[str, tuple[Callable[[str, int, Site, Path], list[str]], str, int]] = {
    "TLS by nginx": (nginx, marked("TLS by nginx"), 1),
    "TLS by Caddy": (caddy, marked("TLS by Caddy"), 1),
    "replicas by nginx": (nginx, marked("replicas by nginx"), 3),
    "replicas by Caddy": (caddy, marked("replicas by Caddy"), 3),
    "replicas in containers": (compose, marked("replicas in containers"), 1),
}
"""How a block is run, the block, and before how many replicas it is."""


@pytest.mark.parametrize("name", SET_UPS)
def test_a_set_up_of_the_pages_serves(name: str, site: Site, tmp_path: Path) -> None:
    make, text, n_behind = SET_UPS[name]
    port = free_port()
    command = make(text, port, site, tmp_path)
    env = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    is_secure = make is not compose
    with (
        (tmp_path / "output").open("w") as output,
        subprocess.Popen(command, env=env, stdout=output, stderr=output) as process,
        httpx.Client(
            base_url=f"{'https' if is_secure else 'http'}://127.0.0.1:{port}",
            transport=httpx.HTTPTransport(
                verify=ssl.create_default_context(cafile=str(site.certificate)), retries=6
            ),
            timeout=30,
        ) as client,
    ):
        try:
            look_through(client, site, name, n_behind, is_secure=is_secure)
        finally:
            process.terminate()


def look_through(
    client: httpx.Client, site: Site, name: str, n_behind: int, *, is_secure: bool
) -> None:
    """A session's cookie, a body of 2 MB, events as they happen, and replicas in turn."""
    signed_in = client.put("/v1/session", json={"token": site.admin})
    assert signed_in.is_success, signed_in.text
    cookie = signed_in.headers["set-cookie"]
    assert ("Secure" in cookie and cookie.startswith("__Host-")) == is_secure
    client.cookies.clear()
    client.headers["Authorization"] = f"Bearer {site.admin}"
    large = client.post("/v1/studies", json={"name": "x" * 2_000_000})
    assert large.status_code == 422, large.text[:200]
    study = client.post("/v1/studies", json=function_study(name)).json()
    with client.stream("GET", f"/v1/studies/{study['id']}/events") as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data:"))
        assert json.loads(next(lines)[5:])
        client.post(f"/v1/studies/{study['id']}:pause").raise_for_status()
        assert any("paused" in line for line in lines)  # ends at the first: nothing is held back
    counts = [n_looks(one, site) for one in site.replicas]
    for _ in range(N_LOOKS):
        client.get("/v1/workers").raise_for_status()
    new = [n_looks(one, site) - count for one, count in zip(site.replicas, counts, strict=True)]
    assert sum(new) == N_LOOKS
    assert sum(count > 0 for count in new) == n_behind


def n_looks(replica: Service, site: Site) -> int:
    """How often the replica has answered the list of workers."""
    headers = {"Authorization": f"Bearer {site.admin}"}
    text = httpx.get(f"{replica.url}/metrics", headers=headers).text
    pattern = r'tunewell_http_request_seconds_count\{([^}]*route="/v1/workers"[^}]*)\} (\S+)'
    found: dict[str, Any] = dict(re.findall(pattern, text))
    return int(sum(float(count) for labels, count in found.items() if '"GET"' in labels))
