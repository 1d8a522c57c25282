// Asks for what takes the service longest while the page's modules are still on their way. `lib/api.js` takes the
// answers, where they are not older than the study that the page then reads.
(() => {
  const asked = new URLSearchParams(location.search);
  if ((asked.get("tab") || "overview") !== "overview") return;
  const base = `/v1/studies/${encodeURIComponent(decodeURIComponent(location.pathname.split("/")[2] || ""))}/analysis`;
  const metric = asked.get("metric") ? new URLSearchParams({ metric: asked.get("metric") }) : "";
  const kinds = [metric ? `importance?${metric}` : "importance", ...["history?x=number&max_points=2000", "curves?max_points=1000"].map((kind) => (metric ? `${kind}&${metric}` : kind))];
  const start = (kind) => fetch(`${base}/${kind}`, { headers: { Accept: "application/json" }, cache: "no-store" }).catch(() => null);
  globalThis.tunewellEarly = new Map(kinds.map((kind) => [`${base}/${kind}`, start(kind)]));
})();
