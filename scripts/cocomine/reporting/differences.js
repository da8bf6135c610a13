// The differences of two sources: filters and sorts the images, and draws the outlines of both beside the photograph. All
// data comes from files beside the page. The state stands in the fragment of the address.
const PAGE = 8;
const [KIND, FIRST_CLASS, SECOND_CLASS, SIZE, FINER, IOU, BOUNDARY, DISTANCE, FIRST, SECOND, FIRST_IDS, SECOND_IDS] = Array(12).keys();
const COLOURS = {"same": "#9aa4af", "outline": "#ffd400", "only-first": "#ff5a5a", "only-second": "#4cc3ff", "split": "#c77dff",
  "merged": "#ff9f43", "crowd": "#2ee6a6", "relabelled": "#ff6fd8", "not-compared": "#888888"};
const QUIET = ["same", "not-compared"];
const state = {text: "", kind: "", category: "", size: "", sort: "count", same: false, page: 1};
const defaults = {...state};
const nameOfKind = finding => data.kinds[finding[KIND]].name;
const inWords = {"only-first": `only in ${data.sources[0]}`, "only-second": `only in ${data.sources[1]}`, "split": `split in ${data.sources[1]}`,
  "merged": `merged in ${data.sources[1]}`, "crowd": "a crowd against individuals", "relabelled": "another class", "outline": "another outline"};
const classOf = finding => finding[FIRST_CLASS] || finding[SECOND_CLASS];
let shown = [];

function read() {
  Object.assign(state, defaults);
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (!(key in defaults)) continue;
    state[key] = typeof defaults[key] === "boolean" ? value === "1" : key === "page" ? Math.max(1, parseInt(value, 10) || 1) : value;
  }
}

function write() {
  const parts = new URLSearchParams();
  for (const key of Object.keys(defaults)) if (state[key] !== defaults[key]) parts.set(key, state[key] === true ? "1" : String(state[key]));
  const hash = parts.toString();
  if (location.hash.slice(1) !== hash) history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
}

// A finding that the filters ask for. Without a kind, everything that differs.
function passes(finding) {
  const [kind, finer] = state.kind.split(":"), name = nameOfKind(finding);
  if (kind ? name !== kind : QUIET.includes(name)) return false;
  if (finer && finding[FINER] !== finer) return false;
  if (state.size && finding[SIZE] !== state.size) return false;
  return !state.category || finding[FIRST_CLASS] === state.category || finding[SECOND_CLASS] === state.category;
}

function select() {
  const text = state.text.trim().toLowerCase();
  const least = (list, of, none) => Math.min(none, ...list.map(of).filter(v => v !== null));
  shown = data.shown.map((image, place) => ({image, place, wanted: image.findings.filter(passes)}))
    .filter(one => one.wanted.length && (!text || String(one.image.id) === text || one.image.name.toLowerCase().includes(text)));
  const keys = {count: one => -one.wanted.length, boundary: one => least(one.wanted, f => f[BOUNDARY], 2),
    distance: one => least(one.wanted, f => f[DISTANCE] === null ? null : -f[DISTANCE], 0), id: one => one.image.id};
  const key = keys[state.sort] || keys.count;
  shown.sort((a, b) => key(a) - key(b) || a.image.id - b.image.id);
  state.page = Math.min(state.page, Math.max(1, Math.ceil(shown.length / PAGE)));
}

const loaded = {};
function outlinesOf(place) {
  const block = Math.floor(place / data.block);
  loaded[block] ||= new Promise((resolve, reject) => {
    document.head.append(element("script", undefined, {src: `differences/outlines-${block}.js`, onload: resolve, onerror: reject}));
  });
  return loaded[block].then(() => data.outlines[block][place % data.block]);
}

function panel(image, words, withPhoto) {
  const figure = element("figure"), stack = element("div", undefined, {className: "stack"});
  stack.style.aspectRatio = `${image.width} / ${image.height}`;
  if (image.path) {
    const photo = element("img", undefined, {loading: "lazy", alt: withPhoto ? `Photograph ${image.name}` : "", className: withPhoto ? "" : "dim"});
    photo.src = data.store + image.path.split("/").map(encodeURIComponent).join("/");
    stack.append(photo);
  } else if (withPhoto) stack.append(element("p", "This photograph was not fetched.", {className: "words"}));
  figure.append(stack, element("figcaption", words, {className: "words"}));
  return {figure, stack};
}

function draw(stack, image, rings, findings, side, wanted) {
  const layer = svg("svg", {viewBox: `0 0 ${image.width} ${image.height}`, preserveAspectRatio: "none", "aria-hidden": "true"});
  for (const finding of findings) {
    const name = nameOfKind(finding);
    if (QUIET.includes(name) && !state.same && !wanted.includes(finding)) continue;
    for (const one of finding[side]) {
      const path = rings[one].map(ring => ring.length ? "M" + ring.join(" ") + "Z" : "").join("");
      const mark = svg("path", {d: path, fill: COLOURS[name], stroke: COLOURS[name], "fill-rule": "evenodd", class: wanted.includes(finding) ? "wanted" : "other"});
      mark.dataset.finding = image.findings.indexOf(finding);
      layer.append(mark);
    }
  }
  stack.append(layer);
}

