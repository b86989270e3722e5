// What is dragged on the image, with a pointer or with arrow keys: the region, and the vectors of the lattice.

import { made, zoom } from "./overlay.js";

const RADIUS = 8; // px of the screen
const REACH = 22; // px of the screen: what a finger hits
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Where a pointer is, in px of the image.
export function at(view, event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(view.getScreenCTM().inverse());
  return [point.x, point.y];
}

// `moved(dx, dy)` px of the image, as often as the thing moves; `done()` when it rests.
function draggable(view, element, moved, done) {
  let last = null;
  element.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    event.stopPropagation();
    element.focus();
    element.setPointerCapture(event.pointerId);
    last = at(view, event);
    view.dataset.dragging = "yes"; // nothing is drawn anew under the pointer
  });
  element.addEventListener("pointermove", (event) => {
    if (!last) return;
    const now = at(view, event);
    moved(now[0] - last[0], now[1] - last[1]);
    last = now;
  });
  for (const end of ["pointerup", "pointercancel"]) {
    element.addEventListener(end, () => {
      delete view.dataset.dragging;
      if (last) done();
      last = null;
    });
  }
  element.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    moved(far * step[0], far * step[1]);
    done();
  });
}

function handle(view, kind, label, moved, done) {
  const element = made("g", { tabindex: 0, role: "button", "aria-label": `${label}: drag, or move with arrow keys` });
  const scale = zoom(view);
  element.append(
    made("circle", { r: REACH / scale, fill: "transparent" }),
    made("circle", { r: RADIUS / scale, class: `handle ${kind}`, "stroke-width": 3 / scale }),
  );
  draggable(view, element, moved, done);
  return element;
}

const put = (element, [x, y]) => element.setAttribute("transform", `translate(${x} ${y})`);

// Handles of a region {x, y, w, h}, which is changed in place.
export function regionTools(view, region, width, height, done) {
  const layer = made("g");
  const shade = made("path", { class: "shade", "fill-rule": "evenodd" });
  const frame = made("g", { tabindex: 0, role: "button", "aria-label": "Region: drag, or move with arrow keys" });
  const box = made("rect", { class: "frame" });
  frame.append(box);
  const corners = [[0, 0, "top left"], [1, 0, "top right"], [1, 1, "bottom right"], [0, 1, "bottom left"]];
  const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
  const handles = corners.map(([i, j, name]) =>
    handle(view, "", `Region, ${name}`, (dx, dy) => {
      if (i) region.w = clamp(region.w + dx, 32, width - region.x);
      else {
        const x = clamp(region.x + dx, 0, region.x + region.w - 32);
        region.w += region.x - x;
        region.x = x;
      }
      if (j) region.h = clamp(region.h + dy, 32, height - region.y);
      else {
        const y = clamp(region.y + dy, 0, region.y + region.h - 32);
        region.h += region.y - y;
        region.y = y;
      }
      draw();
    }, done));
  draggable(view, frame, (dx, dy) => {
    region.x = clamp(region.x + dx, 0, width - region.w);
    region.y = clamp(region.y + dy, 0, height - region.h);
    draw();
  }, done);
  function draw() {
    const { x, y, w, h } = region;
    for (const [key, value] of Object.entries({ x: x - 0.5, y: y - 0.5, width: w, height: h })) box.setAttribute(key, value);
    shade.setAttribute("d", `M-.5-.5H${width}V${height}H-.5ZM${x - 0.5} ${y - 0.5}h${w}v${h}h${-w}Z`);
    corners.forEach(([i, j], k) => put(handles[k], [x - 0.5 + i * w, y - 0.5 + j * h]));
  }
  layer.append(shade, frame, ...handles);
  draw();
  return layer;
}

// Handles of a lattice {origin, a, b}, whose a and b are vectors; `done(which)` says what was moved.
export function latticeTools(view, lattice, done) {
  const layer = made("g");
  const arms = ["a", "b"].map(() => made("line", { class: "arm" }));
  const letters = ["0", "a", "b"].map((letter) => made("text", { "font-size": 15 / zoom(view), "stroke-width": 4 / zoom(view) }, letter));
  const names = ["origin", "a", "b"];
  const labels = ["Origin of the cell", "End of the vector a", "End of the vector b"];
  const handles = names.map((name, k) =>
    handle(view, "vector", labels[k], (dx, dy) => {
      lattice[name] = [lattice[name][0] + dx, lattice[name][1] + dy];
      draw();
    }, () => done(name)));
  function draw() {
    const [x, y] = lattice.origin;
    const ends = ["a", "b"].map((name) => [x + lattice[name][0], y + lattice[name][1]]);
    [[x, y], ...ends].forEach((point, k) => {
      put(handles[k], point);
      letters[k].setAttribute("x", point[0]);
      letters[k].setAttribute("y", point[1] - 14 / zoom(view));
    });
    arms.forEach((arm, k) => {
      for (const [key, value] of Object.entries({ x1: x, y1: y, x2: ends[k][0], y2: ends[k][1] })) arm.setAttribute(key, value);
    });
  }
  layer.append(...arms, ...handles, ...letters);
  draw();
  return layer;
}
