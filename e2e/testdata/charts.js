// Returns a list of problems of the charts of the status page: of their axes, and of
// the colors of users' statuses.
(() => {
  const problems = [];
  const charts = [...document.querySelectorAll(".chart")];
  if (charts.length !== document.querySelectorAll("article.export").length) problems.push(`${charts.length} charts`);
  for (const chart of charts) {
    const texts = (selector) => [...chart.querySelectorAll(selector)].map((e) => e.textContent);
    const dates = texts(".dates span");
    const counts = texts(".ticks span").map((text) => Number(text.replaceAll(",", "")));
    if (!/^\d+ [A-Z][a-z]+[, ]/.test(dates[0]) || dates[1] !== "UTC" || !/^\d+ [A-Z][a-z]+[, ]/.test(dates[2])) problems.push(`dates ${dates}`);
    if (counts.length !== 3 || counts[2] !== 0 || counts[0] !== 2 * counts[1]) problems.push(`counts ${counts}`);
    // The line's last point is as high as its count, on an axis that begins at zero.
    const now = Number(chart.querySelector("figcaption").textContent.match(/now ([\d,]+)/)?.[1].replaceAll(",", ""));
    const y = Number(chart.querySelector(".line")?.getAttribute("d").match(/ ([\d.]+)h/)?.[1]);
    if (!(Math.abs(y - 100 * (1 - now / counts[0])) < 0.1)) problems.push(`${now} of ${counts[0]} is at ${y}`);
  }

  // The distance of colors in OKLab, also as people see them who lack a type of cones
  // (Machado, Oliveira and Fernandes, 2009).
  const views = [
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
  ];
  const times = (matrix, v) => matrix.map((row) => row.reduce((sum, x, i) => sum + x * v[i], 0));
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const oklab = (rgb) => {
    const lms = times([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]], rgb);
    return times([[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]], lms.map((x) => Math.cbrt(Math.max(x, 0))));
  };
  const bar = document.querySelector(".bar");
  const legend = bar.parentElement.querySelectorAll(".legend li");
  if (legend.length !== bar.querySelectorAll("rect").length) problems.push(`${legend.length} labels in the legend`);
  const colors = {};
  for (const status of ["staged", "provisioned", "active", "recovery", "password_expired", "locked_out", "suspended", "deprovisioned"]) {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    rect.setAttribute("class", status);
    bar.append(rect);
    colors[status] = getComputedStyle(rect).fill.match(/\d+/g).map((v) => linear(Number(v)));
    rect.remove();
  }
  const names = Object.keys(colors);
  names.forEach((a, i) => names.slice(i + 1).forEach((b) => views.forEach((view, v) => {
    const [x, y] = [colors[a], colors[b]].map((c) => oklab(times(view, c).map((n) => Math.min(Math.max(n, 0), 1))));
    const distance = Math.hypot(...x.map((n, k) => n - y[k]));
    if (distance < 0.09) problems.push(`${a} and ${b} differ by ${distance.toFixed(3)} in view ${v}`);
  })));
  return problems;
})();
