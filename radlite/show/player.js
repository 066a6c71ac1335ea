// The player's front end: it shows the frame that Python sent last, beside what was said at it. Stands behind timeline.js.

// ------------------------------------------------------------------------------------------ one track's picture
function makeFigure(parent) {
  const figure = make("figure", "rp-figure", parent);
  const caption = make("figcaption", "", figure);
  let shown, url;
  const view = {
    title: make("span", "rp-title", caption),
    note: make("span", "rp-soft", caption),
    image: make("img", "rp-image", figure),
    state: make("span", "rp-state", figure),
    show(bytes) {
      if (bytes === shown) return;
      view.release();
      shown = bytes;
      view.image.src = url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    },
    release: () => url && setTimeout(URL.revokeObjectURL, 1000, url), // it may still be loading
  };
  return view;
}

// ------------------------------------------------------------------------------------------ the chain, field by field
function makeTable(parent, fields, count) {
  const table = make("table", "rp-chain", parent, "", { "aria-label": "What was said at this frame" });
  const top = make("tr", "", make("thead", "", table));
  const body = make("tbody", "", table);
  make("td", "", top);
  const heads = Array.from({ length: count }, () => make("th", "", top));
  const rows = fields.map((field) => makeRow(make("tr", "", body), field, count));
  let width = 0; // rows only grow, so that nothing below them jumps while it plays; in a new width they begin again
  const watch = new ResizeObserver(() => {
    if (width !== table.offsetWidth) for (const row of body.rows) row.style.minHeight = "";
    width = table.offsetWidth;
  });
  watch.observe(table);
  return { heads, show: (said) => rows.forEach((show) => show(said)), release: () => watch.disconnect() };
}

function makeRow(row, field, count) {
  const head = make("th", "", row, field.title, { scope: "row" });
  head.style.setProperty("--rp-light", field.light);
  head.style.setProperty("--rp-dark", field.dark);
  const mark = make("span", "rp-differs", head, "differs");
  const cells = Array.from({ length: count }, () => make("td", "", row));
  return (said) => {
    const texts = said.map((one) => one[field.name]);
    cells.forEach((cell, t) => {
      cell.textContent = texts[t] ?? "\u2013";
      cell.classList.toggle("rp-absent", texts[t] === undefined);
    });
    mark.hidden = !field.compared || texts.length < 2 || texts.includes(undefined) || texts[0] === texts[1];
    row.style.minHeight = `${row.offsetHeight}px`;
  };
}

// ------------------------------------------------------------------------------------------ the whole
function render({ model, el }) {
  const lengths = model.get("lengths");
  const two = lengths.length > 1;
  const root = make("div", `rp ${two ? "rp-two" : "rp-one"}`, el, "", { role: "group", tabindex: -1 });
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab: "dd" typed in here deletes no cell
  const stage = make("div", "rp-stage", root);
  const row = make("div", "rp-figures", stage);
  const figures = lengths.map(() => makeFigure(row));
  const foot = make("div", "rp-controls", root);
  const table = makeTable(two ? root : stage, model.get("fields"), lengths.length);
  const timeline = makeTimeline({ model, root, parent: foot, show });

  function show(k) {
    const said = model.get("said");
    figures.forEach((figure, t) => {
      figure.show(model.get("pictures")[t]);
      const ended = k >= lengths[t] ? `ended at frame ${lengths[t] - 1}` : "";
      const silent = Object.keys(said[t]).some((name) => name !== "action") ? "" : "no reasoning for this frame";
      figure.state.textContent = [ended, silent].filter(Boolean).join(", ");
      figure.image.alt = `Frame ${k} of ${model.get("titles")[t]}. ${said[t].move ?? ""}`;
    });
    table.show(said);
  }

  function drawTitles() {
    const titles = model.get("titles");
    root.setAttribute("aria-label", `Player: ${titles.join(" and ")}`);
    timeline.names.replaceChildren();
    figures.forEach((figure, t) => {
      figure.title.textContent = titles[t];
      figure.note.textContent = model.get("notes")[t];
      table.heads[t].textContent = titles[t];
      make("span", "", timeline.names, titles[t]).title = titles[t];
    });
  }

  model.on("change:titles", drawTitles);
  drawTitles();
  timeline.draw();

  return () => {
    [...figures, table, timeline].forEach((part) => part.release());
    model.off("change:titles", drawTitles);
  };
}

export default { render };
