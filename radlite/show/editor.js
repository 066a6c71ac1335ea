// The editor's front end: the picture to draw on (canvas.js), the chain's fields and boxes as text and numbers, the timeline
// (timeline.js). What somebody does goes to Python as a message {do, step, ...}; Python checks it, does it, and answers with
// `state`, or says in `told` why not. What was typed and refused stays where it was typed.

const SCOPES = { frame: "this frame", segment: "this segment", episode: "the whole episode" };
let views = 0; // radio buttons of two views must not share a name

// ------------------------------------------------------------------------------------------ one thing to type into
// `commit(text, step)` is called when it is left or Enter is pressed, if its text is another one.
function makeEntry(input, commit) {
  let [filled, sent, step] = ["", null, -1];
  const send = () => {
    if (input.value === filled || input.value === sent) return;
    sent = input.value;
    commit(input.value, step);
  };
  input.addEventListener("change", send);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Enter") return send();
    input.value = filled;
    input.dispatchEvent(new Event("input"));
    mark(false);
  });
  const mark = (bad) => input.setAttribute("aria-invalid", bad);
  return {
    input,
    // What Python has; a text that is being typed, or was refused, stays.
    fill(text, k) {
      if (k !== step) send();
      else if (input.value !== filled && text === filled) return;
      [filled, sent, step] = [text, null, k];
      input.value = text;
      input.dispatchEvent(new Event("input"));
      mark(false);
    },
    answered(bad) {
      if (sent === null) return;
      if (!bad && input.value === sent) input.value = filled; // it was the same in other letters
      mark(bad && input.value === sent);
      sent = null;
      input.dispatchEvent(new Event("input"));
    },
  };
}

// ------------------------------------------------------------------------------------------ the chain's text
function makeField(parent, row, act) {
  const label = make("label", "re-field", parent);
  const head = make("span", "re-name", label, row.title);
  head.style.setProperty("--rp-light", row.light);
  head.style.setProperty("--rp-dark", row.dark);
  const area = make("textarea", "re-text", label, "", { rows: 1, placeholder: "not said", spellcheck: "false" });
  area.dataset.field = row.name;
  const grow = () => {
    area.style.height = "";
    area.style.height = `${area.scrollHeight + 2}px`;
  };
  area.addEventListener("input", grow);
  let width = 0; // its own growing must not wake it again
  const watch = new ResizeObserver(() => width !== label.offsetWidth && grow((width = label.offsetWidth)));
  watch.observe(label);
  const entry = makeEntry(area, (value, step) => act({ do: "set_field", step, field: row.name, value }));
  return { ...entry, name: row.name, release: () => watch.disconnect() };
}

// ------------------------------------------------------------------------------------------ the boxes as numbers
function makeRow(body, number, colour, act, choose) {
  const row = make("tr", "", body);
  row.style.setProperty("--re-colour", colour);
  const cell = (name, attributes) => make("input", "", make("td", "", row), "", { "aria-label": name, ...attributes });
  const sides = ["x1", "y1", "x2", "y2"];
  const edges = sides.map((side) => [`${side} of box ${number + 1}`, { type: "number", min: 0, max: SIDE, step: 1 }]);
  const name = cell(`Name of box ${number + 1}`, { type: "text", spellcheck: "false" });
  const numbers = edges.map((edge) => cell(...edge));
  const rename = makeEntry(name, (text, step) => act({ do: "rename_box", step, number, name: text }));
  const whole = (_, step) => act({ do: "move_box", step, number, xyxy: numbers.map((one) => one.valueAsNumber) });
  const entries = numbers.map((one) => makeEntry(one, whole));
  const button = make("button", "re-delete", make("td", "", row), "\u00d7", { type: "button" });
  let at = -1;
  button.addEventListener("click", () => act({ do: "delete_box", step: at, number }));
  row.addEventListener("focusin", () => choose(number));
  return {
    row,
    name,
    entries: [rename, ...entries],
    fill(box, step) {
      at = step;
      rename.fill(box.name, step);
      entries.forEach((entry, k) => entry.fill(`${box.xyxy[k]}`, step));
      button.setAttribute("aria-label", `Delete box ${number + 1}, ${box.name}`);
    },
  };
}

