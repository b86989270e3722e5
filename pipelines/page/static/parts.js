// The parts of the answer beside the image.

const WORDS = {
  sure: "Probable, and every operation holds.",
  likely: "Likely; look at the table.",
  doubtful: "Improbable; look at the ladder and the table.",
  undecided: "Undecided; look at the ladder and the table.",
  none: "Nothing repeats well enough; the lattice shown is the best that was tried.",
};
const COLUMNS = [
  ["group", "group"], ["verdict", "verdict"], ["phase", "phase °"], ["target", "noise °"], ["amplitude", "ampl. %"],
  ["ratio", "ratio"], ["misfit", "misfit"], ["strain", "strain %"], ["nets", "nets"], ["reason", "why"],
];
const SHORT = { "holds within tolerance": "in tolerance" };
const FILES = [
  ["picture", "Picture (PNG)"], ["drawing", "Drawing (SVG)"], ["report", "Report"], ["table", "Table (CSV)"],
  ["json", "JSON"], ["hkl", "Reflections"], ["cif", "CIF"], ["corrected", "Straight image"],
];

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function showAnswer(told) {
  byId("answer").className = `card answer ${told.confidence}`;
  byId("headline").textContent = told.headline;
  byId("headline").classList.toggle("long", told.headline.length > 12);
  byId("probability").textContent = told.probability;
  byId("confidence").textContent = WORDS[told.confidence];
  byId("notes").replaceChildren(...told.notes.map((note) => element("li", {}, note)));
  byId("cell").textContent = told.refined ? `${told.cell}; by least squares ${told.refined}` : told.cell;
  byId("others").textContent = told.others.length ? `else ${told.others.join(", ")}` : "";
  showLadder(told);
  showPath(told);
  showTable(told);
}

function showLadder(told) {
  byId("ladder-card").hidden = !told.ladder.length;
  const rungs = told.ladder.map((rung) => {
    const made = element("span", { class: "rung", title: rung.title }, Number(rung.width) > 7 ? rung.group : "");
    made.style.left = `${rung.left}%`;
    made.style.width = `${rung.width}%`;
    return made;
  });
  const ticks = told.ticks.map((tick) => {
    const made = element("span", { class: "tick" }, tick.text);
    made.style.left = `${tick.left}%`;
    return made;
  });
  byId("ladder").replaceChildren(...rungs, ...ticks);
  byId("ladder").setAttribute("aria-label", told.ladder_words);
  byId("ladder-words").textContent = told.ladder_words;
}

function showPath(told) {
  byId("path-card").hidden = !told.path.length;
  byId("path").replaceChildren(...told.path.map((step) => {
    const choices = step.choices.map((choice) => {
      const bar = element("span");
      bar.style.width = `${(100 * choice.width) / 220}%`;
      return element("div", { class: choice.taken ? "choice taken" : "choice" },
        element("span", {}, choice.name), element("span", { class: "bar", "aria-hidden": "true" }, bar),
        element("span", { class: "number" }, choice.percent));
    });
    return element("li", {}, element("span", { class: "level" }, step.level), ...choices);
  }));
}

function showTable(told) {
  byId("table-card").hidden = !told.table.length;
  const words = (key) => (key === "verdict" || key === "reason" ? "words" : null);
  const head = element("tr", {}, ...COLUMNS.map(([key, name]) => element("th", { scope: "col", class: words(key) }, name)));
  const rows = told.table.map((row) => {
    const kinds = [row.group === told.group && "taken", row.group === told.asked && "asked", row.verdict === "refused" && "refused"];
    return element("tr", { class: kinds.filter(Boolean).join(" ") || null },
      ...COLUMNS.map(([key]) => element("td", { class: words(key) }, SHORT[row[key]] || row[key])));
  });
  byId("table").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
}

export function showDownloads(told, address) {
  const lacking = {
    table: !told.periodic && "not periodic",
    hkl: !told.group && !told.asked && "no group",
    cif: !told.pixel_size ? "a CIF needs the size of a pixel" : !told.group && !told.asked && "no group",
    corrected: !told.straightened && "nothing was straightened",
  };
  byId("downloads").replaceChildren(...FILES.map(([kind, name]) => {
    const why = lacking[kind];
    return why
      ? element("span", { class: "button", "aria-disabled": "true", title: why }, name)
      : element("a", { class: "button", href: address(kind), download: "", "data-kind": kind }, name);
  }));
}
