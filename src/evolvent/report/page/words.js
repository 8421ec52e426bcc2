// Words: what one text has that another has not, by the longest common sequence of words.

const MOST_CELLS = 4e6;

// Pieces of the new text and of the old one in order: [kind, text], where kind is "same", "ins" or "del".
function changedWords(old, now) {
  const a = old.match(/\s+|[^\s]+/g) ?? [];
  const b = now.match(/\s+|[^\s]+/g) ?? [];
  let first = 0;
  while (first < a.length && first < b.length && a[first] === b[first]) first++;
  let last = 0;
  while (last < Math.min(a.length, b.length) - first && a[a.length - 1 - last] === b[b.length - 1 - last]) last++;
  const x = a.slice(first, a.length - last);
  const y = b.slice(first, b.length - last);
  if (x.length * y.length > MOST_CELLS) return null;
  const pieces = [];
  const add = (kind, words) => {
    if (!words.length) return;
    const before = pieces[pieces.length - 1];
    if (before && before[0] === kind) before[1] += words.join("");
    else pieces.push([kind, words.join("")]);
  };
  add("same", a.slice(0, first));
  const width = y.length + 1;
  const longest = new Uint16Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) {
      longest[i * width + j] =
        x[i] === y[j]
          ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  let i = 0;
  let j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) add("same", [x[i++], ...(j++, [])]);
    else if (i < x.length && (j === y.length || longest[(i + 1) * width + j] >= longest[i * width + j + 1])) add("del", [x[i++]]);
    else add("ins", [y[j++]]);
  }
  add("same", b.slice(b.length - last));
  return pieces;
}

// Whether so little stayed that marks would hide the new text.
function isOther(pieces) {
  const size = (kind) => pieces.filter((one) => one[0] === kind).reduce((sum, one) => sum + one[1].trim().length, 0);
  return size("same") < 0.3 * (size("same") + size("ins"));
}
