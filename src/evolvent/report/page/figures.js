// Figures: drawn one after the other, so that the page can be read while they come.

const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);

async function drawFigures() {
  const options = {
    ast: true, // expressions are interpreted: no script is made of text
    actions: false,
    renderer: "svg",
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };
  for (const place of document.querySelectorAll(".plot")) {
    const config = structuredClone(data.theme);
    config.axis.labelLimit = 0.42 * place.clientWidth;
    if (place.clientWidth < 420) config.axisTop.labelAngle = -90; // which leaves the columns more room
    config.legend.columns = Math.max(1, Math.floor(place.clientWidth / 220));
    await window.vegaEmbed(place, data.figures[place.dataset.figure], { ...options, config });
    await new Promise((resolve) => setTimeout(resolve));
  }
  document.body.dataset.drawn = "yes";
}
