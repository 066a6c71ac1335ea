// What player and editor share: small helpers, and the timeline with its buttons, which asks Python for frames.
// `index` is the frame that is wanted, `shown` the one that Python has sent. Never more than one question is open: while the
// answer is on its way only the latest wish is remembered.
// All text from data goes through textContent, value, title or an aria attribute; none of it becomes markup.

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

// Buttons, slider and segments over `model`'s traits `index`, `shown`, `segments`, `lengths`, `palette`, `fps`.
// `show(k, now)` is called whenever frame k is there, `now` being each track's segment at that frame.
function makeTimeline({ model, root, parent, show }) {
  const lengths = model.get("lengths");
  const length = Math.max(...lengths);
  let wanted = model.get("index");
  let [playing, waiting, late] = [false, false, false];
  let askedAt = 0;
  let playTimer, lateTimer, segments, setNow;

  const bar = make("div", "rp-bar", parent);
  control(bar, "back", "One frame back", "left arrow", () => step(-1));
  const playButton = control(bar, "play", "Play", "space", toggle);
  control(bar, "next", "One frame on", "right arrow", () => step(1));
  const clock = make("span", "rp-clock", bar);
  const busy = make("span", "rp-busy", bar, "", { role: "status" });
  make("span", "rp-keys", bar, "space: play, arrows: step, page keys: subtask");
  const speed = make("select", "rp-speed", bar, "", { "aria-label": "Speed" });
  for (const value of SPEEDS) make("option", "", speed, `${value}\u00d7`, { value });
  speed.value = 1;

  const time = make("div", "rp-time", parent);
  const names = make("div", "rp-names", time);
  const about = { role: "slider", tabindex: 0, "aria-label": "Frame", "aria-valuemin": 0, "aria-valuemax": length - 1 };
  const slider = make("div", "rp-slider", time, "", about);
  const rail = make("div", "rp-rail", slider);
  const lanes = make("div", "rp-lanes", slider);
  const head = make("div", "rp-head", slider);
  const legend = make("div", "", parent);

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
    tell();
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

  function tell() {
    const k = model.get("shown");
    const now = segments.map((line) => line.find((one) => one.start <= k && k < one.stop));
    setNow.forEach((one) => one(k, now));
    clock.textContent = `frame ${k} / ${length - 1}  \u00b7  ${(k / model.get("fps")).toFixed(1)} s`;
    const spoken = now.map((one) => (one ? `${one.letter}, ${words(one)}` : "no subtask"));
    slider.setAttribute("aria-valuenow", k);
    slider.setAttribute("aria-valuetext", `frame ${k} of ${length - 1}: ${spoken.join("; ")}`);
    place();
    show(k, now);
  }

  function draw() {
    const palette = model.get("palette");
    segments = model.get("segments");
    lanes.replaceChildren();
    legend.replaceChildren();
    const pieces = segments.flatMap((line, t) => makeLane(lanes, line, lengths[t], length, palette));
    const items = makeLegend(legend, segments, palette).map((mark) => (_, now) => mark(now));
    setNow = [...pieces, ...items];
    tell();
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
    const typed = event.target.matches("input, textarea, select") || (event.key === " " && event.target.tagName === "BUTTON");
    if (typed || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  const heard = { "change:shown": answered, "change:segments": draw };
  for (const [name, act] of Object.entries(heard)) model.on(name, act);
  return {
    bar,
    names,
    draw,
    release() {
      pause();
      clearTimeout(lateTimer);
      for (const [name, act] of Object.entries(heard)) model.off(name, act);
    },
  };
}
