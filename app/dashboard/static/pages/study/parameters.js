// The parameters in full: what matters, where along one it is good, how two act together, which combinations are good.

import { Contour } from "./contour.js";
import { Importance } from "./importance.js";
import { Parallel } from "./parallel.js";
import { Slice } from "./slice.js";
import { together } from "./together.js";

export function tab(context) {
  return together([new Importance(context, { isFull: true }), new Contour(context), new Slice(context), new Slice(context, "y"), new Parallel(context)]);
}
