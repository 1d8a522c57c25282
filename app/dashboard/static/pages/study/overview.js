// What a study is about at one look: is it getting better, how do trials learn, which parameter matters, and where.

import { Curves } from "./curves.js";
import { History } from "./history.js";
import { Importance } from "./importance.js";
import { Parallel } from "./parallel.js";
import { Slice } from "./slice.js";
import { together } from "./together.js";
import { Trials } from "./trials.js";

export function tab(context) {
  return together([new History(context), new Importance(context), new Curves(context), new Slice(context), new Parallel(context), new Trials(context)]);
}
