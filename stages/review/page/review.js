
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);
  const ANSWERS = {
    box: [["right", "1", "Right"], ["wrong_box", "2", "Wrong box"], ["wrong_phrase", "3", "Wrong phrase"], ["unsure", "4", "Unsure"]],
    phrase: [["there", "Enter", "Here it is"], ["absent", "1", "Not in the image"], ["unsure", "4", "Unsure"]],
  };
  const QUESTIONS = {
    box: "Does the box show what the marked phrase names?",
    phrase: "Is it in the image? Draw a box around each one.",
  };
  const HINTS = {
    box: "Wrong box: the thing is elsewhere, or the box is too large or too small by half. Wrong phrase: the box shows something else. ← back, Z undo.",
    phrase: "Drag to draw, or B for a box, arrows to move it, Shift and arrows to size it, X to remove it. ← back, Z undo.",
  };
  const BUTTONS = [["remove", "X", "Remove box"], ["back", "←", "Back"], ["undo", "Z", "Undo"]];
  let tasks = [];
  let at = 0;
  let drawn = [];
  let saving = false;
  let said = []; // tasks judged since the page was opened, the last one last
  const reviewer = () => $("name").value.trim();

  function make(tag, text, className) {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    return node;
  }

  // ---- what is shown ----

  // Spans count code points, strings in JavaScript count UTF-16 units.
  function showCaption(task) {
    const text = Array.from(task.caption);
    const [start, end] = task.span;
    const marked = make("mark", text.slice(start, end).join(""));
    $("caption").replaceChildren(text.slice(0, start).join(""), marked, text.slice(end).join(""));
    marked.scrollIntoView({ block: "nearest" });
  }

  function rectangle(box, className) {
    const node = document.createElementNS(SVG, "rect");
    const [x1, y1, x2, y2] = box;
    const values = { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0), class: className };
    for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
    return node;
  }

  function drawBoxes(svg, boxes, active) {
    svg.replaceChildren(...boxes.flatMap((box, i) => [rectangle(box, "under"), rectangle(box, i === active ? "box active" : "box")]));
  }

  // `area`: the part of the image that the file shows.
  function show(stage, url, area, boxes) {
    const [x1, y1, x2, y2] = area;
    stage.style.setProperty("--ratio", (x2 - x1) / (y2 - y1));
    const image = make("img");
    image.alt = "";
    image.onerror = () => image.replaceWith(make("p", "This image cannot be shown.", "gone"));
    image.src = url;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `${x1} ${y1} ${x2 - x1} ${y2 - y1}`);
    svg.setAttribute("preserveAspectRatio", "none");
    drawBoxes(svg, boxes, tasks[at].kind === "phrase" ? boxes.length - 1 : -1);
    stage.replaceChildren(image, svg);
  }

  function showTask() {
    const task = tasks[at];
    const isBox = task.kind === "box";
    drawn = task.boxes.map((box) => [...box]);
    $("views").className = task.kind;
    $("crop-view").hidden = !isBox;
    $("whole").classList.toggle("drawing", !isBox);
    show($("whole"), `image/${at}`, [0, 0, ...task.size], isBox ? [task.box] : drawn);
    if (isBox) show($("crop"), `crop/${at}`, task.crop, [task.box]);
    showCaption(task);
    $("question").textContent = QUESTIONS[task.kind];
    $("hint").textContent = HINTS[task.kind];
    $("answers").replaceChildren(...ANSWERS[task.kind].map(([verdict, key, words]) => {
      const button = make("button", undefined, task.verdict === verdict ? "chosen" : "");
      button.type = "button";
      button.dataset.verdict = verdict;
      button.append(make("kbd", key), words);
      button.addEventListener("click", () => judge(verdict));
      return button;
    }), ...(isBox ? BUTTONS.slice(1) : BUTTONS).map(([action, key, words]) => {
      const button = make("button");
      button.type = "button";
      button.dataset.action = action;
      button.append(make("kbd", key), words);
      button.addEventListener("click", () => ACTIONS[action]());
      return button;
    }));
    const done = tasks.filter((other) => other.verdict).length;
    $("progress").max = tasks.length;
    $("progress").value = done;
    $("place").textContent = `${at + 1} of ${tasks.length}, ${done} judged`;
    document.body.dataset.task = at;
    if (at + 1 < tasks.length) new Image().src = `image/${at + 1}`;
  }

  function showEnd() {
    $("place").textContent = `All ${tasks.length} are judged. Thank you!`;
    $("progress").value = tasks.length;
    $("question").textContent = "Close this page, and stop the command with Ctrl-C to see the figures.";
    document.body.dataset.task = "end";
  }

  // ---- what is said ----

  async function send(task, verdict, boxes) {
    if (saving) return false;
    saving = true;
    try {
      const body = JSON.stringify({ reviewer: reviewer(), task, verdict, boxes });
      const answer = await fetch("judge", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      if (!answer.ok) throw new Error(await answer.text());
      $("saved").textContent = "saved";
      $("saved").className = "";
      tasks[task].verdict = verdict;
      tasks[task].boxes = boxes;
      return true;
    } catch (error) {
      $("saved").textContent = `not saved: ${error.message}`;
      $("saved").className = "bad";
      return false;
    } finally {
      saving = false;
    }
  }

  async function judge(verdict) {
    const here = at;
    if (verdict === "there" && !drawn.length) {
      $("hint").textContent = "Draw a box around it first, or choose “Not in the image”.";
      return;
    }
    if (!(await send(here, verdict, verdict === "there" ? drawn : []))) return;
    said.push(here);
    forward(here);
  }

  function forward(here) {
    const open = (task) => !task.verdict;
    const later = tasks.findIndex((task, i) => i > here && open(task));
    const next = later >= 0 ? later : tasks.findIndex(open);
    if (next < 0) { at = here; showTask(); showEnd(); return; }
    at = next;
    showTask();
  }

  const ACTIONS = {
    remove: () => press("x"),
    back() {
      if (at > 0) { at -= 1; showTask(); }
    },
    async undo() {
      const last = said.at(-1);
      if (last === undefined || !(await send(last, null, []))) return;
      said = said.filter((task) => task !== last);
      at = last;
      showTask();
    },
  };

  // ---- drawing ----

  const STEP = 0.02; // of the image's sides, for each press of an arrow
  const redraw = () => drawBoxes($("whole").querySelector("svg"), drawn, drawn.length - 1);

  function press(key, grow) {
    const [width, height] = tasks[at].size;
    const box = drawn.at(-1);
    if (key === "b") drawn.push([width * 0.35, height * 0.35, width * 0.65, height * 0.65]);
    else if (key === "x") drawn.pop();
    else if (box) {
      const dx = { ArrowLeft: -1, ArrowRight: 1 }[key] * width * STEP || 0;
      const dy = { ArrowUp: -1, ArrowDown: 1 }[key] * height * STEP || 0;
      if (!grow) { box[0] = Math.min(Math.max(box[0] + dx, 0), box[2] - 2); box[1] = Math.min(Math.max(box[1] + dy, 0), box[3] - 2); }
      box[2] = Math.min(Math.max(box[2] + dx, box[0] + 2), width);
      box[3] = Math.min(Math.max(box[3] + dy, box[1] + 2), height);
    }
    redraw();
  }

  function point(event) {
    const [width, height] = tasks[at].size;
    const area = $("whole").getBoundingClientRect();
    const clamp = (value) => Math.min(Math.max(value, 0), 1);
    return [clamp((event.clientX - area.left) / area.width) * width, clamp((event.clientY - area.top) / area.height) * height];
  }

  // One finger, pen or left button draws; another one at the same time draws nothing.
  $("whole").addEventListener("pointerdown", (event) => {
    if (!tasks.length || tasks[at].kind !== "phrase" || !event.isPrimary || event.button) return;
    event.preventDefault();
    $("whole").setPointerCapture(event.pointerId);
    const [fromX, fromY] = point(event);
    const box = [fromX, fromY, fromX, fromY];
    drawn.push(box);
    const over = new AbortController();
    const on = (kind, act) => $("whole").addEventListener(kind, (own) => {
      if (own.pointerId !== event.pointerId) return;
      act(own);
      redraw();
    }, { signal: over.signal });
    const end = (keep) => {
      over.abort();
      if (!keep) drawn = drawn.filter((other) => other !== box);
    };
    on("pointermove", (moved) => {
      const [x, y] = point(moved);
      box.splice(0, 4, Math.min(fromX, x), Math.min(fromY, y), Math.max(fromX, x), Math.max(fromY, y));
    });
    on("pointerup", () => end(box[2] - box[0] >= 2 && box[3] - box[1] >= 2));
    on("pointercancel", () => end(false)); // the system has taken the finger for something else
  });

  document.addEventListener("keydown", (event) => {
    if ($("review").hidden || event.ctrlKey || event.altKey || event.metaKey || event.repeat && event.key.length === 1) return;
    const task = tasks[at];
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const drawing = task.kind === "phrase" && (key === "b" || key === "x" || (key.startsWith("Arrow") && drawn.length));
    const answer = ANSWERS[task.kind].find(([, own]) => own === key);
    if (drawing) press(key, event.shiftKey);
    else if (answer) judge(answer[0]);
    else if (key === "ArrowLeft") ACTIONS.back();
    else if (key === "z") ACTIONS.undo();
    else return;
    event.preventDefault();
  });

  // ---- beginning ----

  async function begin() {
    const answer = await fetch(`state?reviewer=${encodeURIComponent(reviewer())}`);
    if (!answer.ok) {
      $("problem").textContent = await answer.text();
      return;
    }
    tasks = (await answer.json()).tasks;
    sessionStorage.setItem("reviewer", reviewer());
    $("welcome").hidden = true;
    $("review").hidden = false;
    forward(-1);
  }

  $("welcome").addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
  });
  const known = sessionStorage.getItem("reviewer");
  if (known) {
    $("name").value = known;
    begin();
  } else {
    $("name").focus();
  }
})();
