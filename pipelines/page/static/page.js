// The page: what is chosen, and that the answer follows it.

import * as api from "./api.js";
import { at, latticeTools, regionTools } from "./handles.js";
import { drawElements, drawImage } from "./overlay.js";
import { byId, element, showAnswer, showDownloads } from "./parts.js";

const LEAST = 0.005, MOST = 0.5; // of the tolerance
const WAIT = 120; // ms of rest before a new answer is asked for
const HINTS = {
  region: "Draw a rectangle on the image, or move its corners: with Tab and arrow keys too (Shift for 10 px).",
  lattice: "Drag the origin and the ends of a and b, or move them with Tab and arrow keys (Shift for 10 px).",
};
const view = byId("view");
let images = [], current = null, told = null, mode = null;
let asking = false, waiting = false, timer = 0, shown = true;

const nothing = () => ({ region: null, basis: null, lattice: null, origin: null });

function say() {
  const { region, basis, origin } = current.set;
  const place = Number(byId("tolerance").value);
  const made = { refine: byId("refine").checked };
  if (region) made.region = [region.x, region.y, region.w, region.h].map(Math.round);
  if (basis) made.basis = basis;
  if (origin) made.origin = origin;
  if (place) made.tolerance = LEAST * (MOST / LEAST) ** ((place - 1) / 99);
  if (byId("group").value) made.group = byId("group").value;
  if (byId("pixel-size").value.trim()) made.pixel_size = byId("pixel-size").value.trim();
  return made;
}

// What went wrong; an answer that comes afterwards only wipes away what went wrong with an answer.
function fail(error, withAnswer = false) {
  if (error && !(error instanceof api.Refused)) throw error;
  const line = byId("error");
  if (!error && withAnswer && !line.hidden && !line.dataset.answer) return;
  line.hidden = !error;
  line.textContent = error ? error.message : "";
  if (withAnswer) line.dataset.answer = "yes";
  else delete line.dataset.answer;
}

// One request at a time: what changes meanwhile is asked for afterwards, once.
async function ask() {
  if (!current) return;
  if (asking) {
    waiting = true;
    return;
  }
  asking = true;
  const whose = current, asked = say();
  byId("busy").textContent = "looking …";
  try {
    const found = await api.answer(whose.id, asked);
    if (whose === current) show(found, asked);
    fail(null, true);
  } catch (error) {
    byId("busy").textContent = "";
    if (whose === current) fail(error, true);
  } finally {
    asking = false;
    if (waiting) {
      waiting = false;
      ask();
    }
  }
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(ask, WAIT);
}

function show(found, asked) {
  told = found;
  byId("busy").textContent = `${found.seconds.toFixed(2)} s`;
  document.body.dataset.answers = Number(document.body.dataset.answers || 0) + 1;
  showAnswer(found);
  showDownloads(found, (kind) => api.file(current.id, kind, asked));
  if (found.overlay.handles && document.activeElement?.closest?.("#tools") === null) current.set.lattice = null;
  redraw();
}

function redraw() {
  if (!current) return;
  drawElements(view, shown && told ? told.overlay : null);
  if (view.dataset.dragging) return;
  const layer = view.querySelector("#tools");
  const focus = [...layer.querySelectorAll("[tabindex]")].indexOf(document.activeElement);
  layer.replaceChildren();
  const { set, width, height } = current;
  if (set.region) layer.append(regionTools(view, set.region, width, height, later));
  if (mode === "lattice" && told?.overlay.handles) {
    set.lattice ||= vectors(told.overlay.handles);
    layer.append(latticeTools(view, set.lattice, movedLattice));
  }
  if (focus >= 0) layer.querySelectorAll("[tabindex]")[focus]?.focus();
  byId("refine-line").hidden = !set.basis;
  byId("reset").hidden = !(set.region || set.basis || set.origin);
}

function vectors({ origin, a, b }) {
  const from = ([x, y]) => [x - origin[0], y - origin[1]];
  return { origin, a: from(a), b: from(b) };
}

function movedLattice(which) {
  const { origin, a, b } = current.set.lattice;
  if (which === "origin") current.set.origin = origin;
  else current.set.basis = [...a, ...b];
  later();
}

function choose(mode_) {
  mode = mode === mode_ ? null : mode_;
  for (const name of ["region", "lattice"]) byId(name).setAttribute("aria-pressed", String(mode === name));
  byId("hint").hidden = !mode;
  byId("hint").textContent = HINTS[mode] || "";
  byId("stage").classList.toggle("drawing", mode === "region");
  if (mode === "region" && !current.set.region) {
    const { width, height } = current;
    current.set.region = { x: Math.round(width / 4), y: Math.round(height / 4), w: Math.round(width / 2), h: Math.round(height / 2) };
    later();
  }
  redraw();
}

