// Returns a list of problems of a page: the status page, or a report.
(() => {
  const problems = [];
  const wrong = (problem) => problems.push(problem);

  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) wrong(`the page has ${root.scrollWidth} pixels in a window of ${root.clientWidth}`);
  for (const e of document.querySelectorAll("main *, header *, footer *")) {
    const box = e.getBoundingClientRect();
    if (box.width > 0 && (box.right > root.clientWidth + 0.5 || box.left < -0.5) && !e.closest(".skip, .rows table"))
      wrong(`<${e.tagName} class="${e.getAttribute("class")}"> extends from ${box.left} to ${box.right}`);
  }

  const one = (selector) => {
    const n = document.querySelectorAll(selector).length;
    if (n !== 1) wrong(`${n} of ${selector}, want 1`);
  };
  ["h1", "main", "body > header", "body > footer", "nav", "head > title", "html[lang]", "meta[name=viewport]"].forEach(one);
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const now = Number(h.tagName[1]);
    if (now > level + 1) wrong(`${h.tagName} "${h.textContent}" follows level ${level}`);
    level = now;
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption || !table.caption.textContent.trim()) wrong("a table has no caption");
    for (const th of table.querySelectorAll("th")) if (!th.scope) wrong(`"${th.textContent}" has no scope`);
  }
  for (const nav of document.querySelectorAll("nav")) if (!nav.getAttribute("aria-label")) wrong("nav has no name");
  for (const e of document.querySelectorAll("[aria-labelledby]"))
    if (!document.getElementById(e.getAttribute("aria-labelledby"))) wrong(`no element has the id ${e.getAttribute("aria-labelledby")}`);
  for (const a of document.querySelectorAll('a[href^="#"]'))
    if (!document.querySelector(a.getAttribute("href"))) wrong(`${a.getAttribute("href")} has no target`);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) wrong("an id occurs twice");
  for (const svg of document.querySelectorAll("svg"))
    if (svg.getAttribute("aria-hidden") !== "true" && !svg.getAttribute("aria-label")) wrong("a drawing has no text");

  for (const e of document.querySelectorAll("script, [style], [onclick], iframe, img, object, embed, form, input, base, meta[http-equiv]:not([http-equiv=Content-Security-Policy])"))
    wrong(`<${e.tagName}> isn't allowed`);
  for (const e of document.querySelectorAll("[src], link[href]"))
    if (new URL(e.src || e.href, location).origin !== location.origin) wrong(`${e.src || e.href} is on another origin`);

  // Contrast, WCAG 2.1: 4.5 for text, 3 for large text and graphics.
  const color = (text) => {
    const m = text.match(/^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/);
    if (!m) { wrong(`color ${text}`); return [0, 0, 0, 1]; }
    return [Number(m[1]), Number(m[2]), Number(m[3]), m[4] === undefined ? 1 : Number(m[4])];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const behind = (e) => {
    const layers = [];
    for (let p = e; p; p = p.parentElement) layers.push(color(getComputedStyle(p).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  let texts = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const e = node.parentElement;
    if (!node.textContent.trim() || e.closest("svg") || !e.checkVisibility({ visibilityProperty: true })) continue;
    texts++;
    const style = getComputedStyle(e);
    const size = parseFloat(style.fontSize);
    if (size < 12) wrong(`"${node.textContent.trim()}" is ${size} px high`);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const back = behind(e);
    const ratio = contrast(over(color(style.color), back), back);
    if (ratio < (large ? 3 : 4.5)) wrong(`"${node.textContent.trim()}" has a contrast of ${ratio.toFixed(2)}`);
  }
  if (texts < 40) wrong(`only ${texts} texts`);
  const drawn = (selector, property) => {
    for (const e of document.querySelectorAll(selector)) {
      const back = behind(e.closest(".card"));
      const ratio = contrast(color(getComputedStyle(e)[property]), back);
      if (ratio < 3) wrong(`${selector} ${e.getAttribute("class")} has a contrast of ${ratio.toFixed(2)}`);
    }
  };
  drawn(".trend .line", "stroke");
  drawn(".marks rect", "fill");
  drawn(".bar rect", "fill");
  return problems;
})();