function makeBoxes(parent, palette, act, choose) {
  const table = make("table", "re-boxes", parent, "", { "aria-label": "Visible objects" });
  const top = make("tr", "", make("thead", "", table));
  for (const text of ["Visible objects", "x1", "y1", "x2", "y2", ""]) make("th", "", top, text, { scope: "col" });
  const body = make("tbody", "", table);
  const empty = make("p", "rp-soft", parent);
  const add = make("button", "re-button", parent, "New box", { type: "button" });
  add.title = "A box in the middle";
  make("span", "rp-soft re-hint", parent, "or drag over the picture. Arrows move a box, with Shift they resize it; Delete removes it.");
  const rows = [];
  return {
    rows,
    add,
    draw({ boxes, step, looked }) {
      while (rows.length > boxes.length) rows.pop().row.remove();
      while (rows.length < boxes.length) rows.push(makeRow(body, rows.length, palette[rows.length % palette.length], act, choose));
      boxes.forEach((box, k) => rows[k].fill(box, step));
      table.hidden = !boxes.length;
      empty.hidden = boxes.length > 0;
      empty.textContent = looked ? "Visible objects: none." : "Visible objects: not said.";
    },
    choose: (number) => rows.forEach(({ row }, k) => row.classList.toggle("re-on", k === number)),
  };
}

// ------------------------------------------------------------------------------------------ what an edit holds for
function makeScope(parent) {
  const group = make("fieldset", "re-scope", parent);
  make("legend", "", group, "An edit holds for");
  const name = `radlite-scope-${(views += 1)}`;
  const inputs = Object.entries(SCOPES).map(([value, text]) => {
    const label = make("label", "", group);
    const input = make("input", "", label, "", { type: "radio", name, value });
    return { input, text: make("span", "", label, text) };
  });
  inputs[0].input.checked = true;
  return {
    get value() {
      return inputs.find(({ input }) => input.checked).input.value;
    },
    set: (value) => inputs.forEach(({ input }) => (input.checked = input.value === value)),
    draw({ step, segment: [first, last] }) {
      inputs[0].text.textContent = `${SCOPES.frame}, ${step}`;
      inputs[1].text.textContent = first === last ? SCOPES.segment : `${SCOPES.segment}, ${first} to ${last}`;
    },
  };
}

