// The image and its symmetry elements as SVG, in px of the image.

const SVG = "http://www.w3.org/2000/svg";

export function made(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const path = (points) => "M" + points.map(([x, y]) => `${x} ${y}`).join("L");

function strokes(layer, lines, name, width, halo, haloWidth, dashes = "") {
  if (!lines || !lines.length) return;
  const d = lines.map(path).join("");
  layer.append(made("path", { d, class: halo, "stroke-width": haloWidth }));
  layer.append(made("path", { d, class: name, "stroke-width": width, "stroke-dasharray": dashes }));
}

// How many px of the screen a px of the image takes.
export const zoom = (view) => view.getScreenCTM()?.a || 1;

export function drawImage(view, picture, width, height) {
  view.setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`);
  view.replaceChildren(
    made("image", { href: picture, x: -0.5, y: -0.5, width, height, preserveAspectRatio: "none" }),
    made("g", { id: "elements" }),
    made("g", { id: "tools" }),
  );
}

export function drawElements(view, shapes) {
  const layer = view.querySelector("#elements");
  layer.replaceChildren();
  if (!shapes) return;
  const scale = zoom(view), low = (shapes.low || 0) * scale; // of a cell, in px of the screen
  const between = (value, least, most) => Math.min(Math.max(value, least), most);
  const width = between(0.013 * low, 0.9, 1.8);
  strokes(layer, shapes.lattice, "lattice", 0.6 * width, "under", 1.4 * width);
  strokes(layer, shapes.cell && [shapes.cell], "cell", 2.8 * width, "under", 3.9 * width);
  strokes(layer, shapes.glides, "line", width, "halo", 2.3 * width, `${4 * width} ${2.6 * width}`);
  strokes(layer, shapes.mirrors, "line", width, "halo", 2.3 * width);
  strokes(layer, shapes.regions.map((r) => [...r, r[0]]), "outline", 2.5, "under", 5);
  const size = between(0.055 * low, 3, 9) / scale;
  for (const [order, x, y] of shapes.centres || []) {
    const d = path(shapes.symbols[order].map(([u, v]) => [x + size * u, y + size * v])) + "Z";
    layer.append(made("path", { d, class: "centre", "stroke-width": 0.25 * size * scale }));
  }
}
