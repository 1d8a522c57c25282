// The list of studies: live, but rows neither move nor come while somebody reads; what would is said above the list.

import { get } from "../lib/api.js";
import { announce, keepingFocus, part } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { onKey } from "../lib/keys.js";
import { onEvents } from "../lib/live.js";
import { atMostEach, open, reader } from "../lib/page.js";
import { mayWrite } from "../lib/session.js";
import * as view from "../lib/view.js";
import { showEmpty } from "./studies/empty.js";
import * as filters from "./studies/filters.js";
import { Row } from "./studies/row.js";

const PAGE = 25;
const MOST_COMPARED = 6;
const LIVE_MS = 1_000;

const body = part("studies").tBodies[0];
const rows = new Map();
const chosen = new Set();
let latest = null; // the list as it is now
let shownFor = null; // the address that the rows were made for

async function read() {
  const asked = filters.asked();
  const { search } = location;
  const found = await get("/v1/studies", { ...asked, view: "summary", page_size: PAGE });
  part("new").hidden = !(await mayWrite());
  if (location.search !== search) return; // filtered anew meanwhile: that answer follows
  if (location.search !== shownFor) draw(found);
  else renew(found);
}

const refresh = reader(read);

// Everything anew: at the first time, and when the reader asked for it.
function draw(found) {
  latest = found;
  shownFor = location.search;
  const kept = found.studies.map((study) => rowOf(study));
  keepingFocus(body, () => body.replaceChildren(...kept.map((row) => row.element)));
  for (const id of [...rows.keys()]) if (!found.studies.some((study) => study.id === id)) rows.delete(id);
  showAround(found);
}

// Values in place; order and number of rows as they stand.
function renew(found) {
  latest = found;
  const order = [...rows.keys()].sort((a, b) => place(a) - place(b));
  for (const study of found.studies) rows.get(study.id)?.update(study);
  const wanted = found.studies.map((study) => study.id);
  if (!order.length && wanted.length) return draw(found);
  const n = wanted.filter((id, k) => order[k] !== id).length || Math.abs(order.length - wanted.length);
  part("changed").hidden = !n;
  part("changed-text").textContent = n ? `${n} changed place or ${n === 1 ? "is" : "are"} new.` : "";
  filters.showFilters(found.state_counts);
  showCount(found);
}

const place = (id) => [...body.rows].findIndex((row) => row.dataset.id === id);

function rowOf(study) {
  const row = rows.get(study.id) || new Row(study, choose);
  row.update(study);
  row.isChosen = chosen.has(study.id);
  rows.set(study.id, row);
  return row;
}

async function showAround(found) {
  const isEmpty = !found.studies.length;
  part("loading").hidden = true;
  part("changed").hidden = true;
  part("studies").hidden = isEmpty;
  part("foot").hidden = isEmpty && !view.read("page");
  part("empty").hidden = !isEmpty;
  if (isEmpty) showEmpty({ isFiltered: filters.isFiltered() || Boolean(view.read("page")), mayWrite: !part("new").hidden, clear: () => view.change({ state: null, label: null, name: null, page: null }) });
  filters.showFilters(found.state_counts);
  filters.showLabels(found.studies);
  filters.showSort();
  showCount(found);
  showChosen();
}

function showCount(found) {
  const state = view.read("state");
  const total = Object.entries(found.state_counts).reduce((sum, [name, n]) => sum + (!state || state.split(",").includes(name) ? n : 0), 0);
  part("count").textContent = `${body.rows.length} of ${plural(total, "study", "studies")} shown`;
  part("older").hidden = !found.next_page_token;
  part("first").hidden = !view.read("page");
  part("older").href = pageAddress(found.next_page_token);
  part("first").href = pageAddress(null);
}

function pageAddress(token) {
  const found = new URLSearchParams(location.search);
  found.delete("page");
  if (token) found.set("page", token);
  return `/?${found}`;
}

function choose(id, isOn) {
  if (isOn) chosen.add(id);
  else chosen.delete(id);
  if (rows.has(id)) rows.get(id).isChosen = isOn;
  showChosen();
}

function showChosen() {
  const n = chosen.size;
  part("chosen").hidden = !n;
  part("compare").hidden = n < 2 || n > MOST_COMPARED;
  part("compare").textContent = `Compare ${plural(n, "study", "studies")}`;
  part("compare").href = `/compare?ids=${[...chosen].map(encodeURIComponent).join(",")}`;
  part("chosen-text").textContent = n < 2 ? "1 study chosen; choose another one to compare them." : n > MOST_COMPARED ? `${n} chosen; at most ${MOST_COMPARED} can be compared.` : `${n} chosen`;
}

function step(by) {
  const links = [...body.rows].map((row) => rows.get(row.dataset.id).link);
  const at = links.indexOf(document.activeElement?.closest?.("tr") ? rows.get(document.activeElement.closest("tr").dataset.id)?.link : null);
  const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

onKey("/", "search by name", () => (part("filters").classList.contains("is-open") || part("filters-open").offsetParent === null ? part("search").focus() : part("filters-open").click()));
onKey("j", "next study", () => step(1));
onKey("k", "study before", () => step(-1));
onKey("x", "choose the study to compare it", () => {
  const row = rows.get(document.activeElement?.closest("tr")?.dataset.id);
  if (row) choose(row.id, !row.box.checked);
});
onKey("n", "new study", () => part("new").hidden || part("new").click());

part("choose-none").addEventListener("click", () => [...chosen].forEach((id) => choose(id, false)));
part("changed-show").addEventListener("click", () => draw(latest));
filters.listen();
view.onChange(() => refresh().then(() => announce(part("count").textContent, { now: true })));

const live = atMostEach(LIVE_MS, refresh);
onEvents((events) => events.some((event) => event.kind !== "trial.measurement") && live());
await open(refresh);
