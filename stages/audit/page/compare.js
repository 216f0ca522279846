(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { make, shot, caption, lightUp } = phrasebox;
  const gallery = document.getElementById("gallery");
  if (!gallery) return;
  for (const { before, after } of data.pairs) {
    const node = make("div", "matched");
    for (const [name, sample] of [["before", before], ["after", after]]) {
      const boxes = (sample.boxes || []).filter((box) => !box[6]);
      const side = make("article", "card");
      const drawn = { ...sample, thumbnail: after.thumbnail, missing: after.missing };
      side.append(shot(drawn, boxes, []), caption(sample, boxes));
      side.append(make("p", "meta", `${name} · ${sample.key} · ${boxes.length === 1 ? "1 box" : `${boxes.length} boxes`}`));
      lightUp(side);
      node.append(side);
    }
    gallery.append(node);
  }
})();
