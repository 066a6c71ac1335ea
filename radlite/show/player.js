// The player's front end: it shows the frame that Python sent last, and asks for another by setting `index`.
// Never more than one question is open: while the answer is on its way only the latest wish is remembered.
// All text from data goes through textContent, title or an aria attribute; none of it becomes markup.

const ICONS = {
  back: "M4 3h2.4v14H4zM16 3v14L7.5 10z",
  play: "M5 2.6v14.8L17 10z",
  pause: "M4.5 3h4v14h-4zM11.5 3h4v14h-4z",
  next: "M13.6 3H16v14h-2.4zM4 3v14l8.5-7z",
};
const SPEEDS = [0.25, 0.5, 1, 2, 4];
const PATIENCE = 1500; // ms without an answer after which the player says that the kernel is busy

function make(tag, name, parent, text = "", attributes = {}) {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}

function face(button, shape, label, keys) {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[shape]);
  svg.append(path);
  button.replaceChildren(svg);
  button.setAttribute("aria-label", label);
  button.title = `${label} (${keys})`;
}

function control(parent, shape, label, keys, act) {
  const button = make("button", `rp-button rp-${shape}`, parent, "", { type: "button" });
  face(button, shape, label, keys);
  button.addEventListener("click", act);
  return button;
}

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

// ------------------------------------------------------------------------------------------ the timeline
function percent(part, whole) {
  return `${(100 * part) / whole}%`;
}

function words(segment) {
  return segment.label.replace(/\.$/, "");
}

function tinted(node, segment, palette) {
  node.style.setProperty("--rp-colour", palette[segment.kind % palette.length]);
}

function makeLane(parent, line, frames, length, palette) {
  const lane = make("div", "rp-lane", parent);
  make("div", "rp-extent", lane).style.width = percent(frames, length);
  return line.map((segment) => {
    const node = make("div", "rp-segment", lane);
    tinted(node, segment, palette);
    node.style.left = percent(segment.start, length);
    node.style.width = percent(segment.stop - segment.start, length);
    node.title = `${segment.letter}: ${words(segment)} (frames ${segment.start} to ${segment.stop - 1})`;
    make("b", "", node, segment.letter);
    make("span", "", node, words(segment));
    return (k) => node.classList.toggle("rp-now", segment.start <= k && k < segment.stop);
  });
}

function makeLegend(parent, lines, palette) {
  const kinds = new Map(lines.flat().map((segment) => [segment.kind, segment]));
  const list = make("ul", "rp-legend", parent, "", { "aria-label": "Subtasks" });
  if (!kinds.size) make("li", "rp-soft", list, "No subtask was said in this recording.");
  return [...kinds.values()]
    .sort((a, b) => a.kind - b.kind)
    .map((segment) => {
      const item = make("li", "", list);
      tinted(item, segment, palette);
      make("b", "", item, segment.letter);
      make("span", "", item, words(segment));
      return (now) => item.classList.toggle("rp-now", now.some((one) => one?.kind === segment.kind));
    });
}

