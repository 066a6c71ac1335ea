// The picture that the editor draws on: boxes with handles, and the gripper's points, as elements over the frame. Stands behind
// timeline.js. What is dragged or nudged moves here at once; Python is told when it rests, and what Python answers is drawn.

const SIDE = 256; // pixels of a chain's frame
const NUDGE = 2; // pixels that an arrow key moves
const LEAST = 4; // a smaller drag on the picture is a click
const REST = 350; // ms without a key after which a nudge is told
const GRIPS = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const ARROWS = { ArrowLeft: [-NUDGE, 0], ArrowRight: [NUDGE, 0], ArrowUp: [0, -NUDGE], ArrowDown: [0, NUDGE] };
const HINT = "Arrows move it by 2 pixels, with Shift they resize it. Enter: its name. Delete: without it.";

function within(value, most = SIDE) {
  return Math.min(Math.max(Math.round(value), 0), most);
}

// A box moved, all of it inside the frame.
function shifted([x1, y1, x2, y2], dx, dy) {
  const [left, top] = [within(x1 + dx, SIDE - x2 + x1), within(y1 + dy, SIDE - y2 + y1)];
  return [left, top, left + x2 - x1, top + y2 - y1];
}

// A box pulled at a side or corner; pulled over its other side it turns round.
function stretched([x1, y1, x2, y2], grip, dx, dy) {
  if (grip.includes("w")) x1 = within(x1 + dx);
  if (grip.includes("e")) x2 = within(x2 + dx);
  if (grip.includes("n")) y1 = within(y1 + dy);
  if (grip.includes("s")) y2 = within(y2 + dy);
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

function lay(node, [x1, y1, x2, y2]) {
  node.style.left = percent(x1, SIDE);
  node.style.top = percent(y1, SIDE);
  node.style.width = percent(x2 - x1, SIDE);
  node.style.height = percent(y2 - y1, SIDE);
  node.classList.toggle("re-low", y1 < 16); // no room for a name above it
  node.classList.toggle("re-small", Math.min(x2 - x1, y2 - y1) < 30); // room for handles at its corners only
  node.classList.toggle("re-far", x1 > SIDE / 2); // its name ends where the box does, not behind the picture's edge
  node.style.zIndex = SIDE * SIDE - (x2 - x1) * (y2 - y1); // small ones lie on large ones
}

function makeBox(layer, number, colour) {
  const node = make("div", "re-box", layer, "", { role: "button", tabindex: 0, "aria-description": HINT });
  node.dataset.number = number;
  node.style.setProperty("--re-colour", colour);
  make("span", "re-tag", node);
  for (const grip of GRIPS) make("i", `re-grip re-${grip}`, node).dataset.grip = grip;
  return node;
}

function makePath(parent) {
  const [svg, shade, line] = ["svg", "polyline", "polyline"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("class", "re-path");
  svg.setAttribute("viewBox", `0 0 ${SIDE} ${SIDE}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(shade, line);
  parent.append(svg);
  return (points) => [shade, line].forEach((one) => one.setAttribute("points", points.join(" ")));
}

// `act(edit)` tells Python, `chosen(number)` says which box is chosen (-1: none), `named(number)` asks for its name.
function makeCanvas({ parent, size: [width, height], palette, act, chosen, named }) {
  const canvas = make("div", "re-canvas", parent);
  canvas.style.aspectRatio = `${width} / ${height}`;
  canvas.style.maxWidth = `${(480 * width) / height}px`;
  const image = make("img", "re-image", canvas, "", { draggable: "false" });
  const trace = makePath(canvas);
  const about = { role: "group", tabindex: -1, "aria-label": "Boxes and gripper; drag over the picture for a new box" };
  const layer = make("div", "re-layer", canvas, "", about);
  const fresh = make("div", "re-fresh", layer);
  fresh.hidden = true;
  const boxes = []; // nodes
  const dots = [];
  let drawn = { step: -1, boxes: [], points: [] };
  let at = -1; // the chosen box
  let drag = null; // what the pointer holds
  let nudge = null; // what the keys have moved and Python has not been told
  let timer, url, shown;

  // ---- showing
  function fitted(nodes, count, create) {
    while (nodes.length > count) nodes.pop().remove();
    while (nodes.length < count) nodes.push(create(nodes.length));
  }

  function draw(state) {
    if (state.step !== drawn.step) flush();
    else if (drag || nudge) return void (drawn = state); // drawn when it rests
    const held = layer.contains(document.activeElement) && at >= 0;
    drawn = state;
    fitted(boxes, state.boxes.length, (k) => makeBox(layer, k, palette[k % palette.length]));
    fitted(dots, state.points.length, makeDot);
    state.boxes.forEach(({ name, xyxy }, k) => {
      boxes[k].firstChild.textContent = name;
      boxes[k].setAttribute("aria-label", `${name}, box ${xyxy.join(" ")}`);
      lay(boxes[k], xyxy);
    });
    placePoints(state.points);
    choose(Math.min(at, boxes.length - 1));
    if (held && !layer.contains(document.activeElement)) (boxes[at] ?? layer).focus(); // the one that had it is gone
  }

  function makeDot(k) {
    const dot = make("div", "re-dot", layer, "", { role: "button", tabindex: 0, "aria-description": "Arrows move it by 2 pixels." });
    dot.dataset.point = k;
    return dot;
  }

  function placePoints(points) {
    points.forEach(([x, y], k) => {
      dots[k].style.left = percent(x, SIDE);
      dots[k].style.top = percent(y, SIDE);
      dots[k].classList.toggle("re-last", k === points.length - 1);
      dots[k].setAttribute("aria-label", `Gripper ${k ? `in ${k}` : "now"}, ${x} ${y}`);
    });
    trace(points);
  }

  function choose(number) {
    at = number;
    boxes.forEach((node, k) => {
      node.classList.toggle("re-on", k === at);
      node.setAttribute("aria-pressed", k === at);
    });
    chosen(at);
  }

  // ---- moving: `hold` knows what was taken and where it was, `put` shows where it is now
  function hold(node, from, more = {}) {
    if (node.dataset.point) return { point: +node.dataset.point, before: drawn.points[node.dataset.point], from, ...more };
    return { number: +node.dataset.number, before: drawn.boxes[node.dataset.number].xyxy, from, ...more };
  }

  function put(held, now) {
    held.now = now;
    if (held.point === undefined) return lay(held.number === undefined ? fresh : boxes[held.number], now);
    placePoints(drawn.points.map((point, k) => (k === held.point ? now : point)));
  }

  function moved(held, dx, dy) {
    const [x, y] = held.before;
    if (held.point !== undefined) return [within(x + dx, SIDE - 1), within(y + dy, SIDE - 1)];
    return held.grip ? stretched(held.before, held.grip, dx, dy) : shifted(held.before, dx, dy);
  }

  function tell(held) {
    if (!held.now || `${held.now}` === `${held.before}`) return;
    const { step, boxes: before, points } = drawn;
    // the next move begins where this one ended, whether Python has answered or not
    if (held.point !== undefined) {
      drawn = { ...drawn, points: points.map((point, k) => (k === held.point ? held.now : point)) };
      act({ do: "move_point", step, number: held.point, xy: held.now });
    } else {
      drawn = { ...drawn, boxes: before.map((box, k) => (k === held.number ? { ...box, xyxy: held.now } : box)) };
      act({ do: "move_box", step, number: held.number, xyxy: held.now });
    }
  }

  // ---- pointer
  function pixel(event) {
    const area = layer.getBoundingClientRect();
    return [((event.clientX - area.left) / area.width) * SIDE, ((event.clientY - area.top) / area.height) * SIDE];
  }

  function take(event) {
    if (event.button || drag) return;
    flush();
    const node = event.target.closest("[data-number], [data-point]");
    const from = pixel(event);
    if (node) drag = hold(node, from, { grip: event.target.dataset.grip });
    else drag = { before: [...from, ...from].map((v) => within(v)), from, grip: "se" };
    if (node?.dataset.number) choose(+node.dataset.number);
    (node ?? layer).focus({ preventScroll: true });
    layer.setPointerCapture(event.pointerId);
  }

  function pull(event) {
    if (!drag) return;
    const [x, y] = pixel(event);
    put(drag, moved(drag, x - drag.from[0], y - drag.from[1]));
    fresh.hidden = drag.number !== undefined || drag.point !== undefined;
  }

  function drop() {
    const held = drag;
    drag = null;
    fresh.hidden = true;
    if (!held) return;
    const [x1, y1, x2, y2] = held.now ?? [0, 0, 0, 0];
    if (held.number !== undefined || held.point !== undefined) tell(held);
    else if (x2 - x1 < LEAST || y2 - y1 < LEAST) choose(-1);
    else act({ do: "add_box", step: drawn.step, name: "new thing", xyxy: held.now });
    draw(drawn);
  }

  layer.addEventListener("pointerdown", take);
  layer.addEventListener("pointermove", pull);
  layer.addEventListener("lostpointercapture", drop);

  // ---- keys
  function flush() {
    clearTimeout(timer);
    const held = nudge;
    nudge = null;
    if (held) tell(held);
  }

  function nudged(node, [dx, dy], grip) {
    if (!nudge || nudge.node !== node || nudge.grip !== grip) {
      flush();
      nudge = { ...hold(node), node, grip, by: [0, 0] };
    }
    nudge.by = [nudge.by[0] + dx, nudge.by[1] + dy];
    put(nudge, moved(nudge, ...nudge.by));
    clearTimeout(timer);
    timer = setTimeout(flush, REST);
  }

  function key(event) {
    const node = event.target.closest("[data-number], [data-point]");
    const number = node?.dataset.number;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      drag = nudge = null;
      draw(drawn);
      choose(-1);
      layer.focus();
    } else if (node && ARROWS[event.key]) nudged(node, ARROWS[event.key], event.shiftKey && number ? "se" : undefined);
    else if (number && ["Delete", "Backspace"].includes(event.key)) act({ do: "delete_box", step: drawn.step, number: +number });
    else if (number && ["Enter", " ", "F2"].includes(event.key)) named(+number);
    else return;
    event.preventDefault();
  }

  layer.addEventListener("keydown", key);
  layer.addEventListener("focusin", (event) => event.target.dataset.number && choose(+event.target.dataset.number));
  layer.addEventListener("focusout", flush);

  return {
    draw,
    choose,
    flush,
    show(bytes, text) {
      image.alt = text;
      if (bytes === shown) return;
      if (url) setTimeout(URL.revokeObjectURL, 1000, url); // it may still be loading
      shown = bytes;
      image.src = url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    },
    release() {
      flush();
      URL.revokeObjectURL(url);
    },
  };
}
