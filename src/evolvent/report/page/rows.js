// Rows: columns of values, a place in them for each row.

const rows = { count: 0, columns: {}, places: new Map(), seeds: new Map() };
const key = (run, id) => `${run} ${id}`;

async function unpackRows() {
  const packed = atob(element("rows").textContent);
  const bytes = new Uint8Array(packed.length);
  for (let n = 0; n < packed.length; n++) bytes[n] = packed.charCodeAt(n);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const lines = (await new Response(stream).text()).split("\n");
  for (const line of lines) {
    if (!line) continue;
    for (const [name, values] of Object.entries(JSON.parse(line))) {
      const column = (rows.columns[name] ??= []);
      for (const value of values) column.push(value);
    }
  }
  const { run, id, seed_id: seed } = rows.columns;
  rows.count = id.length;
  for (let n = 0; n < rows.count; n++) {
    rows.places.set(key(run[n], id[n]), n);
    const of = rows.seeds.get(seed[n]);
    if (of) of.push(n);
    else rows.seeds.set(seed[n], [n]);
  }
}

const value = (row, name) => rows.columns[name][row];

// The evolution that a row answers; undefined where it is not on the page.
function asked(row) {
  const id = value(row, "id");
  return rows.places.get(key(value(row, "run"), id.slice(0, id.lastIndexOf("/"))));
}

// An answer says what it answers only where that is not a row of its own.
function text(row, name) {
  const own = value(row, name);
  return own ?? value(asked(row), name);
}

function question(row) {
  const input = text(row, "input");
  return text(row, "instruction") + (input ? `\n${input}` : "");
}
