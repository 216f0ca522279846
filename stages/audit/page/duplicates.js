// The slider of the part on duplicates: numbers by likeness, and which of the copies that are shown would come apart.
(() => {
  const panel = document.getElementById("likeness");
  if (!panel) return;
  const rows = JSON.parse(panel.dataset.rows);
  const slider = document.getElementById("likeness-at");
  const cursor = document.querySelector("#duplicates .mark.likeness");
  const [low, high] = [rows[0][0], rows[rows.length - 1][0]];
  const line = cursor.parentNode.querySelector("polyline").points;
  const [left, right] = [line[0].x, line[line.length - 1].x];
  const count = new Intl.NumberFormat("en");

  function show() {
    const value = +slider.value;
    const [at, stay] = rows.reduce((a, b) => (Math.abs(b[0] - value) < Math.abs(a[0] - value) ? b : a));
    document.getElementById("likeness-value").textContent = String(+at.toFixed(4));
    document.getElementById("l-stay").textContent = count.format(stay);
    document.getElementById("l-back").textContent = count.format(panel.dataset.all - stay);
    const x = high > low ? left + (right - left) * (at - low) / (high - low) : left;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    for (const copy of document.querySelectorAll("#duplicates [data-likeness]")) {
      copy.classList.toggle("apart", +copy.dataset.likeness < at);
    }
  }

  slider.addEventListener("input", show);
  show();
})();
