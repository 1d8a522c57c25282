// One study. Rewritten by the page's own work; this is the ground it stands on: one panel, live.

import { get, getFresh } from "../lib/api.js";
import { el, fill, named, part, stateBadge } from "../lib/dom.js";
import { number } from "../lib/format.js";
import "../lib/keys.js";
import { onEvents, start } from "../lib/live.js";
import { Panel } from "../lib/panel.js";
import { allIsWell, explain } from "../lib/session.js";
import { axis, stateColour, token } from "../lib/theme.js";

const id = decodeURIComponent(location.pathname.split("/")[2] || "");
const base = `/v1/studies/${encodeURIComponent(id)}`;
const panel = new Panel({ id: "history", title: "Best so far" });
part("plots").append(panel.element);

async function show() {
  const [study, history] = await Promise.all([getFresh(base), getFresh(`${base}/analysis/history`)]);
  const [metric] = study.definition.metrics;
  document.title = `${study.name} - Tunewell`;
  fill(part("name"), named(study.name));
  fill(part("crumb"), named(study.name));
  fill(part("state"), stateBadge(study.state));
  allIsWell();
  const { number: x, value: y } = history.columns;
  const places = x.flatMap((at, k) => (y[k] === null ? [] : [k]));
  if (!places.length) return panel.empty("First value appears when a trial ends.");
  const best = history.best[0];
  panel.show({
    sentence: `Best ${metric.name} ${number(best.value.at(-1))} at trial ${best.number.at(-1)}`,
    caption: `${history.n_shown} of ${history.n_total} shown`,
    table: { heads: ["Trial", metric.name], rows: places.map((k) => [x[k], y[k]]) },
    points: places.map((k) => ({ x: x[k], y: y[k], number: x[k], tip: [["trial", x[k]], [metric.name, String(y[k])]] })),
    option: () => ({
      grid: { left: 60, right: 16, top: 12, bottom: 28 },
      xAxis: axis({ type: "value", min: 1 }),
      yAxis: axis({ type: "value", scale: true }),
      series: [
        { type: "scatter", symbolSize: 6, itemStyle: { color: stateColour("completed") }, data: places.map((k) => [x[k], y[k]]) },
        { type: "line", step: "end", symbol: "none", lineStyle: { color: token("series-1") }, data: best.number.map((at, k) => [at, best.value[k]]) },
      ],
    }),
  });
}

onEvents(() => show().catch(explain), { study: id });
for (;;) {
  try {
    await start();
    await show();
    break;
  } catch (error) {
    await explain(error);
  }
}
