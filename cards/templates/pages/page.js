"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector, within = document) => within.querySelector(selector);
const told = (value) => typeof value === "number" ? String(+value.toPrecision(6)) : Array.isArray(value) || value instanceof Object ? JSON.stringify(value) : String(value);

all(".copy, .range, .toolbar, .hint, .time label").forEach((control) => { control.hidden = false; });

all(".copy").forEach((button) => button.addEventListener("click", async () => {
  const code = one("code", button.parentElement);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch { // a browser that refuses leaves the text selected, for the keyboard
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}));

/* Curves: the values nearest to the pointer. */
all("svg.lines").forEach((svg) => {
  const points = all(".point", svg).map((point) => ({ x: point.cx.baseVal.value, title: point.textContent, series: point.classList[1] }));
  const reading = one(".reading", svg.parentElement);
  const guide = document.createElementNS(svg.namespaceURI, "line");
  const { height } = svg.viewBox.baseVal;
  for (const [name, value] of [["class", "guide"], ["y1", 12], ["y2", height - 38]]) guide.setAttribute(name, value);
  svg.addEventListener("pointermove", (event) => {
    const x = place(svg, event);
    const nearest = new Map();
    for (const point of points) {
      const known = nearest.get(point.series);
      if (!known || Math.abs(point.x - x) < Math.abs(known.x - x)) nearest.set(point.series, point);
    }
    const found = [...nearest.values()];
    if (!found.length) return;
    reading.textContent = found.map((point, number) => number ? point.title.split(": ")[1] : point.title).join(", ");
    guide.setAttribute("x1", found[0].x);
    guide.setAttribute("x2", found[0].x);
    svg.append(guide);
  });
  svg.addEventListener("pointerleave", () => { guide.remove(); reading.textContent = ""; });
});

function place(svg, event) {
  const box = svg.getBoundingClientRect();
  return (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
}

/* Galleries: sorted, chosen by brushes over the histograms, walked through by arrow keys. */
all("section.rows").forEach((section) => {
  const list = one(".gallery", section);
  if (!list) return;
  const items = all("li", list).map((item) => ({ item, button: one("button", item), row: JSON.parse(item.dataset.row) }));
  const ranges = new Map();
  const [sort, descending, count] = [".sort", ".descending", ".count"].map((name) => one(name, section));
  let shown = items;

  function show() {
    const within = ({ row }) => [...ranges].every(([column, [low, high]]) => row[column] != null && row[column] >= low && row[column] <= high);
    const sign = descending.checked ? -1 : 1;
    if (sort.value) items.sort((a, b) => sign * (a.row[sort.value] - b.row[sort.value]));
    shown = items.filter(within);
    list.replaceChildren(...shown.map(({ item }) => item));
    shown.forEach(({ button }, number) => { button.tabIndex = number ? -1 : 0; });
    count.textContent = ranges.size ? `${shown.length} of ${items.length} shown` : `${items.length} shown`;
  }

  all(".chart[data-column]", section).forEach((chart) => brush(chart, (range) => {
    if (range) ranges.set(chart.dataset.column, range);
    else ranges.delete(chart.dataset.column);
    show();
  }));
  sort.addEventListener("change", show);
  descending.addEventListener("change", show);
  list.addEventListener("click", (event) => {
    const number = shown.findIndex(({ item }) => item.contains(event.target));
    if (number >= 0 && event.target.closest("button")) enlarge(shown, number);
  });
  list.addEventListener("keydown", (event) => {
    const number = shown.findIndex(({ button }) => button === event.target);
    const next = { ArrowRight: number + 1, ArrowLeft: number - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (number < 0 || !shown[next]) return;
    event.preventDefault();
    shown[number].button.tabIndex = -1;
    shown[next].button.tabIndex = 0;
    shown[next].button.focus();
  });
  show();
});

function brush(chart, chosen) {
  const [svg, area, mark] = ["svg", ".brush", ".brushed"].map((name) => one(name, chart));
  const ends = all(".range input", chart);
  const [low, high] = [chart.dataset.low, chart.dataset.high].map(Number);
  const [start, end] = [svg.dataset.start, svg.dataset.end].map(Number);
  const value = (x) => low + (Math.min(Math.max(x, start), end) - start) / (end - start) * (high - low);
  const at = (number) => start + (Math.min(Math.max(number, low), high) - low) / (high - low) * (end - start);

  function set(range) {
    mark.setAttribute("x", range ? at(range[0]) : 0);
    mark.setAttribute("width", range ? Math.max(at(range[1]) - at(range[0]), 1) : 0);
    ends.forEach((input, number) => { input.value = range ? +range[number].toPrecision(4) : ""; });
    // values beyond the histogram are counted in its outermost bins
    chosen(range && [range[0] <= low ? -Infinity : range[0], range[1] >= high ? Infinity : range[1]]);
  }

  let from = null;
  area.addEventListener("pointerdown", (event) => { from = place(svg, event); area.setPointerCapture(event.pointerId); });
  area.addEventListener("pointermove", (event) => {
    if (from === null) return;
    set([from, place(svg, event)].sort((a, b) => a - b).map(value));
  });
  area.addEventListener("pointerup", (event) => {
    if (Math.abs(place(svg, event) - from) < 3) set(null);
    from = null;
  });
  area.addEventListener("pointercancel", () => { from = null; });
  ends.forEach((input) => input.addEventListener("change", () => {
    const typed = ends.map((each) => each.value === "" ? null : Number(each.value));
    set(typed[0] === null && typed[1] === null ? null : [typed[0] ?? low, typed[1] ?? high]);
  }));
  one(".clear", chart).addEventListener("click", () => set(null));
}

/* One row, large, with all that is known of it. */
function enlarge(items, number) {
  const dialog = one("#lightbox");
  function show(next) {
    if (!items[next]) return;
    number = next;
    const { button, row } = items[number];
    one("h2", dialog).textContent = `Row ${row.index ?? number}`;
    one(".images", dialog).replaceChildren(...all("img", button).map((image) => {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = image.alt;
      figure.append(image.cloneNode(), caption);
      return figure;
    }));
    one("tbody", dialog).replaceChildren(...Object.entries(row).map(([name, value]) => {
      const line = document.createElement("tr");
      const head = line.appendChild(document.createElement("th"));
      head.scope = "row";
      head.textContent = name;
      line.insertCell().textContent = told(value);
      return line;
    }));
    one(".turn output", dialog).textContent = `${number + 1} of ${items.length}`;
  }
  dialog.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { event.preventDefault(); show(number + step); }
  };
  one(".before", dialog).onclick = () => show(number - 1);
  one(".after", dialog).onclick = () => show(number + 1);
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  dialog.onclose = () => items[number].button.focus();
  show(number);
  dialog.showModal();
}

/* Sample grids over training time. */
all(".time").forEach((block) => {
  const [slider, output] = ["input", "output"].map((name) => one(name, block));
  const grids = all(".grids li", block);
  if (!slider) return;
  const show = () => {
    grids.forEach((grid, number) => { grid.hidden = number !== Number(slider.value); });
    output.textContent = grids[slider.value].dataset.step;
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  slider.value = grids.length - 1;
  slider.addEventListener("input", show);
  show();
});

/* Tables sorted by one click. */
all("table.sortable").forEach((table) => all("thead th", table).forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const falling = head.getAttribute("aria-sort") !== "descending";
    all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const order = (a, b) => a === "" || b === "" ? (a === "") - (b === "") : (falling ? -1 : 1) * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => order(key(a), key(b))));
  });
}));
