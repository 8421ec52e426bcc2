// Figures: drawn one after the other, so that the page can be read while they come.

const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);

async function drawFigures() {
  const options = {
    ast: true, // expressions are interpreted: no script is made of text
    actions: false,
    renderer: "svg",
    config: data.theme,
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };
  for (const place of document.querySelectorAll(".plot")) {
    await window.vegaEmbed(place, data.figures[place.dataset.figure], options);
    await new Promise((resolve) => setTimeout(resolve));
  }
  document.body.dataset.drawn = "yes";
}
