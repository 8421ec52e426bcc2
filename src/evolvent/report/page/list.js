// List: searching and filtering rows, and going through what was found.

const SHOWN = 60;
const CHOICES = ["run", "kind", "round", "operator", "teacher", "status", "reason"];
const MOST_CHOICES = 60;
const found = { rows: [], shown: 0, here: undefined, choices: [] };

function makeFilters() {
  const form = element("filters");
  const labels = data.scores.filter((name) => rows.columns[name].some((one) => typeof one === "string"));
  for (const name of [...CHOICES, ...labels]) {
    const values = [...new Set(rows.columns[name])].filter((one) => one !== null).sort();
    if (!values.length || (values.length < 2 && name !== "reason") || values.length > MOST_CHOICES) continue;
    found.choices.push(name);
    const called = (one) => (name === "run" ? data.runs[one] : name === "teacher" ? shortName(one) : String(one));
    const options = values.map((one) => make("option", { value: String(one) }, called(one)));
    const select = make("select", { name, ariaLabel: name }, make("option", { value: "" }, `any ${name}`), ...options);
    form.append(select);
  }
  const numeric = data.scores.filter((name) => rows.columns[name].some((one) => typeof one === "number"));
  if (numeric.length) {
    const options = numeric.map((one) => make("option", {}, one));
    form.append(
      make("select", { name: "score", ariaLabel: "score" }, make("option", { value: "" }, "any score"), ...options),
      make("input", { type: "number", name: "least", step: "any", placeholder: "from", ariaLabel: "lowest score" }),
      make("input", { type: "number", name: "most", step: "any", placeholder: "to", ariaLabel: "highest score" }),
    );
  }
  let waiting;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(findRows, 80);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
}

function wanted() {
  const given = Object.fromEntries(new FormData(element("filters")));
  const tests = [];
  for (const name of found.choices) {
    if (given[name]) tests.push((row) => String(value(row, name)) === given[name]);
  }
  if (given.score) {
    const least = given.least === "" ? -Infinity : Number(given.least);
    const most = given.most === "" ? Infinity : Number(given.most);
    const column = rows.columns[given.score];
    tests.push((row) => typeof column[row] === "number" && column[row] >= least && column[row] <= most);
  }
  const words = element("search").value.trim();
  if (words) {
    const pattern = new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
    const texts = ["instruction", "input", "output"].map((name) => (row) => text(row, name));
    texts.push(...["id", "raw"].map((name) => (row) => value(row, name) ?? ""));
    tests.push((row) => texts.some((of) => pattern.test(of(row))));
  }
  return (row) => tests.every((test) => test(row));
}

function findRows() {
  const test = wanted();
  found.rows = [];
  for (let row = 0; row < rows.count; row++) if (test(row)) found.rows.push(row);
  found.shown = 0;
  element("list").replaceChildren();
  element("count").textContent = `${found.rows.length.toLocaleString("en")} of ${rows.count.toLocaleString("en")} rows`;
  showMore();
}

function showMore() {
  const next = found.rows.slice(found.shown, found.shown + SHOWN);
  element("list").append(...next.map(listed));
  found.shown += next.length;
  element("more").hidden = found.shown >= found.rows.length;
}

function listed(row) {
  const score = new FormData(element("filters")).get("score");
  const by = value(row, "kind") === "evolution" ? value(row, "operator") ?? "seed" : shortName(value(row, "teacher"));
  const run = data.runs.length > 1 ? `${data.runs[value(row, "run")]} · ` : "";
  const what = make("span", { className: "what" }, `${run}${value(row, "kind")} · round ${value(row, "round")} · ${by} · `, fate(row));
  if (score) what.append(visible(` · ${score} ${number(value(row, score)) ?? "none"}`));
  const shown = value(row, "kind") === "evolution" ? question(row) : text(row, "output") || question(row);
  const line = make("span", { className: "text", dir: "auto" }, shown.slice(0, 160).replace(/\s+/g, " ") || "no text");
  const button = make("button", { type: "button", onclick: () => go(row) }, what, line);
  button.dataset.row = row;
  if (row === found.here) button.ariaCurrent = "true";
  return make("li", {}, button);
}

const linkOf = (row) => `#r=${encodeURIComponent(value(row, "id"))}` + (value(row, "run") ? `&run=${value(row, "run")}` : "");

function go(row) {
  location.hash = linkOf(row);
}

function closeDetail() {
  element("detail").hidden = true;
  found.here = undefined;
  mark();
  window.history.replaceState(null, "", "#records");
}


function mark() {
  for (const button of element("list").querySelectorAll("button[aria-current]")) button.removeAttribute("aria-current");
  const here = element("list").querySelector(`button[data-row="${found.here}"]`);
  if (!here) return;
  here.ariaCurrent = "true";
  here.scrollIntoView({ block: "nearest" });
}

// Opens the record that the address names, if it names one.
function followAddress() {
  const named = new URLSearchParams(location.hash.slice(1));
  if (!named.has("r")) return;
  const row = rows.places.get(key(Number(named.get("run") ?? 0), named.get("r")));
  if (row === undefined) {
    element("count").textContent = `There is no record ${named.get("r")} on this page.`;
    element("records").scrollIntoView();
    return;
  }
  found.here = row;
  showDetail(row);
  mark();
  element("browser").scrollIntoView({ block: "nearest" });
}

function move(by) {
  const at = found.rows.indexOf(found.here);
  const next = found.rows[Math.min(found.rows.length - 1, Math.max(0, at + by))];
  if (next === undefined) return;
  while (found.rows.indexOf(next) >= found.shown) showMore();
  go(next);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (document.activeElement?.matches("input, select")) document.activeElement.blur();
    else if (!element("detail").hidden) closeDetail();
    return;
  }
  if (document.activeElement?.matches("input, select, textarea")) return;
  if (event.key === "/") {
    event.preventDefault();
    element("search").focus();
  }
  if (event.key === "j" || event.key === "ArrowRight") move(1);
  if (event.key === "k" || event.key === "ArrowLeft") move(-1);
}
