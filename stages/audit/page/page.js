(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { make, shot, caption, lightUp } = phrasebox;
  const $ = (id) => document.getElementById(id);
  const count = new Intl.NumberFormat("en");

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
    tell("t-unique", (data.exact ? "" : "≈\u202f") + count.format(unique), share(unique, full[3]));
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
  for (const button of document.querySelectorAll("button.rows")) {
    button.addEventListener("click", () => {
      button.previousElementSibling.classList.add("open");
      button.remove();
    });
  }

  // ---- images: cards are made as the reader asks for them ----
  if (!data.images.length) return;
  const FIRST = 12;
  const NEXT = 24;
  const cards = $("gallery");
  let chosen = [];
  let shown = 0;

  function option(value, text) {
    const node = make("option", "", text);
    node.value = value;
    return node;
  }

  function fillChoices() {
    const galleries = Object.keys(data.galleries).filter((g) => data.images.some((p) => g in p.galleries));
    const reasons = (of) => [...new Set(data.images.flatMap(of).filter(Boolean))].sort();
    $("f-gallery").append(...galleries.map((g) => option(g, data.galleries[g])), option("", "all of them"));
    $("f-reason").append(option("kept", "kept boxes"), option("all", "kept and dropped boxes"));
    $("f-reason").append(...reasons(boxReasons).map((reason) => option(reason, `box dropped: ${reason}`)));
    $("f-reason").append(...reasons(phraseReasons).map((reason) => option(PHRASE + reason, `phrase left out: ${reason}`)));
  }

  // A filter by why a phrase was left out chooses images; the boxes shown are then the kept ones.
  const PHRASE = "phrase ";
  const boxReasons = (image) => (image.boxes || []).map((box) => box[6]);
  const phraseReasons = (image) => [...(image.phrases || []).map((p) => p[3]), ...(image.left || []).map((l) => l[2])];
  const wantedPhraseReason = () => ($("f-reason").value.startsWith(PHRASE) ? $("f-reason").value.slice(PHRASE.length) : "");
  const wantedBoxes = () => (wantedPhraseReason() ? "kept" : $("f-reason").value);

  const wantedPhrase = () => $("f-phrase").value.trim().toLowerCase();

  // Boxes of an image that the filters let through.
  function boxesOf(image) {
    const score = +$("f-score").value;
    const reason = wantedBoxes();
    const phrase = wantedPhrase();
    return (image.boxes || []).filter((box) => box[5] > score
      && (reason === "all" || (reason === "kept" ? !box[6] : box[6] === reason))
      && (!phrase || image.phrases[box[0]][2].includes(phrase)));
  }

  function matches(image) {
    const gallery = $("f-gallery").value;
    const phrase = wantedPhrase();
    if (gallery && !(gallery in image.galleries)) return false;
    if (phrase && !(image.phrases || []).some((p) => p[2].includes(phrase))) return false;
    const left = wantedPhraseReason();
    if (left && !phraseReasons(image).includes(left)) return false;
    const narrow = +$("f-score").value > 0 || wantedBoxes() !== "kept";
    return !narrow || boxesOf(image).length > 0;
  }

  function card(image) {
    const boxes = boxesOf(image);
    const gold = $("f-gold") && $("f-gold").checked ? image.gold : [];
    const best = boxes.length ? `, best ${Math.max(...boxes.map((box) => box[5])).toFixed(2)}` : "";
    const undrawn = image.undrawn && !wantedPhrase() ? image.undrawn[wantedBoxes()] : 0;
    const more = undrawn ? `, ${undrawn} more not drawn` : "";
    const number = boxes.length === 1 ? "1 box" : `${boxes.length} boxes`;
    const fit = image.fit === undefined ? "" : `, image and caption ${image.fit.toFixed(2)}`;
    const node = make("article", "card");
    node.append(shot(image, boxes, gold), caption(image, boxes));
    node.append(make("p", "meta", `${image.key} · ${number}${best}${more}${fit}`));
    lightUp(node);
    return node;
  }

  function more(number) {
    const next = chosen.slice(shown, shown + number);
    shown += next.length;
    cards.append(...next.map(card));
    const left = chosen.length - shown;
    $("f-more").hidden = !left;
    $("f-more").textContent = `show ${Math.min(left, NEXT)} more of ${count.format(left)}`;
  }

  function refresh() {
    $("f-score-at").textContent = (+$("f-score").value).toFixed(2);
    const gallery = $("f-gallery").value;
    chosen = data.images.filter(matches);
    if (gallery) chosen.sort((a, b) => a.galleries[gallery] - b.galleries[gallery]);
    shown = 0;
    cards.replaceChildren();
    $("f-count").textContent = `${count.format(chosen.length)} of ${count.format(data.images.length)} images`;
    more(FIRST);
  }

  fillChoices();
  $("f-more").addEventListener("click", () => more(NEXT));
  for (const id of ["f-gallery", "f-phrase", "f-score", "f-reason", "f-gold"]) {
    if ($(id)) $(id).addEventListener("input", refresh);
  }
  if ($("f-masks")) $("f-masks").addEventListener("input", () => cards.classList.toggle("unmasked", !$("f-masks").checked));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll("button.phrase")) {
    button.addEventListener("click", () => {
      $("f-phrase").value = button.dataset.phrase;
      $("f-gallery").value = "";
      refresh();
      $("images").scrollIntoView();
    });
  }
  refresh();
})();
