"""The pages: shells with a strict policy, without anything of a user's in them."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

import app.dashboard
from app.api.export import csv_lines
from app.api.pages import POLICY
from app.api.problems import PROBLEMS

from .conftest import create

pytestmark = pytest.mark.anyio

PAGES = ["/", "/new", "/studies/st_1", "/compare", "/workers", "/sign-in", "/docs"]
STATIC = Path(app.dashboard.__file__).parent / "static"


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
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert loaded
    for name in loaded:
        answer = await http.get(name)
        assert answer.status_code == 200, name
        for module in re.findall(r'(?:from|import) "(\.[^"]+)"', answer.text):
            assert (await http.get(urljoin(name, module))).status_code == 200, module


async def test_modules_never_read_text_as_html() -> None:
    own = [file for file in STATIC.rglob("*.js") if file.parent.name != "vendor"]
    assert own
    for file in own:
        module = file.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", module
        )


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
