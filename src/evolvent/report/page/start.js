// Start: the records first, as a link may lead to one, then the figures.

async function startRecords() {
  if (!element("records")) return;
  await unpackRows();
  makeFilters();
  findRows();
  followAddress();
  element("more").addEventListener("click", showMore);
  window.addEventListener("hashchange", followAddress);
  document.addEventListener("keydown", onKey);
  document.body.dataset.unpacked = "yes";
}

try {
  await startRecords();
} catch (error) {
  element("count").textContent = `The records cannot be shown in this browser: ${error.message}`;
}
await drawFigures();
