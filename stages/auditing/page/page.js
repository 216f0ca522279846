"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const count = new Intl.NumberFormat("en");
  const SVG = "http://www.w3.org/2000/svg";

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // ---- thresholds ----
  function moveCursors(value) {
    for (const line of document.querySelectorAll(".cursor")) {
      const { from, to, low, high } = line.dataset;
      const x = +from + (+to - +from) * (value - +low) / (+high - +low);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
  }

  function tell(id, text, share) {
    const node = $(id);
    if (!node) return;
    node.textContent = text;
    if (share) node.append(make("small", "", share));
  }

  function showThreshold() {
    const value = +$("threshold").value;
    const nearest = (rows) => rows.reduce((a, b) => (Math.abs(b[0] - value) < Math.abs(a[0] - value) ? b : a));
    const [at, pairs, boxes, unique] = nearest(data.thresholds);
    const full = data.thresholds[0];
    const share = (part, whole) => (whole ? `${(100 * part / whole).toFixed(1)}%` : "");
    $("at").textContent = at.toFixed(2);
    tell("t-pairs", count.format(pairs), share(pairs, full[1]));
    tell("t-boxes", count.format(boxes), share(boxes, full[2]));
    tell("t-unique", count.format(unique), share(unique, full[3]));
    tell("t-density", pairs ? (boxes / pairs).toFixed(2) : "–");
    if (data.gold.length) {
      const [, precision, recall] = nearest(data.gold);
      tell("t-precision", precision === null ? "–" : `${(100 * precision).toFixed(1)}%`);
      tell("t-recall", `${(100 * recall).toFixed(1)}%`);
    }
    moveCursors(at);
  }

  if ($("threshold")) {
    $("threshold").addEventListener("input", showThreshold);
    showThreshold();
  }

  // ---- lists ----
  for (const button of document.querySelectorAll("button.more")) {
    button.addEventListener("click", () => {
      button.previousElementSibling.classList.add("open");
      button.remove();
    });
  }

  // ---- pictures ----
  if (!data.pictures.length) return;
  const NAMES = {
    sample: "seeded sample", lowest_score: "lowest kept score", most_boxes: "most boxes", largest_box: "largest box",
    most_crowded: "most crowded", nothing_found: "asked most, nothing found", rarest_phrases: "rarest phrases",
    confident_errors: "confident, but not in the truth",
  };
  const PAGE = 24;
  const gallery = $("gallery");
  let chosen = [];
  let shown = 0;

  function option(value, text) {
    const node = make("option", "", text);
    node.value = value;
    return node;
  }

  function fillChoices() {
    const galleries = [...new Set(data.pictures.flatMap((p) => p.galleries))];
    const reasons = [...new Set(data.pictures.flatMap((p) => (p.boxes || []).map((b) => b[6])))].filter(Boolean).sort();
    $("f-gallery").append(...galleries.map((g) => option(g, NAMES[g] || g)), option("", "all of them"));
    $("f-reason").append(option("kept", "kept"), option("all", "kept and dropped"));
    $("f-reason").append(...reasons.map((r) => option(r, `dropped: ${r}`)));
  }

  // Boxes of a picture that the filters let through.
  function boxesOf(picture) {
    const score = +$("f-score").value;
    const reason = $("f-reason").value;
    const phrase = $("f-phrase").value.trim().toLowerCase();
    return (picture.boxes || []).filter((b) => b[5] >= score
      && (reason === "all" || (reason === "kept" ? !b[6] : b[6] === reason))
      && (!phrase || picture.phrases[b[0]][2].includes(phrase)));
  }

  function matches(picture) {
    const wanted = $("f-gallery").value;
    if (wanted && !picture.galleries.includes(wanted)) return false;
    const phrase = $("f-phrase").value.trim().toLowerCase();
    if (phrase && !(picture.phrases || []).some((p) => p[2].includes(phrase))) return false;
    const narrow = +$("f-score").value > 0 || $("f-reason").value !== "kept";
    return !narrow || boxesOf(picture).length > 0;
  }

  function light(card, phrase) {
    card.classList.toggle("lit", phrase !== null);
    for (const node of card.querySelectorAll("[data-phrase]")) node.classList.toggle("on", node.dataset.phrase === phrase);
  }

  function rect(box, className, phrase) {
    const node = document.createElementNS(SVG, "rect");
    node.setAttribute("class", className);
    node.setAttribute("x", box[0]);
    node.setAttribute("y", box[1]);
    node.setAttribute("width", Math.max(box[2] - box[0], 0));
    node.setAttribute("height", Math.max(box[3] - box[1], 0));
    if (phrase !== undefined) node.dataset.phrase = phrase;
    return node;
  }

  function drawBoxes(picture) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    for (const [phrase, x1, y1, x2, y2, score, reason] of boxesOf(picture)) {
      const box = [x1, y1, x2, y2];
      const node = rect(box, `box k${phrase % 8}${reason ? " out" : ""}`, phrase);
      const title = document.createElementNS(SVG, "title");
      title.textContent = `${picture.phrases[phrase][2]}  ${score.toFixed(3)}${reason ? `  ${reason}` : ""}`;
      node.append(title);
      svg.append(rect(box, "under", phrase), node);
    }
    if ($("f-gold") && $("f-gold").checked) {
      for (const box of picture.gold || []) svg.append(rect(box, "under"), rect(box, "box true"));
    }
    return svg;
  }

  // Spans count code points, strings in JavaScript count UTF-16 units: so the caption is split into code points first.
  function drawCaption(picture) {
    const line = make("p", "caption");
    line.dir = "auto";
    const text = Array.from(picture.caption);
    const grounded = new Set(boxesOf(picture).map((b) => b[0]));
    let at = 0;
    const order = (picture.phrases || []).map((p, i) => [...p, i]).sort((a, b) => a[0] - b[0]);
    for (const [start, end, , i] of order) {
      if (start < at || end > text.length) continue;
      line.append(text.slice(at, start).join(""));
      const span = make("mark", grounded.has(i) ? `k${i % 8}` : "none", text.slice(start, end).join(""));
      if (grounded.has(i)) span.dataset.phrase = i;
      line.append(span);
      at = end;
    }
    line.append(text.slice(at).join(""));
    return line;
  }

  function card(picture) {
    const node = make("article", "card");
    const shot = make("div", "shot");
    shot.style.aspectRatio = `${picture.width || 4} / ${picture.height || 3}`;
    if (picture.thumbnail) {
      const image = make("img");
      image.loading = "lazy";
      image.decoding = "async";
      image.alt = "";
      image.src = `data:image/webp;base64,${picture.thumbnail}`;
      shot.append(image);
    } else {
      shot.append(make("div", "gone", picture.missing || "no image"));
    }
    shot.append(drawBoxes(picture));
    const boxes = boxesOf(picture);
    const best = boxes.length ? `, best ${Math.max(...boxes.map((b) => b[5])).toFixed(2)}` : "";
    const more = picture.more_boxes ? `, ${picture.more_boxes} more not drawn` : "";
    node.append(shot, drawCaption(picture), make("p", "meta", `${picture.key} · ${boxes.length} boxes${best}${more}`));
    node.addEventListener("pointerover", (event) => {
      const target = event.target.closest("[data-phrase]");
      light(node, target ? target.dataset.phrase : null);
    });
    node.addEventListener("pointerleave", () => light(node, null));
    return node;
  }

  function more() {
    const next = chosen.slice(shown, shown + PAGE);
    gallery.append(...next.map(card));
    shown += next.length;
  }

  function refresh() {
    $("f-score-at").textContent = (+$("f-score").value).toFixed(2);
    chosen = data.pictures.filter(matches);
    shown = 0;
    gallery.replaceChildren();
    $("f-count").textContent = `${count.format(chosen.length)} of ${count.format(data.pictures.length)} pictures`;
    more();
  }

  fillChoices();
  for (const id of ["f-gallery", "f-phrase", "f-score", "f-reason", "f-gold"]) {
    if ($(id)) $(id).addEventListener("input", refresh);
  }
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll("button.phrase")) {
    button.addEventListener("click", () => {
      $("f-phrase").value = button.dataset.phrase;
      $("f-gallery").value = "";
      refresh();
      $("pictures").scrollIntoView();
    });
  }
  const end = make("div");
  gallery.after(end);
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && shown < chosen.length) more();
  }, { rootMargin: "1200px" }).observe(end);
  refresh();
})();
