// Detail: the history of a seed, run beside run, teacher beside teacher. Texts are set as text, never as markup.

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  const there = children.filter((child) => child !== null && child !== undefined);
  made.append(...there.map((child) => (typeof child === "string" ? visible(child) : child)));
  return made;
}

// A text with what turns the order of the texts around it shown, and not obeyed.
const visible = (found) => found.replace(/[\u202a-\u202e\u2066-\u2069]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`);

const shortName = (uri) => (uri ?? "").split("?")[0].split("/").pop();
const number = (found) => (typeof found === "number" ? String(found) : found);

function fate(row) {
  const status = value(row, "status");
  const reason = value(row, "reason");
  return make("span", { className: status }, reason ? `${status}: ${reason}` : status);
}

function scoresOf(row) {
  const there = data.scores.filter((name) => value(row, name) !== null && value(row, name) !== undefined);
  const shown = there.map((name) => make("span", {}, `${name} `, make("b", {}, number(value(row, name)))));
  return there.length ? make("div", { className: "scores" }, ...shown) : null;
}

function shownText(found, before) {
  const pieces = before === undefined ? null : changedWords(before, found);
  if (!found) return make("p", { className: "note" }, "no text");
  if (!pieces || isOther(pieces)) return make("div", { className: "text", dir: "auto" }, found);
  const marked = pieces.map(([kind, words]) => (kind === "same" ? words : make(kind, {}, words)));
  return make("div", { className: "text", dir: "auto" }, ...marked);
}

// What of a row nothing usable came: the raw reply, where the text above is not all of it, and where all calls are.
function calls(row) {
  if (value(row, "status") === "ok") return null;
  const raw = value(row, "raw");
  const command = `evolvent calls ${data.folders[value(row, "run")]} --record ${value(row, "seed_id")}`;
  return make(
    "div",
    {},
    raw ? make("p", { className: "note" }, "its raw reply:") : null,
    raw ? make("div", { className: "text raw", dir: "auto" }, raw) : null,
    make("p", { className: "note" }, "its prompts and raw replies: ", make("code", {}, command)),
  );
}

function step(row, here, ...children) {
  return make("section", { className: row === here ? "step here" : "step" }, ...children);
}

function answer(row, here) {
  const finish = value(row, "finish_reason");
  const what = make("div", { className: "what" }, `${shortName(value(row, "teacher")) || "answer"} · `, fate(row));
  if (finish && finish !== "stop") what.append(visible(` · finish reason ${finish}`));
  return step(row, here, what, shownText(text(row, "output")), calls(row), scoresOf(row));
}

// A run's rows of a seed: its evolutions in order, each with the answers to it.
function history(places, here) {
  const evolutions = places.filter((row) => value(row, "kind") === "evolution");
  const others = places.filter((row) => value(row, "kind") !== "evolution");
  const shown = [];
  let parent;
  for (const row of evolutions) {
    const round = value(row, "round");
    const by = round ? value(row, "operator") ?? "evolved" : "seed";
    const what = make("div", { className: "what" }, `round ${round} · ${by} · `, fate(row));
    if (value(row, "evolver")) what.append(visible(` · ${shortName(value(row, "evolver"))}`));
    const answers = others.filter((one) => asked(one) === row).map((one) => answer(one, here));
    const own = round ? [] : [text(row, "output")].filter(Boolean).map((output) => shownText(output));
    const sides = answers.length ? make("div", { className: "sides" }, ...answers) : null;
    shown.push(step(row, here, what, shownText(question(row), parent), calls(row), ...own, scoresOf(row), sides));
    if (value(row, "status") === "ok") parent = question(row);
  }
  const alone = others.filter((row) => asked(row) === undefined);
  let before;
  for (const row of alone) {
    if (question(row) !== before) shown.push(step(row, undefined, shownText(question(row))));
    before = question(row);
    shown.push(answer(row, here));
  }
  return shown;
}

function showDetail(here) {
  const detail = element("detail");
  const places = rows.seeds.get(value(here, "seed_id"));
  const close = make("button", { type: "button", onclick: closeDetail }, "Close");
  const title = make("h3", {}, `seed ${value(here, "seed_index")} `);
  title.append(make("a", { href: linkOf(here), className: "note" }, value(here, "id")));
  const sides = data.runs
    .map((name, run) => [name, places.filter((row) => value(row, "run") === run)])
    .filter(([, of]) => of.length)
    .map(([name, of]) => make("div", {}, data.runs.length > 1 ? make("h3", {}, name) : null, ...history(of, here)));
  detail.replaceChildren(make("header", {}, title, close), make("div", { className: "sides" }, ...sides));
  detail.hidden = false;
  detail.scrollTop = 0;
  const marked = detail.querySelector(".here");
  if (marked) detail.scrollTop = Math.max(0, marked.offsetTop - detail.offsetTop - 60);
}
