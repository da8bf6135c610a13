// The explorer of a subset: filters, sorts and shows its images. All data comes from files beside the page; nothing is
// asked of a network. The state stands in the fragment of the address, so that a view can be linked.
const PAGE = 60;
const count = data.id.length;
const all = Array.from({length: count}, (_, i) => i);
const LAYERS = ["mask", "boxes"];
const state = {classes: [], match: "any", split: "", role: "", licence: "", source: "", group: false, lost: false,
  min: "", max: "", text: "", sort: "id", down: false, page: 1, image: ""};
const defaults = {...state};
let shown = all;

const nameOf = i => data.name[i] || data.path[i].split("/").pop();
const captionOf = i => (data.caption ? data.caption[i] : "") || "";

// -- the state and the address

function read() {
  Object.assign(state, defaults, {classes: []});
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (!(key in defaults)) continue;
    if (key === "classes") state.classes = value.split(",").map(Number).filter(n => data.classes[n]);
    else if (typeof defaults[key] === "boolean") state[key] = value === "1";
    else if (key === "page") state.page = Math.max(1, parseInt(value, 10) || 1);
    else state[key] = value;
  }
}

function write() {
  const parts = new URLSearchParams();
  for (const key of Object.keys(defaults)) {
    const value = state[key];
    if (key === "classes" ? value.length : value !== defaults[key]) {
      parts.set(key, key === "classes" ? value.join(",") : value === true ? "1" : String(value));
    }
  }
  const hash = parts.toString();
  if (location.hash.slice(1) !== hash) history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
}

// -- filters

function passes(i) {
  if (state.split && data.splits[data.split[i]] !== state.split) return false;
  if (state.role && data.roles[data.role[i]] !== state.role) return false;
  if (state.licence && data.licences[data.licence[i]] !== state.licence) return false;
  if (state.source && data.sources[data.source[i]] !== state.source) return false;
  if (state.group && !data.grouped[i]) return false;
  if (state.lost && !data.lost[data.id[i]]) return false;
  if (state.min !== "" && data.objects[i] < Number(state.min)) return false;
  if (state.max !== "" && data.objects[i] > Number(state.max)) return false;
  if (state.classes.length) {
    const has = n => data.labels[i].includes(n);
    if (!(state.match === "all" ? state.classes.every(has) : state.classes.some(has))) return false;
  }
  const text = state.text.trim().toLowerCase();
  return !text || String(data.id[i]) === text || nameOf(i).toLowerCase().includes(text) || captionOf(i).toLowerCase().includes(text);
}

function key(name) {
  if (name.startsWith("score:")) return i => data.scores[name.slice(6)][i];
  return {id: i => data.id[i], objects: i => data.objects[i], pixels: i => data.width[i] * data.height[i],
    brightness: i => data.brightness[i], group: i => data.group[i]}[name] || (i => data.id[i]);
}

function select() {
  const of = key(state.sort), down = state.down ? -1 : 1;
  const value = i => { const v = of(i); return v === null || v === undefined ? Infinity * down : v; };
  shown = all.filter(passes).sort((a, b) => (value(a) < value(b) ? -down : value(a) > value(b) ? down : a - b));
  state.page = Math.min(state.page, Math.max(1, Math.ceil(shown.length / PAGE)));
}

// -- the grid

function cell(i) {
  const button = element("button", undefined, {type: "button", className: "cell"});
  button.dataset.image = data.id[i];
  const picture = element("span", undefined, {className: "thumb"});
  const place = i % data.sheet.images, column = place % data.sheet.columns, row = Math.floor(place / data.sheet.columns);
  picture.style.backgroundImage = `url("explorer/sheet-${Math.floor(i / data.sheet.images)}.jpg")`;
  picture.style.backgroundSize = `${data.sheet.columns * 100}% auto`;
  picture.style.backgroundPosition = `${data.sheet.columns > 1 ? column * 100 / (data.sheet.columns - 1) : 0}% ${data.sheet.rows > 1 ? row * 100 / (data.sheet.rows - 1) : 0}%`;
  const words = data.labels[i].map(n => data.classes[n].name).join(", ") || "no wanted object";
  button.setAttribute("aria-label", `${nameOf(i)}: ${words}`);
  button.append(picture, element("span", nameOf(i), {className: "name"}), element("span", words, {className: "words"}));
  return button;
}

