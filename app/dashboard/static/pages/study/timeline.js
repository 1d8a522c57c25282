// Who ran what, and where time was lost: an attempt a bar, a lane for each slot of a worker, retries joined by a line.

import { el, fill, stateBadge } from "../../lib/dom.js";
import { duration, plural, share, words } from "../../lib/format.js";
import { axis, stateColour, token } from "../../lib/theme.js";
import { change, read } from "../../lib/view.js";
import { together } from "./together.js";
import { Plot } from "./plot.js";
import { short } from "./scale.js";

const LANE_PX = 22;
const LEAST_PX = 2;
const MOST_LANES = 60;
const LIVE_MS = 3_000;
const WAIT_MS = 400;
const FRAME = { left: 120, right: 16, top: 8, bottom: 44 };
const NARROW = 480;
const NICE_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800];

const ENDS = { expired: "paused", released: "paused", superseded: "paused", cancelled: "cancelled", paused: "paused" };

const stateOf = (bar) => (bar.end === null ? "running" : ENDS[bar.end] || bar.end);

const endWords = (bar) => (bar.end === null ? "runs" : bar.end === "expired" ? "lost: its lease ended" : bar.end === "released" ? "given back" : bar.end === "superseded" ? "lost: its worker began anew" : words(bar.end));

// A state by glyph and word; what one hue stands for is named by what is there.
function badge(state, bars) {
  if (state !== "paused") return stateBadge(state);
  const made = stateBadge(state);
  made.lastChild.textContent = ` ${[...new Set(bars.filter((bar) => stateOf(bar) === state).map((bar) => endWords(bar).split(":")[0]))].join(", ")}`;
  return made;
}

const EPS_S = 1e-6;

// Each bar into its slot's lane; where no slot is known, or another trial runs in it, into the first lane of its holder that is free then.
function intoLanes(bars, names) {
  const slots = names.map(() => []);
  const put = (bar, slot) => {
    const found = slots[bar.holder];
    while (found.length <= slot) found.push([]);
    found[slot].push(bar);
    bar.within = slot;
  };
  const rest = [];
  for (const bar of bars) {
    const last = bar.slot === null ? null : slots[bar.holder][bar.slot]?.at(-1);
    if (bar.slot === null || (last && last.to >= bar.to - EPS_S)) rest.push(bar);
    else {
      bar.from = Math.max(bar.from, last?.to ?? bar.from); // it waited for the one before it
      put(bar, bar.slot);
    }
  }
  for (const bar of rest) {
    const found = slots[bar.holder];
    const isFree = (lane) => lane.every(({ from, to }) => to <= bar.from + EPS_S || from >= bar.to - EPS_S);
    const slot = found.findIndex(isFree);
    put(bar, slot < 0 ? found.length : slot);
  }
  const lanes = names.flatMap((name, holder) => slots[holder].map((_, slot) => ({ name, holder, slot, n: slots[holder].length })));
  const place = new Map(lanes.map(({ holder, slot }, lane) => [`${holder}/${slot}`, lane]));
  for (const bar of bars) bar.lane = place.get(`${bar.holder}/${bar.within}`);
  return lanes;
}

// `gpu-a/0`: a slot as the page of a trial names it.
const onWhat = (bar, names) => (bar.slot === null ? names[bar.holder] : `${names[bar.holder]}/${bar.slot}`);

function laneWords(bars) {
  if (bars.every(({ slot }) => slot === null)) return "a lane is one trial at a time";
  return bars.some(({ slot }) => slot === null) ? "a lane is a slot; attempts whose slot is not known are where there was room" : "a lane is a slot of a worker";
}

// Bars too narrow to see become one: "busy (n)".
function merged(bars, perPixel) {
  const found = [];
  const open = new Map();
  for (const bar of bars) {
    const isTiny = bar.to - bar.from < LEAST_PX * perPixel;
    const last = open.get(bar.lane);
    if (isTiny && last && bar.from - last.to < LEAST_PX * perPixel) {
      last.to = Math.max(last.to, bar.to);
      last.bars.push(bar);
      continue;
    }
    const made = { lane: bar.lane, from: bar.from, to: bar.to, bars: [bar] };
    found.push(made);
    if (isTiny) open.set(bar.lane, made);
    else open.delete(bar.lane);
  }
  return found;
}

const inAddress = (name) => {
  const found = Number(read(name));
  return read(name) !== null && Number.isFinite(found) && found >= 0 ? found : null;
};

class Timeline extends Plot {
  constructor(context) {
    const input = (label) => el("input", { type: "number", min: 0, step: "any", "aria-label": label, placeholder: label });
    const [from, to] = [input("from, s"), input("to, s")];
    const whole = el("button", { type: "button", onclick: () => change({ from: null, to: null }) }, "Whole");
    super(context, { kind: "timeline", keys: ["from", "to"], id: "timeline", title: "Who ran what", className: "wide", tools: [from, "to", to, "s", whole], help: "Seconds since the study's first start. Ctrl and the wheel zoom, a drag moves; the fields do the same." });
    Object.assign(this, { from, to, whole });
    for (const field of [from, to]) field.addEventListener("change", () => this.ask(from.value === "" ? null : Number(from.value), to.value === "" ? null : Number(to.value)));
    this.shares = el("p", { class: "small shares" });
    this.key = el("p", { class: "small shares" });
    this.panel.caption.before(this.key, this.shares);
    this.soon = null;
    this.zoomed = null;
  }

