// The list of studies: read once, then again whenever the feed says that something changed.

import { allIsWell, explain, get, live, pause } from "./api.js";
import { el, named, progress, shownDuration, shownNumber, stateBadge } from "./dom.js";

const table = document.getElementById("studies");
const PAGE = 100;

function cell(label, content, isNumber = false) {
  return el("td", { "data-label": label, class: isNumber ? "num" : null }, content);
}

function best(study) {
  const [metric] = study.definition.metrics;
  if (!study.best) return "-";
  const value = study.best.values[metric.name];
  return el("span", { title: `trial ${study.best.number}` }, `${shownNumber(value)} `, el("small", {}, named(metric.name)));
}

function row(study) {
  const link = el("a", { href: `/studies/${encodeURIComponent(study.id)}` }, named(study.name));
  const { rate_per_h: rate, time_left_s: left } = study.summary;
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, link),
    cell("State", stateBadge(study.state)),
    cell("Progress", progress(study)),
    cell("Best", best(study), true),
    cell("Running", study.trial_counts.running || 0, true),
    cell("Rate", rate === null ? "-" : `${shownNumber(Number(rate.toPrecision(3)))}/h`, true),
    cell("Left", left === null ? "-" : `~${shownDuration(left)}`, true),
  );
}

async function show() {
  const page = await get("/v1/studies", { view: "summary", page_size: PAGE });
  table.tBodies[0].replaceChildren(...page.studies.map(row));
  table.hidden = !page.studies.length;
  document.getElementById("empty").hidden = page.studies.length > 0;
  const more = document.getElementById("more");
  more.hidden = !page.next_page_token;
  more.textContent = `The newest ${PAGE} are shown; \`tunewell study list\` has all.`;
  allIsWell();
  live("live", true);
}

async function follow() {
  let { next_after: after } = await get("/v1/events");
  await show();
  for (;;) {
    const news = await get("/v1/events", after ? { after, wait_s: 25 } : { wait_s: 25 });
    after = news.next_after;
    if (news.reset || news.events.some((event) => event.kind !== "trial.measurement")) {
      await show();
      await pause(1000);
    }
  }
}

for (;;) {
  try {
    await follow();
  } catch (error) {
    await explain(error);
  }
}
