// A small line without axes: how the best value came down or up.

import { svg } from "./dom.js";
import { number } from "./format.js";

const WIDTH = 96;
const HEIGHT = 22;
const EDGE = 2;

// points: [[trial number, best so far]]; until: number of the last trial, to which the line goes on.
export function sparkline(points, until) {
  const box = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img", "aria-label": told(points) });
  if (points.length < 1) return box;
  const [x, y] = scales(points, Math.max(until, points.at(-1)[0]));
  let path = `M${x(points[0][0])} ${y(points[0][1])}`;
  for (const [at, value] of points.slice(1)) path += `H${x(at)}V${y(value)}`;
  path += `H${WIDTH - EDGE}`;
  box.append(svg("path", { d: path, class: "spark-line" }), svg("circle", { cx: x(points.at(-1)[0]), cy: y(points.at(-1)[1]), r: 2, class: "spark-end" }));
  return box;
}

function scales(points, last) {
  const first = points[0][0];
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const width = Math.max(1, last - first);
  // Each divided for itself: the difference of two ends of the range of floats is infinite.
  const share = (value) => (high === low ? 0.5 : (value / 2 - low / 2) / (high / 2 - low / 2));
  const x = (at) => (EDGE + ((at - first) / width) * (WIDTH - 2 * EDGE)).toFixed(1);
  const y = (value) => (HEIGHT - EDGE - share(value) * (HEIGHT - 2 * EDGE)).toFixed(1);
  return [x, y];
}

function told(points) {
  if (!points.length) return "no value yet";
  const [at, value] = points.at(-1);
  return `best ${number(points[0][1])} at trial ${points[0][0]}, ${number(value)} since trial ${at}`;
}
