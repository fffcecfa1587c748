(() => {
  "use strict";
  const NARROW = 620, LEGEND_LINE = 21, FEW = 5;
  const root = document.documentElement;
  const mode = matchMedia("(prefers-color-scheme: dark)");
  const config = { displaylogo: false, responsive: true, displayModeBar: false };

  async function load() {
    const coded = atob(document.getElementById("plotly").textContent.trim());
    const bytes = Uint8Array.from(coded, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  function themed(id, width) {
    const figure = JSON.parse(document.getElementById(id).textContent);
    const css = getComputedStyle(root);
    const colour = (name) => css.getPropertyValue(`--${name}`).trim();
    const { data, layout } = figure;
    layout.font = { ...layout.font, color: colour("ink") };
    layout.hoverlabel = { bgcolor: colour("band"), font: { color: colour("ink") }, bordercolor: colour("rule") };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) {
        Object.assign(layout[key], { gridcolor: colour("rule"), linecolor: colour("soft"), tickcolor: colour("soft") });
      }
    }
    for (const trace of data.filter((one) => one.meta === "ink")) {
      trace.line = { ...trace.line, color: colour("ink") };
      trace.marker = { ...trace.marker, color: colour("ink") };
    }
    const named = data.filter((one) => one.showlegend !== false && one.name).length;
    if (width < NARROW && named > FEW) {
      layout.legend = { orientation: "h", x: 0, xref: "container", y: 0, yref: "container", yanchor: "bottom" };
      layout.height += named * LEGEND_LINE;
      layout.margin = { ...layout.margin, b: named * LEGEND_LINE + 50 };
    }
    return figure;
  }

  function draw(place, id = place.dataset.figure) {
    place.dataset.figure = id;
    const { data, layout } = themed(id, place.clientWidth);
    return Plotly.react(place, data, layout, config);
  }

  function sortable(table) {
    table.querySelectorAll("thead button").forEach((button) => button.addEventListener("click", () => {
      const header = button.closest("th"), column = Number(button.dataset.column);
      const falling = header.getAttribute("aria-sort") !== "descending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter((row) => !row.matches(".group, .below"));
        const blocks = rows.map((row) => {
          const cell = row.cells[column], next = row.nextElementSibling;
          const raw = cell.dataset.value ?? (column === 0 || cell.innerText.length > 1 ? cell.innerText : "");
          return { rows: next?.matches(".below") ? [row, next] : [row], raw, size: raw === "" ? NaN : Number(raw) };
        });
        const numbers = blocks.every((block) => block.raw === "" || !Number.isNaN(block.size));
        blocks.sort((a, b) => {
          if (a.raw === "" || b.raw === "") return (a.raw === "") - (b.raw === "");
          const order = numbers ? a.size - b.size : a.raw.localeCompare(b.raw);
          return falling ? -order : order;
        });
        blocks.forEach((block) => body.append(...block.rows));
      }
    }));
  }

  async function start() {
    document.querySelectorAll("table").forEach(sortable);
    const places = [...document.querySelectorAll(".plot")];
    if (!places.length) return;
    await load();
    for (const place of places) await draw(place);
    mode.addEventListener("change", () => places.forEach((place) => draw(place)));
    document.querySelectorAll("figure[data-choices] select").forEach((choice) => choice.addEventListener("change", () => {
      const figure = choice.closest("figure");
      draw(figure.querySelector(".plot"), `${figure.id}-${choice.value}`);
    }));
  }

  start().then(
    () => { root.dataset.figures = "ready"; },
    (fault) => { root.classList.add("stills"); root.dataset.figures = "stills"; console.error(fault); },
  );
})();