// ------------------------------------------------------------------------------------------ the whole
function render({ model, el }) {
  const lengths = model.get("lengths");
  const length = Math.max(...lengths);
  const two = lengths.length > 1;
  let wanted = model.get("index");
  let [playing, waiting, late] = [false, false, false];
  let askedAt = 0;
  let playTimer, lateTimer, segments, setNow;

  const root = make("div", `rp ${two ? "rp-two" : "rp-one"}`, el, "", { role: "group", tabindex: -1 });
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab: "dd" typed in here deletes no cell
  const stage = make("div", "rp-stage", root);
  const row = make("div", "rp-figures", stage);
  const figures = lengths.map(() => makeFigure(row));
  const foot = make("div", "rp-controls", root);
  const table = makeTable(two ? root : stage, model.get("fields"), lengths.length);

  const bar = make("div", "rp-bar", foot);
  control(bar, "back", "One frame back", "left arrow", () => step(-1));
  const playButton = control(bar, "play", "Play", "space", toggle);
  control(bar, "next", "One frame on", "right arrow", () => step(1));
  const clock = make("span", "rp-clock", bar);
  const busy = make("span", "rp-busy", bar, "", { role: "status" });
  make("span", "rp-keys", bar, "space: play, arrows: step, page keys: subtask");
  const speed = make("select", "rp-speed", bar, "", { "aria-label": "Speed" });
  for (const value of SPEEDS) make("option", "", speed, `${value}\u00d7`, { value });
  speed.value = 1;

  const time = make("div", "rp-time", foot);
  const names = make("div", "rp-names", time);
  const about = { role: "slider", tabindex: 0, "aria-label": "Frame", "aria-valuemin": 0, "aria-valuemax": length - 1 };
  const slider = make("div", "rp-slider", time, "", about);
  const rail = make("div", "rp-rail", slider);
  const lanes = make("div", "rp-lanes", slider);
  const head = make("div", "rp-head", slider);
  const legend = make("div", "", foot);

  // ---- asking and answering
  function ask(k) {
    wanted = Math.min(Math.max(k, 0), length - 1);
    place();
    if ((waiting && !late) || wanted === model.get("shown")) return; // a late answer may never come: ask anew
    waiting = true;
    askedAt = performance.now();
    clearTimeout(lateTimer);
    lateTimer = setTimeout(tellLate, PATIENCE, true);
    model.set("index", wanted);
    model.save_changes();
  }

  function tellLate(now) {
    late = now;
    busy.textContent = late ? "waiting for the kernel" : "";
  }

  function answered() {
    clearTimeout(lateTimer);
    tellLate(false);
    if (!waiting) wanted = model.get("shown"); // Python moved it
    waiting = false;
    show();
    ask(wanted);
    if (playing && !waiting) goOn();
  }

  function goOn() {
    if (wanted >= length - 1) return pause();
    const period = 1000 / (model.get("fps") * speed.value);
    clearTimeout(playTimer);
    playTimer = setTimeout(() => ask(wanted + 1), Math.max(0, period - (performance.now() - askedAt)));
  }

  function play() {
    playing = true;
    face(playButton, "pause", "Pause", "space");
    if (wanted >= length - 1) ask(0);
    if (!waiting) goOn();
  }

  function pause() {
    playing = false;
    clearTimeout(playTimer);
    face(playButton, "play", "Play", "space");
  }

  function toggle() {
    playing ? pause() : play();
  }

  function step(by) {
    pause();
    ask(wanted + by);
  }

  // The next or the last beginning of a subtask, in any track.
  function jump(way) {
    const starts = segments.flat().map((one) => one.start).sort((a, b) => way * (a - b));
    step((starts.find((start) => way * (start - wanted) > 0) ?? (way > 0 ? length - 1 : 0)) - wanted);
  }

  // ---- showing
  function place() {
    head.style.left = rail.style.width = percent(wanted + 0.5, length);
  }

  function show() {
    const k = model.get("shown");
    const said = model.get("said");
    const now = segments.map((line) => line.find((one) => one.start <= k && k < one.stop));
    figures.forEach((figure, t) => {
      figure.show(model.get("pictures")[t]);
      const ended = k >= lengths[t] ? `ended at frame ${lengths[t] - 1}` : "";
      const silent = Object.keys(said[t]).some((name) => name !== "action") ? "" : "no reasoning for this frame";
      figure.state.textContent = [ended, silent].filter(Boolean).join(", ");
      figure.image.alt = `Frame ${k} of ${model.get("titles")[t]}. ${said[t].move ?? ""}`;
    });
    table.show(said);
    setNow.forEach((one) => one(k, now));
    clock.textContent = `frame ${k} / ${length - 1}  \u00b7  ${(k / model.get("fps")).toFixed(1)} s`;
    const spoken = now.map((one) => (one ? `${one.letter}, ${words(one)}` : "no subtask"));
    slider.setAttribute("aria-valuenow", k);
    slider.setAttribute("aria-valuetext", `frame ${k} of ${length - 1}: ${spoken.join("; ")}`);
    place();
  }

  function drawTitles() {
    const titles = model.get("titles");
    root.setAttribute("aria-label", `Player: ${titles.join(" and ")}`);
    names.replaceChildren();
    figures.forEach((figure, t) => {
      figure.title.textContent = titles[t];
      figure.note.textContent = model.get("notes")[t];
      table.heads[t].textContent = titles[t];
      make("span", "", names, titles[t]).title = titles[t];
    });
  }

  function drawTimeline() {
    const palette = model.get("palette");
    segments = model.get("segments");
    lanes.replaceChildren();
    legend.replaceChildren();
    const pieces = segments.flatMap((line, t) => makeLane(lanes, line, lengths[t], length, palette));
    const items = makeLegend(legend, segments, palette).map((mark) => (_, now) => mark(now));
    setNow = [...pieces, ...items];
    show();
  }

  // ---- pointer and keys
  let dragging = false;
  let playAfter = false;
  function seek(event) {
    const box = slider.getBoundingClientRect();
    ask(Math.floor(((event.clientX - box.left) / box.width) * length));
  }
  slider.addEventListener("pointerdown", (event) => {
    [dragging, playAfter] = [true, playing];
    pause();
    slider.setPointerCapture(event.pointerId);
    seek(event);
  });
  slider.addEventListener("pointermove", (event) => dragging && seek(event));
  slider.addEventListener("lostpointercapture", () => {
    dragging = false;
    if (playAfter) play();
  });

  const keys = {
    " ": toggle,
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    ArrowDown: () => step(-1),
    ArrowUp: () => step(1),
    PageUp: () => jump(-1),
    PageDown: () => jump(1),
    Home: () => step(-length),
    End: () => step(length),
  };
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // what is typed in here is not for the notebook
    const own = event.target === speed || (event.key === " " && event.target.tagName === "BUTTON");
    if (own || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  const heard = { "change:shown": answered, "change:titles": drawTitles, "change:segments": drawTimeline };
  for (const [name, act] of Object.entries(heard)) model.on(name, act);
  drawTitles();
  drawTimeline();

  return () => {
    pause();
    clearTimeout(lateTimer);
    [...figures, table].forEach((part) => part.release());
    for (const [name, act] of Object.entries(heard)) model.off(name, act);
  };
}

export default { render };