function draw() {
  select();
  write();
  const first = (state.page - 1) * PAGE, part = shown.slice(first, first + PAGE);
  $("grid").replaceChildren(...part.map(cell));
  $("count").textContent = `${shown.length.toLocaleString("en")} of ${count.toLocaleString("en")} images`
    + (shown.length > PAGE ? `, ${first + 1} to ${first + part.length}` : "");
  $("empty").hidden = shown.length > 0;
  const pages = Math.max(1, Math.ceil(shown.length / PAGE));
  $("previous").disabled = state.page <= 1;
  $("next").disabled = state.page >= pages;
  $("page").textContent = `Page ${state.page} of ${pages}`;
  controls();
}

function controls() {
  for (const name of ["match", "split", "role", "licence", "source", "sort"]) $(name).value = state[name];
  for (const name of ["min", "max", "text"]) if ($(name).value !== state[name]) $(name).value = state[name];
  for (const name of ["group", "lost", "down"]) $(name).checked = state[name];
  for (const box of document.querySelectorAll("#classes input")) box.checked = state.classes.includes(Number(box.value));
}

// -- one image

const loaded = {};
function objectsOf(i) {
  const block = Math.floor(i / data.block);
  loaded[block] ||= new Promise((resolve, reject) => {
    const script = element("script", undefined, {src: `explorer/objects-${block}.js`, onload: resolve, onerror: reject});
    document.head.append(script);
  });
  return loaded[block].then(() => data.boxes[block][i % data.block]);
}

async function open(i) {
  state.image = String(data.id[i]);
  write();
  const size = `${data.width[i]} × ${data.height[i]}`;
  $("title").textContent = nameOf(i);
  $("photo").src = data.store + data.path[i].split("/").map(encodeURIComponent).join("/");
  $("photo").alt = captionOf(i) || `Image ${data.id[i]}`;
  $("photo").width = data.width[i]; $("photo").height = data.height[i];
  $("stack").style.maxWidth = `${(78 * data.width[i] / data.height[i]).toFixed(1)}vh`;
  $("mask").hidden = !data.masks;
  if (data.masks) $("mask").src = data.masks + data.mask[i].split("/").map(encodeURIComponent).join("/");
  $("boxes").setAttribute("viewBox", `0 0 ${data.width[i]} ${data.height[i]}`);
  $("boxes").replaceChildren();
  const rows = [["Image id", data.id[i]], ["File", data.path[i]], ["Size", size], ["Split", data.splits[data.split[i]] || "not split"],
    ["Role", data.roles[data.role[i]]], ["Source split", data.sources[data.source[i]]], ["Licence", data.licences[data.licence[i]] || "not stated"],
    ["Near-duplicates", data.grouped[i] ? `group ${data.group[i]}` : "none"]];
  for (const [run, values] of Object.entries(data.scores)) if (values[i] !== null) rows.push([`Mean IoU, ${run}`, values[i].toFixed(3)]);
  if (captionOf(i)) rows.push(["Caption", captionOf(i)]);
  $("facts").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", String(value))]));
  const lost = data.lost[data.id[i]] || [];
  $("lost-title").hidden = !lost.length;
  $("lost-list").replaceChildren(...lost.map(row => element("li", `${row[0]} ${row[1]}: ${row[2]}${row[3] ? ` (${row[3]})` : ""}`)));
  if (!$("view").open) $("view").showModal();
  const objects = await objectsOf(i).catch(() => []);
  if (state.image !== String(data.id[i])) return;
  $("objects").replaceChildren(...objects.map(o => element("li", `${data.classes[o[0]] ? data.classes[o[0]].name : "other"}${o[5] ? ", crowd" : ""}, annotation ${o[6]}`)));
  for (const o of objects) {
    if (o[3] === null) continue;
    const colour = data.classes[o[0]] ? data.classes[o[0]].color : "#888888";
    $("boxes").append(svg("rect", {x: o[1], y: o[2], width: o[3], height: o[4], fill: "none", stroke: colour, "stroke-width": 2,
      "vector-effect": "non-scaling-stroke", ...(o[5] ? {"stroke-dasharray": "6 4"} : {})}));
  }
}

function step(by) {
  const at = shown.findIndex(i => String(data.id[i]) === state.image);
  const next = shown[at + by];
  if (next === undefined) return;
  state.page = Math.floor((at + by) / PAGE) + 1;
  draw();
  open(next);
}

