// Draws the charts as they come into view; controls, theme, filter and contents. Values only ever enter as text.
const { specifications, charts } = JSON.parse(document.getElementById("drawn").textContent);
const views = new Map(); // element of a chart -> its Vega view, null while it is made
const { fontFamily } = getComputedStyle(document.body); // by name: Vega measures text before it is in the page

async function draw(element) {
  if (views.has(element)) return;
  views.set(element, null);
  const { kind, fields, rows } = charts[element.dataset.chart];
  const objects = rows.map((row) => Object.fromEntries(fields.map((field, place) => [field, row[place]])));
  const specification = { ...specifications[kind], datasets: { rows: objects }, description: element.dataset.words };
  if (kind === "accuracies") specification.height = 26 * rows.length; // a row a line
  const { view } = await vegaEmbed(element, specification, {
    actions: false, ast: true, config: { font: fontFamily }, defaultStyle: false, renderer: "svg", logLevel: 1, // errors
    tooltip: { disableDefaultStyle: true },
  });
  views.set(element, view);
  await update(element);
  element.dataset.drawn = "";
}

async function update(element) {
  const controls = element.closest(".charts").parentElement.querySelector(".controls");
  const view = views.get(element);
  if (!view || !controls) return;
  view.signal("shown", [...controls.querySelectorAll("input:checked")].map((box) => box.value));
  const measure = controls.querySelector("select");
  if (measure) view.signal("measure", measure.value);
  await view.runAsync();
}

const seen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
  { rootMargin: "300px" },
);
const plots = document.querySelectorAll("[data-chart]");
plots.forEach((plot) => seen.observe(plot));
addEventListener("beforeprint", () => plots.forEach(draw));
for (const controls of document.querySelectorAll(".controls")) {
  controls.addEventListener("change", () => controls.parentElement.querySelectorAll("[data-chart]").forEach(update));
}

for (const table of document.querySelectorAll("[data-numbers]")) {
  table.closest("details").addEventListener("toggle", () => {
    for (const row of charts[table.dataset.numbers].rows) {
      const line = table.tBodies[0].insertRow();
      for (const value of row) line.insertCell().textContent = value ?? "—";
    }
  }, { once: true });
}

const theme = document.getElementById("theme");
theme.value = document.documentElement.dataset.theme ?? "";
theme.addEventListener("change", () => {
  document.documentElement.dataset.theme = theme.value;
  try {
    localStorage.setItem("theme", theme.value);
  } catch { /* then it lasts as long as the page */ }
});

const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/);
  let count = 0;
  for (const run of document.querySelectorAll(".run")) {
    run.hidden = !words.every((word) => run.dataset.name.toLowerCase().includes(word));
    count += !run.hidden;
  }
  document.getElementById("filtered").textContent = `${count.toLocaleString("en")} run${count === 1 ? "" : "s"}`;
});

const contents = document.querySelector(".toc details");
if (matchMedia("(max-width: 60rem)").matches) contents.open = false;
const links = new Map(); // heading -> its link in the contents
for (const link of contents.querySelectorAll("a")) links.set(document.getElementById(link.hash.slice(1)), link);
const reading = new IntersectionObserver((entries) => {
  for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
    contents.querySelector("[aria-current]")?.removeAttribute("aria-current");
    links.get(target).setAttribute("aria-current", "true");
  }
}, { rootMargin: "0px 0px -50% 0px" });
links.forEach((_, heading) => reading.observe(heading));
