// Draws the charts as they come into view, and lets controls, theme and filter work. Text only ever enters as text.
const { specifications, charts } = JSON.parse(document.getElementById("drawn").textContent);
const views = new Map(); // element of a chart -> its Vega view

const { fontFamily } = getComputedStyle(document.body); // by name: Vega measures text before it stands in the page
const ink = { labelColor: "var(--ink-2)", titleColor: "var(--ink-2)", labelFont: fontFamily, titleFont: fontFamily };
const lines = { gridColor: "var(--line)", domainColor: "var(--line)", tickColor: "var(--line)" };
const sizes = { labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", labelLimit: 150 };
const look = { axis: { ...ink, ...lines, ...sizes }, font: fontFamily, view: { stroke: null } };
const [ROW, AXIS] = [26, 48]; // pixels: the height of a row in a chart that has one a line, and of its axis

const objects = ({ fields, rows }) =>
  rows.map((row) => Object.fromEntries(fields.map((field, place) => [field, row[place]])));

function wishes(element) {
  const controls = controlsOf(element);
  if (!controls) return {};
  const boxes = [...controls.querySelectorAll("input[data-row]")];
  const shown = boxes.filter((box) => box.checked).map((box) => box.dataset.row);
  const measure = controls.querySelector("select[data-measure]");
  return { shown, ...(measure && { measure: measure.value }) };
}

function controlsOf(element) {
  const before = element.closest(".charts")?.previousElementSibling;
  return before?.classList.contains("controls") ? before : null;
}

async function draw(element) {
  if (views.has(element)) return;
  views.set(element, null);
  const chart = charts[element.dataset.chart];
  const specification = structuredClone(specifications[chart.kind]);
  specification.datasets = { rows: objects(chart) };
  if (chart.kind === "accuracies") specification.height = ROW * chart.rows.length + AXIS;
  specification.description = element.dataset.words;
  for (const parameter of specification.params ?? []) {
    const wish = wishes(element)[parameter.name];
    if (wish !== undefined) parameter.value = wish;
  }
  const result = await vegaEmbed(element, specification, {
    actions: false, ast: true, config: look, defaultStyle: false, renderer: "svg", logLevel: 1, // errors
    tooltip: { disableDefaultStyle: true },
  });
  views.set(element, result.view);
  element.dataset.drawn = "";
}

const seen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    seen.unobserve(entry.target);
    draw(entry.target);
  }),
  { rootMargin: "300px" },
);
const places = [...document.querySelectorAll("[data-chart]")];
places.forEach((place) => seen.observe(place));
addEventListener("beforeprint", () => places.forEach(draw));

for (const controls of document.querySelectorAll(".controls")) {
  controls.addEventListener("change", () => {
    for (const element of controls.nextElementSibling.querySelectorAll("[data-chart]")) {
      const view = views.get(element);
      if (!view) continue;
      for (const [name, value] of Object.entries(wishes(element))) {
        if (name === "shown" || charts[element.dataset.chart].fields.includes("measure")) view.signal(name, value);
      }
      view.runAsync();
    }
  });
}

for (const details of document.querySelectorAll("[data-numbers]")) {
  details.addEventListener("toggle", () => {
    if (details.open && !details.querySelector("table")) details.append(table(charts[details.dataset.numbers]));
  });
}

function table({ fields, rows }) {
  const wrapper = document.createElement("div");
  wrapper.className = "scroll";
  wrapper.tabIndex = 0;
  const drawn = wrapper.appendChild(document.createElement("table"));
  const head = drawn.createTHead().insertRow();
  for (const field of fields) {
    const cell = head.appendChild(document.createElement("th"));
    cell.scope = "col";
    cell.textContent = field;
  }
  const body = drawn.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const value of row) line.insertCell().textContent = value ?? "—";
  }
  return wrapper;
}

const theme = document.getElementById("theme");
theme.value = document.documentElement.dataset.theme ?? "";
theme.addEventListener("change", () => {
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("theme", theme.value);
  } catch { /* then it lasts as long as the page */ }
});

const filter = document.getElementById("filter");
filter?.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/);
  let count = 0;
  for (const run of document.querySelectorAll("details.run")) {
    run.hidden = !words.every((word) => run.dataset.name.toLowerCase().includes(word));
    count += !run.hidden;
  }
  document.getElementById("filtered").textContent = `${count.toLocaleString("en")} run${count === 1 ? "" : "s"}`;
});

const contents = document.querySelector(".toc details");
if (matchMedia("(max-width: 60rem)").matches) contents.open = false;
const links = new Map(); // heading -> its link
for (const link of contents.querySelectorAll("a")) {
  const target = document.getElementById(link.hash.slice(1));
  if (target) links.set(target.matches("section") ? target.querySelector("h2") : target, link);
}
const spy = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      contents.querySelector("[aria-current]")?.removeAttribute("aria-current");
      links.get(entry.target).setAttribute("aria-current", "true");
    }
  },
  { rootMargin: "0px 0px -50% 0px" },
);
for (const heading of links.keys()) spy.observe(heading);
document.documentElement.dataset.ready = "";
