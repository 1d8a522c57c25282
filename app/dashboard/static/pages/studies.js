// The list of studies. Rewritten by the page's own work; this is the ground it stands on.

import { get } from "../lib/api.js";
import { el, named, part, shown, stateBadge } from "../lib/dom.js";
import "../lib/keys.js";
import { onEvents, start } from "../lib/live.js";
import { allIsWell, explain } from "../lib/session.js";

async function show() {
  const { studies } = await get("/v1/studies", { view: "summary", page_size: 100 });
  const rows = studies.map((study) =>
    el("tr", {}, el("th", { scope: "row" }, el("a", { href: `/studies/${encodeURIComponent(study.id)}` }, named(study.name))), el("td", { "data-label": "State" }, stateBadge(study.state)), el("td", { "data-label": "Best" }, study.best ? shown(study.best.values[study.definition.metrics[0].name]) : "-")),
  );
  part("studies").tBodies[0].replaceChildren(...rows);
  part("studies").hidden = !studies.length;
  part("empty").hidden = studies.length > 0;
  allIsWell();
}

onEvents(() => show().catch(explain));
for (;;) {
  try {
    await start();
    await show();
    break;
  } catch (error) {
    await explain(error);
  }
}