function select(image) {
  current = image;
  told = null;
  mode = null;
  byId("work").hidden = !image;
  byId("start").classList.toggle("small", images.length > 0);
  byId("begin").open = !images.length;
  byId("begin-words").textContent = images.length ? "Examples" : "Or begin with an example";
  byId("images").replaceChildren(...images.map((one) => {
    const picture = element("img", { src: api.picture(one.id), alt: "" });
    const button = element("button", { type: "button", "aria-current": String(one === image), title: one.name },
      picture, element("span", { class: "name" }, one.name));
    button.addEventListener("click", () => select(one));
    const close = element("button", { type: "button", class: "close", "aria-label": `Remove ${one.name}` }, "×");
    close.addEventListener("click", () => drop(one));
    return element("li", {}, button, close);
  }));
  if (!image) return;
  byId("images").querySelector("[aria-current=true]").scrollIntoView({ block: "nearest", inline: "nearest" });
  for (const name of ["region", "lattice"]) byId(name).setAttribute("aria-pressed", "false");
  byId("hint").hidden = true;
  byId("stage").classList.remove("drawing");
  drawImage(view, api.picture(image.id), image.width, image.height);
  redraw();
  ask();
}

async function drop(image) {
  await api.remove(image.id).catch(fail);
  images = images.filter((one) => one !== image);
  select(image === current ? images.at(-1) || null : current);
}

async function take(makers) {
  fail(null);
  let last = null, problem = null;
  for (const maker of makers) {
    try {
      last = { ...(await maker()), set: nothing() };
      images.push(last);
    } catch (error) {
      problem = error;
    }
  }
  if (last) select(last);
  if (problem) fail(problem);
}

const takeFiles = (files) => take([...files].map((file) => async () => {
  try {
    return await api.upload(file);
  } catch (error) {
    throw error instanceof api.Refused ? new api.Refused(`${file.name}: ${error.message}`) : error;
  }
}));

// Drawing a region begins where the pointer goes down on the image.
view.addEventListener("pointerdown", (event) => {
  if (mode !== "region") return;
  event.preventDefault();
  view.setPointerCapture(event.pointerId);
  const { width, height } = current;
  const inside = ([x, y]) => [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  const start = inside(at(view, event));
  const before = { ...current.set.region };
  const move = (moved) => {
    const [x, y] = inside(at(view, moved));
    const w = Math.abs(x - start[0]), h = Math.abs(y - start[1]);
    current.set.region = w < 32 || h < 32 ? before : { x: Math.min(x, start[0]), y: Math.min(y, start[1]), w, h };
    redraw();
  };
  view.addEventListener("pointermove", move);
  const end = () => {
    view.removeEventListener("pointermove", move);
    later();
  };
  view.addEventListener("pointerup", end, { once: true });
  view.addEventListener("pointercancel", end, { once: true });
});

function listen() {
  byId("files").addEventListener("change", (event) => {
    takeFiles(event.target.files);
    event.target.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      document.body.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    takeFiles(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) takeFiles(event.clipboardData.files);
  });
  byId("tolerance").addEventListener("input", () => {
    const { tolerance } = current ? say() : {};
    byId("tolerance-shown").textContent = tolerance ? tolerance.toPrecision(2) : "by the image itself";
    later();
  });
  for (const name of ["group", "refine", "pixel-size"]) byId(name).addEventListener("change", later);
  byId("region").addEventListener("click", () => choose("region"));
  byId("lattice").addEventListener("click", () => choose("lattice"));
  byId("overlay").addEventListener("click", () => {
    shown = !shown;
    byId("overlay").setAttribute("aria-pressed", String(shown));
    redraw();
  });
  byId("reset").addEventListener("click", () => {
    current.set = nothing();
    if (mode) choose(mode);
    later();
    byId("region").focus();
  });
  addEventListener("resize", redraw);
}

async function begin() {
  listen();
  const state = await api.state();
  byId("group").append(...state.groups.map((name) => element("option", { value: name }, name)));
  byId("examples").append(...state.examples.map((title, number) => {
    const button = element("button", { type: "button" }, element("img", { src: api.examplePicture(number), alt: "" }), title);
    button.addEventListener("click", () => take([() => api.example(number)]));
    return button;
  }));
  images = state.images.map((one) => ({ ...one, set: nothing() }));
  if (images.length) select(images.at(-1));
  document.body.dataset.ready = "yes";
}

begin().catch(fail);
