// Shows at which sides of a scrolling box there is more than is in sight.

import { make } from "./dom.js";

const NEAR = 1; // sizes are rounded

/** Wrap a scrolling box, so that its sides are shaded where it goes on. */
export function withEdges(box) {
  const frame = make("div", { className: "edges" }, box);
  const look = () => {
    frame.classList.toggle("more-left", box.scrollLeft > NEAR);
    frame.classList.toggle("more-right", box.scrollLeft + box.clientWidth < box.scrollWidth - NEAR);
  };
  box.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(box);
  for (const inner of box.children) new ResizeObserver(look).observe(inner);
  return frame;
}