// ------------------------------------------------------------------------------------------ the whole
function render({ model, el }) {
  const palette = model.get("palette");
  const root = make("div", "rp rp-one re", el, "", { role: "group", tabindex: -1 });
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab: "dd" typed in here deletes no cell
  root.setAttribute("aria-label", `Editor: ${model.get("titles")[0]}`);
  let open = 0; // messages that are not answered yet
  let awaited = ""; // what this view has asked for, and will go on with
  let state = model.get("state");

  function act(message) {
    canvas.flush();
    awaited = message.do;
    open += 1;
    const scoped = ["set_field", "add_box", "move_box", "rename_box", "delete_box"].includes(message.do);
    model.send(scoped ? { ...message, scope: scope.value } : message);
  }

  const caption = make("div", "re-caption", root);
  make("span", "rp-title", caption, model.get("titles")[0]);
  make("span", "rp-soft", caption, model.get("notes")[0]);
  const mark = make("span", "re-unsaved", caption, "not saved");
  const scope = makeScope(root);
  const stage = make("div", "re-stage", root);
  const left = make("div", "re-left", stage);
  const right = make("div", "re-right", stage, "", { role: "group", "aria-label": "Chain of reasoning" });
  const chosen = (number) => boxes.choose(number);
  const canvas = makeCanvas({ parent: left, size: model.get("size"), palette, act, chosen, named: askName });
  const boxes = makeBoxes(left, palette, act, (number) => canvas.choose(number));
  const fields = model.get("fields").map((row) => makeField(right, row, act));
  const status = make("div", "re-status", root, "", { role: "status" });
  const foot = make("div", "rp-controls", root);
  const timeline = makeTimeline({ model, root, parent: foot, show });
  const tools = make("div", "re-tools", foot);
  timeline.bar.after(tools);
  const tool = (text, act) => {
    const button = make("button", "re-button", tools, text, { type: "button" });
    button.addEventListener("click", act);
    return button;
  };
  const undo = tool("Undo", () => act({ do: "undo" }));
  const redo = tool("Redo", () => act({ do: "redo" }));
  const split = tool("Split segment here", () => act({ do: "split", step: state.step }));
  const merge = tool("Merge with next", () => act({ do: "merge", step: state.step }));
  const place = make("label", "re-place", tools, "Save to");
  const path = make("input", "", place, "", { type: "text", placeholder: "a folder, such as runs/edited", spellcheck: "false" });
  const save = tool("Save", () => act({ do: "save", path: path.value }));
  save.classList.add("re-save");

  boxes.add.addEventListener("click", () => act({ do: "add_box", step: state.step, name: "new thing", xyxy: [96, 96, 160, 160] }));
  path.addEventListener("keydown", (event) => event.key === "Enter" && save.click());
  root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.target.matches("textarea, input:not([type=radio])")) return;
    const key = event.key.toLowerCase();
    if (!["z", "y"].includes(key)) return;
    event.preventDefault();
    act({ do: key === "y" || event.shiftKey ? "redo" : "undo" });
  });

  function askName(number) {
    boxes.rows[number]?.name.focus();
    boxes.rows[number]?.name.select();
  }

  const entries = () => [...fields, ...boxes.rows.flatMap((row) => row.entries)];

  function show() {
    const last = state.step;
    state = model.get("state");
    if (state.step !== model.get("shown")) return; // the rest is on its way
    canvas.show(model.get("pictures")[0], `Frame ${state.step}`);
    if (open < 2 || last !== state.step) canvas.draw(state); // else it has moved on meanwhile
    boxes.draw(state);
    scope.draw(state);
    for (const field of fields) field.fill(state.fields[field.name] ?? "", state.step);
    mark.hidden = !state.unsaved;
    [undo, redo].forEach((button, k) => {
      const what = [state.undo, state.redo][k];
      button.disabled = !what;
      button.title = what ? `${button.textContent}: ${what}` : `Nothing to ${button.textContent.toLowerCase()}`;
    });
    split.disabled = state.segment[0] === state.step;
    split.title = split.disabled ? "Go to a frame inside a segment" : `From frame ${state.step} on another subtask`;
    merge.disabled = state.segment[1] === state.last;
    merge.title = merge.disabled ? "This segment is the last" : "The next segment takes this one's subtask and plan";
  }

  function told() {
    const { text, bad, box } = model.get("told");
    status.textContent = text;
    status.classList.toggle("re-bad", bad);
    for (const entry of entries()) entry.answered(bad);
    open = Math.max(0, open - 1);
    if (!open) canvas.draw(state);
    const next = bad ? "" : awaited;
    awaited = "";
    if (next === "add_box" && box >= 0) {
      canvas.choose(box);
      askName(box);
    }
    if (next === "split") {
      scope.set("segment");
      const { input } = fields.find((field) => field.name === "subtask");
      input.focus();
      input.select();
    }
  }

  function drawTarget() {
    path.value = model.get("target");
  }

  const heard = { "change:state": show, "change:told": told, "change:target": drawTarget };
  for (const [name, hear] of Object.entries(heard)) model.on(name, hear);
  drawTarget();
  timeline.draw();
  return () => {
    [canvas, timeline, ...fields].forEach((part) => part.release());
    for (const [name, hear] of Object.entries(heard)) model.off(name, hear);
  };
}

export default { render };
