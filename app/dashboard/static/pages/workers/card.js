// One worker: its devices with their memory, what runs on it, when it was last heard of.

import { el, named, timeAgo } from "../../lib/dom.js";
import { duration, gibibytes, plural, share } from "../../lib/format.js";

const SILENT_BEATS = 3;
const GONE_S = 3_600;

// beating, silent (it holds trials, or was heard of within the hour), draining, gone.
export function standing(worker, now) {
  const quiet = (now - Date.parse(worker.last_seen_at)) / 1000;
  const isQuiet = quiet > Math.max(SILENT_BEATS * worker.heartbeat_s, worker.lease_ttl_s);
  if (!isQuiet) return worker.draining ? "draining" : "beating";
  if (worker.leases.length) return "silent";
  return worker.draining || quiet > GONE_S ? "gone" : "silent";
}

// actions: {drain(worker), resume(worker), remove(worker)}, or null for who may not.
export function card(worker, now, actions) {
  const state = standing(worker, now);
  return el("section", { class: `panel worker is-${state}`, "aria-label": worker.name, "data-id": worker.id },
    el("div", { class: "panel-head" },
      el("h2", {}, named(worker.name)),
      badge(worker, state, now),
      el("span", { class: "slots" }, `${worker.leases.length} of ${plural(worker.slots, "slot")}`),
      el("span", { class: "soft objectives" }, ...objectives(worker)),
      actions ? el("div", { class: "tools" }, ...buttons(worker, state, actions)) : null),
    worker.drain_reason ? el("p", { class: "trouble" }, el("span", { "aria-hidden": true }, "! "), worker.drain_reason) : null,
    Object.keys(worker.labels).length ? el("p", { class: "small labels" }, ...Object.entries(worker.labels).map(([key, value]) => el("span", { class: "label" }, el("bdi", {}, `${key}=${value}`)))) : null,
    el("div", { class: "devices" }, ...groups(worker).map((each) => device(each, worker.devices_free_at))),
    ...running(worker, state, now));
}

function badge(worker, state, now) {
  const glyph = { beating: "●", draining: "‖", silent: "✕", gone: "–" }[state];
  const text = state === "beating" ? "beat " : state === "draining" ? "draining, beat " : state === "silent" ? "SILENT since " : "gone since ";
  return el("span", { class: `state worker-${state}` }, el("span", { "aria-hidden": true }, glyph), " ", text, timeAgo(worker.last_seen_at));
}

function objectives(worker) {
  if (!worker.objectives.length) return ["no objectives"];
  const found = worker.objectives.map((offer) => el("bdi", { title: offer.version ? `version ${offer.version}` : null }, offer.name));
  return ["runs ", ...found.flatMap((name, k) => (k ? [", ", name] : [name]))];
}

function buttons(worker, state, { drain, resume, remove }) {
  const found = [];
  if (state === "gone" || state === "silent") found.push(el("button", { type: "button", class: "danger", onclick: () => remove(worker.id) }, "Remove"));
  if (worker.draining) found.push(el("button", { type: "button", onclick: () => resume(worker.id) }, "Give it trials again"));
  else if (state !== "gone") found.push(el("button", { type: "button", onclick: () => drain(worker.id) }, "Drain"));
  return found;
}

// CPU cores are alike: one line for all. A GPU has a line of its own.
function groups(worker) {
  const free = new Map(worker.devices_free.map((each) => [each.index, each.memory_free_bytes]));
  const known = worker.devices.map((device) => ({ ...device, memory_free_bytes: free.get(device.index) ?? device.memory_free_bytes }));
  const cores = known.filter((device) => device.kind === "cpu");
  const found = known.filter((device) => device.kind !== "cpu").map((device) => ({ title: `GPU ${device.index}`, ...device }));
  if (cores.length) {
    const sum = (name) => (cores.every((core) => core[name] !== null) ? cores.reduce((total, core) => total + core[name], 0) : null);
    found.push({ title: cores.length === 1 ? "CPU" : `CPU, ${cores.length} cores`, model: cores[0].model, memory_total_bytes: sum("memory_total_bytes"), memory_free_bytes: sum("memory_free_bytes") });
  }
  return found;
}

function device({ title, model, memory_total_bytes: total, memory_free_bytes: free }, at) {
  const used = total !== null && free !== null ? Math.max(0, total - free) : null;
  const words = used === null ? [total === null ? "memory not known" : `${gibibytes(total)} of memory`] : [`${gibibytes(used)} of ${gibibytes(total)} in use `, ...(at ? ["or kept for what runs, ", timeAgo(at)] : ["when it started"])];
  return el("div", { class: "device" },
    el("span", { class: "device-name" }, title),
    el("span", { class: "soft device-model" }, el("bdi", {}, model || "")),
    used === null ? el("span", {}) : el("progress", { max: total, value: used, "aria-label": `Memory of ${title}`, title: share(used / total) }),
    el("span", { class: "small" }, ...words));
}

function running(worker, state, now) {
  if (!worker.leases.length) return [el("p", { class: "soft idle" }, state === "beating" ? "Idle: it waits for a trial that it can run." : "Nothing runs on it.")];
  const lines = worker.leases.map((lease) => el("li", {},
    el("a", { href: `/trials/${encodeURIComponent(lease.trial_id)}` }, `#${lease.number}`), " ",
    el("a", { href: `/studies/${encodeURIComponent(lease.study_id)}` }, named(lease.study_name)), " ",
    el("span", { class: "soft" }, lease.slot === null ? "" : `in slot ${lease.slot}, `, steps(lease), uses(lease), "began ", timeAgo(lease.acquired_at)),
    state === "silent" ? el("span", { class: "trouble" }, ` ${ends(lease, now)}`) : null));
  return [el("ul", { class: "held" }, ...lines)];
}

function steps(lease) {
  if (lease.last_step === null) return lease.to_step === null ? "" : `step 0 of ${lease.to_step}, `;
  return `step ${lease.last_step}${lease.to_step === null ? "" : ` of ${lease.to_step}`}, `;
}

// What its last beat said: memory, and the share of its device.
function uses({ memory_bytes: memory, utilisation }) {
  const said = [memory === null ? "" : `${gibibytes(memory)}, `, utilisation === null ? "" : `busy ${share(utilisation)}, `];
  return said.join("");
}

function ends(lease, now) {
  const left = (Date.parse(lease.expires_at) - now) / 1000;
  return left > 0 ? `lease ends in ${duration(left)}, then it goes back to pending` : "lease has ended, it goes back to pending";
}

