// Measures the report from inside and sends the measures to the page that frames it; see browser.py.
const rgb = text => { const n = text.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
const light = c => { const v = c.slice(0, 3).map(x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
  return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
function ground(e) {
  const layers = [];
  for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > 0) layers.push(c); if (c[3] >= 1) break; }
  let base = [255, 255, 255];
  for (const c of layers.reverse()) base = base.map((b, i) => c[i] * c[3] + b * (1 - c[3]));
  return base;
}
function faint() {
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    if (e.closest("script, style, .skip") || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), svg = e instanceof SVGElement;
    const [a, b] = [light(rgb(svg ? style.fill : style.color)), light(ground(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) found.push([e.textContent.trim().slice(0, 30), Math.round(ratio * 100) / 100]);
  }
  return found;
}
const all = selector => [...document.querySelectorAll(selector)];
const shown = () => all(".gallery figure").filter(f => f.getClientRects().length).length;
const result = {
  width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth,
  wide: all("body *").filter(e => !e.closest(".scroll, .skip, svg") && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.tagName + "." + e.className).slice(0, 5),
  faint: faint(), background: getComputedStyle(document.body).backgroundColor, figures: shown(),
  broken: all("img").filter(i => !i.complete || !i.naturalWidth).length, alts: all("img").filter(i => !i.hasAttribute("alt")).length,
  layers: all(".layer").map(l => { const p = l.previousElementSibling.getBoundingClientRect(), r = l.getBoundingClientRect();
    return Math.max(Math.abs(p.width - r.width), Math.abs(p.height - r.height)); }).reduce((a, b) => Math.max(a, b), 0),
  headless: all("table").filter(t => !t.querySelector("th[scope]") || !t.getAttribute("aria-label")).length,
  unlinked: all("nav a[href^='#']").filter(a => !document.querySelector(a.getAttribute("href"))).length,
};
const buttons = all(".controls button");
result.byClass = buttons.map(b => { b.click(); return [b.textContent.trim(), shown(), b.getAttribute("aria-pressed")]; });
if (buttons.length) buttons[0].click();
const box = document.getElementById("masks-on");
if (box) { const of = () => getComputedStyle(document.querySelector(".layer")).visibility;
  result.masks = [of()]; box.click(); result.masks.push(of()); box.click(); }
parent.postMessage(JSON.stringify(result), "*");