  ask(from, to) {
    const isWrong = from !== null && to !== null && !(from < to);
    this.to.toggleAttribute("aria-invalid", false);
    if (isWrong) return this.to.setAttribute("aria-invalid", "true");
    return change({ from: from === null ? null : Number(from.toPrecision(6)), to: to === null ? null : Number(to.toPrecision(6)) });
  }

  parameters() {
    return { from_s: inAddress("from"), to_s: inAddress("to") };
  }

  // Attempts begin and end all the time while workers run: they are shown soon, not after ten.
  update(events) {
    if (!events.some(({ kind }) => kind === "reset" || kind === "trial.state")) return;
    this.soon = this.soon || setTimeout(() => {
      this.soon = null;
      this.viewChanged();
    }, LIVE_MS);
  }

  leave() {
    clearTimeout(this.soon);
    this.soon = null;
    super.leave();
  }

  // Seconds since the first start, now.
  now() {
    const begun = this.context.study().started_at;
    return begun ? (Date.now() - Date.parse(begun)) / 1000 : 0;
  }

  bars() {
    const { columns: { number: numbers, attempt, holder, slot, start_s: start, end_s: end, end: ends } } = this.data;
    const last = Math.max(this.now(), ...start);
    return numbers.map((trial, k) => ({ number: trial, attempt: attempt[k], holder: holder[k], slot: slot[k], since: start[k], from: start[k], to: end[k] ?? Math.max(last, start[k]), end: ends[k] }));
  }

  async render() {
    const { data } = this;
    [this.from.value, this.to.value] = [read("from") ?? "", read("to") ?? ""];
    this.whole.disabled = read("from") === null && read("to") === null;
    this.shares.textContent = "";
    this.key.textContent = "";
    if (!data.columns.number.length) {
      const isWindow = !this.whole.disabled;
      return this.panel.empty(isWindow ? `Nothing ran between these times; "Whole" shows all.` : data.n_total ? "Nothing has run here: these trials were imported or wait. A bar appears when a worker or a client takes one." : "Nothing has run yet. A bar appears when a worker or a client takes a trial.");
    }
    const bars = this.bars();
    const names = data.holders.map((name) => name || "clients");
    const lanes = intoLanes(bars, names);
    const [low, high] = this.window(bars);
    const shown = lanes.slice(0, MOST_LANES);
    const seen = bars.filter((bar) => bar.lane < shown.length);
    this.panel.box.style.height = `${FRAME.top + FRAME.bottom + Math.max(4, shown.length) * LANE_PX}px`;
    this.panel.box.style.maxHeight = "none";
    this.panel.chart?.resize();
    const busy = this.busy(bars, lanes, names, low, high);
    fill(this.key, ...[...new Set(bars.map(stateOf))].flatMap((state) => [badge(state, bars), " "]));
    this.shares.textContent = `Busy: ${busy.map(([name, part]) => `${name} ${share(part)}`).join(", ")}`;
    const width = Math.max(100, (this.panel.box.clientWidth || 800) - FRAME.left - FRAME.right);
    const groups = merged(seen, (high - low) / width);
    const rule = data.sampling === "all" ? "" : ', by rule "last": the latest that began';
    const cut = lanes.length > MOST_LANES ? `; ${MOST_LANES} of ${lanes.length} lanes` : "";
    return this.panel.show({
      sentence: `${plural(data.n_shown, "attempt")} on ${plural(names.length, "worker or client", "workers and clients")} within ${duration(high - low)}. Busy: ${busy.map(([name, part]) => `${name} ${share(part)}`).join(", ")}.`,
      caption: `${data.n_shown} of ${plural(data.n_used, "attempt")} shown${rule}${cut}; ${laneWords(bars)}`,
      table: () => ({ heads: ["Trial", "Attempt", "Worker", "Slot", "From, s", "To, s", "End"], rows: bars.map((bar) => [bar.number, bar.attempt, names[bar.holder], bar.slot, bar.since, bar.end === null ? null : bar.to, endWords(bar)]) }),
      points: groups.map((group) => this.point(group, names)),
      pick: (x, y) => this.pick(groups, x, y),
      option: () => this.option(groups, seen, shown, low, high),
      onReady: (chart, isNew) => isNew && this.listen(chart),
      notMerge: true,
    });
  }

  window(bars) {
    const low = inAddress("from") ?? Math.min(0, ...bars.map(({ from }) => from));
    const high = inAddress("to") ?? Math.max(...bars.map(({ to }) => to));
    return [low, high > low ? high : low + 1];
  }

  // Share of a worker's lanes that something ran on, within the window.
  busy(bars, lanes, names, low, high) {
    const sums = names.map(() => 0);
    for (const bar of bars) sums[bar.holder] += Math.max(0, Math.min(bar.to, high) - Math.max(bar.from, low));
    return names.map((name, holder) => [name, sums[holder] / ((high - low) * Math.max(1, lanes.filter((lane) => lane.holder === holder).length))]);
  }

