"use strict";
// Shared by the report and the comparison: an image as an <article> with its boxes and its caption.
const phrasebox = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
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

  // IoU of at least 0.9, the audit's near duplicate: the upper box is dashed, so that the colour below it shows.
  function coincide(a, b) {
    const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
    const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
    if (width <= 0 || height <= 0) return false;
    const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
    return width * height >= 0.9 * (area(a) + area(b) - width * height);
  }

  // COCO's compressed run lengths: groups of 5 bits, and from the fourth number on differences from the one two before.
  function runLengths(counts) {
    const runs = [];
    for (let at = 0; at < counts.length;) {
      let value = 0, bits = 0, group;
      do {
        group = counts.charCodeAt(at++) - 48;
        value |= (group & 31) << bits;
        bits += 5;
      } while (group & 32);
      if (group & 16) value |= -1 << bits;
      runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
    }
    return runs;
  }

  // A mask as a path: its runs go down the columns, each a strip one pixel wide.
  function mask(sample, counts, phrase) {
    const [height, width] = sample.maskSize;
    let path = "", at = 0;
    for (const [i, run] of runLengths(counts).entries()) {
      for (let left = i % 2 ? run : 0, from = at; left > 0;) {
        const y = from % height, length = Math.min(left, height - y);
        path += `M${Math.floor(from / height)} ${y}v${length}h1v${-length}z`;
        from += length;
        left -= length;
      }
      at += run;
    }
    const node = document.createElementNS(SVG, "path");
    node.setAttribute("class", `mask k${phrase % 8}`);
    node.setAttribute("transform", `scale(${sample.width / width} ${sample.height / height})`);
    node.setAttribute("d", path);
    node.dataset.phrase = phrase;
    return node;
  }

  function drawing(sample, boxes, gold) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${sample.width} ${sample.height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    for (const box of boxes) if (box[7]) svg.append(mask(sample, box[7], box[0]));
    for (const box of gold || []) svg.append(rect(box, "under"), rect(box, "box true"));
    for (const [i, [phrase, x1, y1, x2, y2, score, reason, , crop]] of boxes.entries()) {
      const box = [x1, y1, x2, y2];
      const over = boxes.slice(0, i).some((other) => other[0] !== phrase && coincide(other.slice(1, 5), box));
      const node = rect(box, `box k${phrase % 8}${reason ? " out" : over ? " over" : ""}`, phrase);
      const title = document.createElementNS(SVG, "title");
      const opinion = crop === undefined ? "" : `  crop ${crop.toFixed(3)}`;
      title.textContent = `${sample.phrases[phrase][2]}  ${score.toFixed(3)}${opinion}${reason ? `  ${reason}` : ""}`;
      node.append(title);
      if (!over) svg.append(rect(box, "under", phrase));
      svg.append(node);
    }
    return svg;
  }

  function shot(sample, boxes, gold) {
    const node = make("div", sample.width >= sample.height * 4 / 3 ? "shot wide" : "shot tall");
    node.style.aspectRatio = `${sample.width || 4} / ${sample.height || 3}`;
    if (sample.thumbnail) {
      const image = make("img");
      image.loading = "lazy";
      image.decoding = "async";
      image.alt = "";
      image.src = `data:image/webp;base64,${sample.thumbnail}`;
      node.append(image);
    } else {
      node.append(make("div", "gone", sample.missing || "no image"));
    }
    node.append(drawing(sample, boxes, gold));
    const frame = make("div", "frame43");
    frame.append(node);
    return frame;
  }

  // Spans count code points, strings in JavaScript count UTF-16 units: so the caption is split into code points first.
  function caption(sample, boxes) {
    const line = make("p", "caption");
    line.dir = "auto";
    const text = Array.from(sample.caption);
    const scores = new Map();
    for (const [phrase, , , , , score] of boxes) scores.set(phrase, [...(scores.get(phrase) || []), score]);
    const phrases = (sample.phrases || []).map(([start, end, , reason], i) => ({ start, end, reason, i }));
    const left = (sample.left || []).map(([start, end, reason]) => ({ start, end, reason }));
    const order = [...phrases, ...left].sort((a, b) => a.start - b.start);
    let at = 0;
    for (const { start, end, reason, i } of order) {
      if (start < at || end <= start || end > text.length) continue;
      line.append(text.slice(at, start).join(""));
      const found = scores.get(i);
      const words = text.slice(start, end).join("");
      const span = reason ? make("s", "", words) : make("mark", found ? `k${i % 8}` : "none", words);
      if (reason) span.title = `left out: ${reason}`;
      if (found) {
        span.dataset.phrase = i;
        span.dataset.score = Math.max(...found).toFixed(2) + (found.length > 1 ? ` ×${found.length}` : "");
      }
      line.append(span);
      at = end;
    }
    line.append(text.slice(at).join(""));
    return line;
  }

  // Pointing at a box or a span lights up everything of its phrase.
  function lightUp(node) {
    const light = (phrase) => {
      node.classList.toggle("lit", phrase !== null);
      for (const part of node.querySelectorAll("[data-phrase]")) part.classList.toggle("on", part.dataset.phrase === phrase);
    };
    node.addEventListener("pointerover", (event) => {
      const target = event.target.closest("[data-phrase]");
      light(target ? target.dataset.phrase : null);
    });
    node.addEventListener("pointerleave", () => light(null));
  }

  return { make, shot, caption, lightUp };
})();