function close() {
  $("view").close();
}

async function copy(text, what) {
  try { await navigator.clipboard.writeText(text); say(`Copied the ${what}: ${text}`); } catch { say(`${what}: ${text}`); }
}

function say(text) { $("said").textContent = text; }

// -- wiring

function fill(name, values, any) {
  $(name).replaceChildren(element("option", any, {value: ""}), ...values.filter(v => v !== "").map(v => element("option", v, {value: v})));
  $(name).closest("label").hidden = values.filter(v => v !== "").length < 2;
}

function start() {
  fill("split", data.splits, "any split"); fill("role", data.roles, "any role");
  fill("licence", data.licences, "any licence"); fill("source", data.sources, "any source split");
  for (const run of Object.keys(data.scores)) $("sort").append(element("option", `mean IoU, ${run}`, {value: "score:" + run}));
  data.classes.forEach((one, n) => {
    if (!one.images) return;
    const label = element("label", undefined, {className: "class"}), box = element("input", undefined, {type: "checkbox", value: n});
    const swatch = element("span", undefined, {className: "swatch"});
    swatch.style.background = one.color;
    label.append(box, swatch, element("span", one.name), element("span", one.images.toLocaleString("en"), {className: "number"}));
    $("classes").append(label);
  });
  $("filters").addEventListener("input", event => {
    const target = event.target;
    if (target.closest("#classes")) state.classes = [...document.querySelectorAll("#classes input:checked")].map(box => Number(box.value));
    else state[target.id] = target.type === "checkbox" ? target.checked : target.value;
    state.page = 1;
    draw();
  });
  $("filters").addEventListener("submit", event => event.preventDefault());
  $("reset").addEventListener("click", () => { Object.assign(state, defaults, {classes: []}); draw(); });
  $("previous").addEventListener("click", () => { state.page -= 1; draw(); });
  $("next").addEventListener("click", () => { state.page += 1; draw(); });
  $("grid").addEventListener("click", event => {
    const button = event.target.closest(".cell");
    if (button) open(data.id.indexOf(Number(button.dataset.image)));
  });
  $("view").addEventListener("close", () => {
    const button = document.querySelector(`.cell[data-image="${CSS.escape(state.image)}"]`);
    state.image = "";
    write();
    if (button) button.focus();
  });
  $("close").addEventListener("click", close);
  $("before").addEventListener("click", () => step(-1));
  $("after").addEventListener("click", () => step(1));
  for (const name of LAYERS) $("show-" + name).addEventListener("input", () => { $(name).style.visibility = $("show-" + name).checked ? "visible" : "hidden"; });
  $("opacity").addEventListener("input", () => { $("mask").style.opacity = $("opacity").value; });
  document.addEventListener("keydown", keys);
  window.addEventListener("hashchange", () => { read(); draw(); reopen(); });
  read();
  draw();
  reopen();
}

function reopen() {
  const i = state.image ? data.id.indexOf(Number(state.image)) : -1;
  if (i >= 0) open(i); else if ($("view").open) close();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(input|select|textarea)$/i.test(event.target.tagName) && !["checkbox", "range"].includes(event.target.type);
  if (typing) { if (event.key === "Escape") event.target.blur(); return; }
  const opened = $("view").open, cells = [...document.querySelectorAll(".cell")];
  const at = cells.indexOf(document.activeElement);
  const across = cells.findIndex((one, n) => n > 0 && one.offsetTop !== cells[0].offsetTop);
  const move = by => { const next = cells[Math.min(cells.length - 1, Math.max(0, at < 0 ? 0 : at + by))]; if (next) next.focus(); };
  const wide = across < 1 ? cells.length : across;
  const actions = opened
    ? {ArrowLeft: () => step(-1), ArrowRight: () => step(1), m: () => $("show-mask").click(), b: () => $("show-boxes").click(),
       i: () => copy(state.image, "image id"), f: () => copy($("title").textContent, "file name"), "?": () => $("help").toggleAttribute("open")}
    : {ArrowLeft: () => move(-1), ArrowRight: () => move(1), ArrowUp: () => move(-wide), ArrowDown: () => move(wide),
       n: () => $("next").click(), p: () => $("previous").click(), "/": () => $("text").focus(), "?": () => $("help").toggleAttribute("open")};
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
}

start();