  point(group, names) {
    const [bar] = group.bars;
    if (group.bars.length > 1) return { x: (group.from + group.to) / 2, y: group.lane, tip: [["busy", `(${group.bars.length})`], ["trials", `${bar.number} to ${group.bars.at(-1).number}`], ["on", names[bar.holder]]] };
    return { x: (bar.from + bar.to) / 2, y: bar.lane, number: bar.number, tip: [["trial", bar.number], ["attempt", bar.attempt], ["on", onWhat(bar, names)], ["began after", duration(bar.since)], [bar.end === null ? "runs for" : "took", duration(bar.to - bar.since)], ["", endWords(bar)]] };
  }

  pick(groups, x, y) {
    const [at, lane] = this.panel.chart.convertFromPixel({ gridIndex: 0 }, [x, y]) || [];
    if (at === undefined) return -1;
    const edge = Math.abs(this.panel.chart.convertFromPixel({ gridIndex: 0 }, [x + 2, y])[0] - at);
    return groups.findIndex((group) => group.lane === Math.round(lane) && at >= group.from - edge && at <= group.to + edge);
  }

  // After a zoom or a drag the service is asked for that window.
  listen(chart) {
    chart.on("datazoom", () => {
      const [{ startValue, endValue }] = chart.getOption().dataZoom;
      clearTimeout(this.zoomed);
      this.zoomed = setTimeout(() => this.isOpen && this.ask(Math.max(0, startValue), endValue), WAIT_MS);
    });
  }

  option(groups, bars, lanes, low, high) {
    const left = this.panel.box.clientWidth < NARROW ? 76 : FRAME.left;
    const perLane = lanes.map(({ name, slot, n }) => (n > 1 ? `${short(name, left < 100 ? 7 : 13)}/${slot}` : short(name, left < 100 ? 9 : 15)));
    return {
      grid: { ...FRAME, left },
      xAxis: axis({ type: "value", min: low, max: high, interval: NICE_S.find((step) => step >= (high - low) / (left < 100 ? 4 : 8)), name: "since the first start", nameGap: 26, axisLabel: { formatter: (value) => (value === 0 ? "0 s" : duration(value)) } }),
      yAxis: axis({ type: "category", data: perLane, inverse: true, axisTick: { show: false }, splitLine: { show: false }, axisLabel: { interval: 0 } }),
      dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseMove: true, moveOnMouseWheel: false, preventDefaultMouseMove: false }],
      series: [
        { type: "custom", silent: true, data: joins(bars), renderItem: (_, api) => line(api), encode: { x: [0, 2], y: 1 } },
        { type: "custom", silent: true, data: groups.map((group, k) => [group.from, group.to, group.lane, k]), encode: { x: [0, 1], y: 2 }, renderItem: (params, api) => rectangle(params, api, groups[api.value(3)]) },
      ],
    };
  }
}

function rectangle({ coordSys }, api, group) {
  const [x0, y] = api.coord([api.value(0), api.value(2)]);
  const [x1] = api.coord([api.value(1), api.value(2)]);
  const from = Math.max(x0, coordSys.x);
  const to = Math.min(Math.max(x1, x0 + LEAST_PX), coordSys.x + coordSys.width);
  if (to < from) return null;
  const state = group.bars.length > 1 ? "other" : stateOf(group.bars[0]);
  const isHollow = state === "running";
  const colour = stateColour(state);
  const box = { type: "rect", shape: { x: from, y: y - LANE_PX / 2 + 4, width: Math.max(LEAST_PX, to - from), height: LANE_PX - 8, r: 2 }, style: { fill: isHollow ? token("panel") : colour, stroke: isHollow ? colour : token("panel"), lineWidth: isHollow ? 2 : 1, opacity: group.bars.length > 1 ? 0.7 : 1 } };
  const text = group.bars.length > 1 ? `busy (${group.bars.length})` : `${group.bars[0].number}`;
  if (to - from < 8 * text.length + 8) return box;
  return { type: "group", children: [box, { type: "text", style: { x: from + 5, y, text, verticalAlign: "middle", fill: isHollow ? token("ink") : token("panel"), font: "11px system-ui, sans-serif" } }] };
}

// From the end of an attempt to the beginning of the next one at the same trial.
function joins(bars) {
  const last = new Map();
  const found = [];
  for (const bar of [...bars].sort((a, b) => a.number - b.number || a.attempt - b.attempt)) {
    const before = last.get(bar.number);
    if (before) found.push([before.to, before.lane, bar.from, bar.lane]);
    last.set(bar.number, bar);
  }
  return found;
}

function line(api) {
  const [x0, y0] = api.coord([api.value(0), api.value(1)]);
  const [x1, y1] = api.coord([api.value(2), api.value(3)]);
  return { type: "line", shape: { x1: x0, y1: y0, x2: x1, y2: y1 }, style: { stroke: token("edge"), lineWidth: 1 } };
}

export const tab = (context) => together([new Timeline(context)]);

