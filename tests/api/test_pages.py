"""The pages: shells with a strict policy, without anything of a user's in them."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from app.api import pages
from app.api.export import csv_lines
from app.api.pages import PAGES as SHELLS
from app.api.pages import POLICY
from app.api.problems import PROBLEMS

from .conftest import create

pytestmark = pytest.mark.anyio

PAGES = [*(re.sub(r"{\w+}", "st_1", path) for path in SHELLS), "/docs"]
STATIC = Path(pages.__file__).parent.parent / "dashboard" / "static"
MODULES = [file for file in STATIC.rglob("*.js") if file.parent.name != "vendor"]
IMPORTED = re.compile(r'(?:from|import) "(\.[^"]+)"')


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_brings_nothing_inline_and_nothing_foreign(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    page = answer.text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert all(tag.endswith("></script>") for tag in re.findall(r"<script[^>]*>.*", page))
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)


@pytest.mark.parametrize("path", PAGES)
async def test_what_a_page_loads_is_there(http: httpx.AsyncClient, path: str) -> None:
    page = (await http.get(path)).text
    waiting = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert waiting
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith("/static/vendor/"):
            continue
        seen.add(name)
        answer = await http.get(name)
        assert answer.status_code == 200, name
        if name.endswith(".js"):
            waiting += [urljoin(name, module) for module in IMPORTED.findall(answer.text)]


async def test_modules_never_read_text_as_html(http: httpx.AsyncClient) -> None:
    for file in MODULES:
        name = file.relative_to(STATIC).as_posix()
        module = (await http.get(f"/static/{name}")).text
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|"
            r"createContextualFragment|setAttribute\(\"(style|on)",
            module,
        ), name


def test_what_others_made_is_as_they_made_it() -> None:
    folder = STATIC / "vendor"
    lines = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines()]
    listed = {name: digest for digest, name in lines}
    assert listed.keys() == {file.name for file in folder.glob("*.js")}
    for name, digest in listed.items():
        assert sha256((folder / name).read_bytes()).hexdigest() == digest, name


async def test_a_hostile_name_never_meets_a_page(http: httpx.AsyncClient) -> None:
    study = await create(http, "<img src=x onerror=alert(1)>")
    for path in ("/", f"/studies/{study['id']}", "/studies/%3Cscript%3E"):
        page = (await http.get(path)).text
        assert "onerror" not in page
        assert "<script>" not in page


async def test_static_files_are_a_fixed_list(http: httpx.AsyncClient) -> None:
    for path in ("/static/", "/static/../pages.py", "/static/%2e%2e/pages.py", "/static/x.js"):
        assert (await http.get(path)).status_code == 404, path


async def test_the_docs_explain_every_problem_code_where_its_type_points(
    http: httpx.AsyncClient,
) -> None:
    page = (await http.get("/docs")).text
    for code in PROBLEMS:
        assert f'id="problem-{code}"' in page
    refused = (await http.get("/nowhere")).json()
    where, _, anchor = refused["type"].partition("#")
    assert where == "/docs"
    assert f'id="{anchor}"' in page


async def test_a_cell_that_looks_like_a_formula_is_text() -> None:
    rows = [{"a": "=1", "b": -1.5, "c": True, "d": None, "e": "\t=1", "f": 'say "hi",\nthere'}]
    lines = "".join(csv_lines(list("abcdef"), iter(rows)))
    assert lines == 'a,b,c,d,e,f\r\n\'=1,-1.5,true,,\'\t=1,"say ""hi"",\nthere"\r\n'