function words(finding) {
  const name = nameOfKind(finding), score = v => v.toFixed(2), [first, second] = data.sources;
  const counts = `${finding[FIRST].length} → ${finding[SECOND].length}`;
  const said = {"outline": `outline${finding[FINER] ? `, finer in ${finding[FINER] === "first" ? first : second}` : ""}`,
    "only-first": `only in ${first}`, "only-second": `only in ${second}`, "split": `split, ${counts}`, "merged": `merged, ${counts}`,
    "crowd": `crowd, ${counts}`, "relabelled": `is ${finding[SECOND_CLASS]} in ${second}`}[name] || name;
  const numbers = finding[BOUNDARY] === null ? "" : `; IoU ${score(finding[IOU])}, boundary IoU ${score(finding[BOUNDARY])}, ${finding[DISTANCE].toFixed(1)} px apart`;
  const ids = [...finding[FIRST_IDS].map(id => `${first} ${id}`), ...finding[SECOND_IDS].map(id => `${second} ${id}`)];
  return `${classOf(finding)}: ${said}${numbers} (${ids.slice(0, 4).join(", ")}${ids.length > 4 ? ", …" : ""})`;
}

function row({image, place, wanted}) {
  const section = element("section", undefined, {className: "compared"});
  section.dataset.image = image.id;
  const trio = element("div", undefined, {className: "trio"});
  // No panel is higher than the window.
  trio.style.maxWidth = `${(210 * image.width / image.height).toFixed(0)}vh`;
  const panels = [panel(image, data.sources[0], false), panel(image, "photograph", true), panel(image, data.sources[1], false)];
  trio.append(...panels.map(one => one.figure));
  const list = element("ul");
  for (const finding of wanted.slice(0, 40)) {
    const item = element("li"), swatch = element("span", undefined, {className: "swatch"});
    swatch.style.background = COLOURS[nameOfKind(finding)];
    item.append(swatch, element("span", words(finding)));
    item.tabIndex = 0;
    const mark = on => section.querySelectorAll(`[data-finding="${image.findings.indexOf(finding)}"]`).forEach(path => path.classList.toggle("marked", on));
    for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focus", true], ["blur", false]]) item.addEventListener(event, () => mark(on));
    list.append(item);
  }
  if (wanted.length > 40) list.append(element("li", `and ${wanted.length - 40} more`));
  section.append(element("h2", `${image.name || image.id}, ${wanted.length} difference${wanted.length === 1 ? "" : "s"}`), trio, list);
  outlinesOf(place).then(([first, second]) => {
    draw(panels[0].stack, image, first, image.findings, FIRST, wanted);
    draw(panels[2].stack, image, second, image.findings, SECOND, wanted);
  }).catch(() => {});
  return section;
}

function show() {
  select();
  write();
  const first = (state.page - 1) * PAGE, part = shown.slice(first, first + PAGE), pages = Math.max(1, Math.ceil(shown.length / PAGE));
  $("rows").replaceChildren(...part.map(row));
  $("count").textContent = `${shown.length.toLocaleString("en")} of ${data.shown.length.toLocaleString("en")} images shown here; ${data.images.toLocaleString("en")} are in both sources`;
  $("empty").hidden = shown.length > 0;
  $("previous").disabled = state.page <= 1;
  $("next").disabled = state.page >= pages;
  $("page").textContent = `Page ${state.page} of ${pages}`;
  for (const name of ["text", "kind", "category", "size", "sort"]) if ($(name).value !== state[name]) $(name).value = state[name];
  $("same").checked = state.same;
}

function start() {
  const [first, second] = data.sources, option = (value, text) => element("option", text, {value});
  const kinds = data.kinds.map(kind => kind.name).filter(name => !QUIET.includes(name)).flatMap(name => name === "outline"
    ? [option(name, inWords[name]), option("outline:first", `a coarse against a fine outline, finer in ${first}`), option("outline:second", `a coarse against a fine outline, finer in ${second}`)]
    : [option(name, inWords[name])]);
  $("kind").replaceChildren(option("", "any difference"), ...kinds);
  const classes = new Set(data.shown.flatMap(image => image.findings.filter(f => !QUIET.includes(nameOfKind(f))).map(classOf)));
  $("category").replaceChildren(option("", "any class"), ...[...classes].filter(Boolean).sort().map(name => option(name, name)));
  $("legend").replaceChildren(...data.kinds.filter(kind => kind.name !== "not-compared").map(kind => {
    const line = element("div", undefined, {className: "class", title: kind.meaning}), swatch = element("span", undefined, {className: "swatch"});
    swatch.style.background = COLOURS[kind.name];
    line.append(swatch, element("span", inWords[kind.name] || kind.name));
    return line;
  }));
  $("filters").addEventListener("input", event => {
    state[event.target.id] = event.target.type === "checkbox" ? event.target.checked : event.target.value;
    state.page = 1;
    show();
  });
  $("filters").addEventListener("submit", event => event.preventDefault());
  $("reset").addEventListener("click", () => { Object.assign(state, defaults); show(); });
  $("previous").addEventListener("click", () => { state.page -= 1; show(); });
  $("next").addEventListener("click", () => { state.page += 1; show(); });
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(input|select)$/i.test(event.target.tagName)) { if (event.key === "Escape") event.target.blur(); return; }
    const actions = {n: () => $("next").click(), p: () => $("previous").click(), "/": () => $("text").focus(), "?": () => $("help").toggleAttribute("open")};
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
  });
  window.addEventListener("hashchange", () => { read(); show(); });
  read();
  show();
}

start();
