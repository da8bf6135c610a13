// The explorer of a subset: filters, sorts and shows its images. All data comes from files beside the page; nothing is
// asked of a network. The state stands in the fragment of the address, so that a view can be linked.
const PAGE = 60;
const count = data.id.length;
const all = Array.from({length: count}, (_, i) => i);
// What can lie over an enlarged photograph, or beside it, and the key that switches it.
const LAYERS = {mask: "m", boxes: "b", points: "k", segments: "s", predicted: "r", difference: "d", captions: "c"};
const SIZES = ["small", "medium", "large"];
const state = {classes: [], match: "any", size: "", split: "", role: "", licence: "", source: "", group: false, near: "", lost: "",
  of: "objects", min: "", max: "", text: "", sort: "id", down: false, page: 1, image: "", layers: "mask,boxes,points,captions",
  opacity: "0.5", run: Object.keys(data.predicted)[0] || ""};
const defaults = {...state};
let shown = all;

const nameOf = i => data.name[i] || data.path[i].split("/").pop();

// -- the state and the address

function read() {
  Object.assign(state, defaults, {classes: []});
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (!(key in defaults)) continue;
    if (key === "classes") state.classes = value.split(",").map(Number).filter(n => data.classes[n]);
    else if (key === "lost" && value === "1") state.lost = "any";
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
  if (state.near && data.group[i] !== state.near) return false;
  if (state.lost && !(data.lost[data.id[i]] || []).some(row => state.lost === "any" || row[2] === state.lost)
    && !data.gone[i].some(n => data.clauses[n][0] === state.lost)) return false;
  if (state.min !== "" || state.max !== "") {
    const value = key(state.of)(i);
    if (value === null || (state.min !== "" && value < Number(state.min)) || (state.max !== "" && value > Number(state.max))) return false;
  }
  if (state.size) {
    const at = SIZES.indexOf(state.size);
    if (!data.sized[i].some(n => n % 3 === at && (!state.classes.length || state.classes.includes((n - at) / 3)))) return false;
  }
  if (state.classes.length) {
    const has = n => data.labels[i].includes(n);
    if (!(state.match === "all" ? state.classes.every(has) : state.classes.some(has))) return false;
  }
  const text = state.text.trim().toLowerCase();
  return !text || String(data.id[i]) === text || nameOf(i).toLowerCase().includes(text)
    || (data.captions || []).length > i && data.captions[i].some(said => said.toLowerCase().includes(text));
}

function key(name) {
  if (name.startsWith("score:")) return i => (data.scores[name.slice(6)] || {})[i] ?? null;
  return {objects: i => data.objects[i], pixels: i => data.width[i] * data.height[i], aspect: i => data.aspect[i],
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
  const place = data.cell[i] % data.sheet.images, column = place % data.sheet.columns, row = Math.floor(place / data.sheet.columns);
  if (data.cell[i] !== null) picture.style.backgroundImage = `url("${data.sheets[Math.floor(data.cell[i] / data.sheet.images)]}")`;
  picture.style.backgroundSize = `${data.sheet.columns * 100}% auto`;
  picture.style.backgroundPosition = `${data.sheet.columns > 1 ? column * 100 / (data.sheet.columns - 1) : 0}% ${data.sheet.rows > 1 ? row * 100 / (data.sheet.rows - 1) : 0}%`;
  const words = data.labels[i].map(n => data.classes[n].name).join(", ") || (data.roles[data.role[i]] === "wanted" ? "crowds alone" : "no wanted object");
  button.setAttribute("aria-label", `${nameOf(i)}: ${words}`);
  button.append(picture, element("span", nameOf(i), {className: "name"}), element("span", words, {className: "words"}));
  return button;
}

// Captions are many, and only a search reads them all: they come once something is searched for.
function draw() {
  if (state.text && !data.captions) load("captions").catch(() => { data.captions = []; }).then(draw);
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
  for (const name of ["match", "size", "split", "role", "licence", "source", "lost", "of", "sort"]) $(name).value = state[name];
  for (const name of ["min", "max", "text", "near"]) if ($(name).value !== state[name]) $(name).value = state[name];
  for (const name of ["group", "down"]) $(name).checked = state[name];
  for (const box of document.querySelectorAll("#classes input")) box.checked = state.classes.includes(Number(box.value));
  const on = state.layers.split(",");
  for (const name of Object.keys(LAYERS)) {
    $("show-" + name).checked = on.includes(name);
    $(name).style.visibility = on.includes(name) ? "visible" : "hidden";
  }
  $("opacity").value = state.opacity;
  for (const name of ["mask", "segments", "predicted", "difference"]) $(name).style.opacity = state.opacity;
  $("run").value = state.run;
}

// -- one image

const loaded = {};
function load(name) {
  return loaded[name] ||= new Promise((resolve, reject) => {
    document.head.append(element("script", undefined, {src: `explorer/${name}.js`, onload: resolve, onerror: reject}));
  });
}

function objectsOf(i) {
  const block = Math.floor(i / data.block);
  if (data.details[block]) return Promise.resolve(data.details[block][i % data.block]);
  return load(`objects-${block}`).then(() => data.details[block][i % data.block]);
}

const address = (folder, path) => folder + path.split("/").map(encodeURIComponent).join("/");

// An address, or none; what has none is not shown, nor is its switch.
function lay(name, ...addresses) {
  const there = addresses.every(Boolean);
  $(name).hidden = !there;
  $("show-" + name).closest("label").hidden = !there;
  const pictures = $(name).tagName === "IMG" ? [$(name)] : [...$(name).children];
  if (there) pictures.forEach((picture, n) => { picture.src = addresses[n]; });
}

async function open(i) {
  state.image = String(data.id[i]);
  write();
  const size = `${data.width[i]} × ${data.height[i]}`;
  $("title").textContent = nameOf(i);
  const [photograph, drawn] = data.pictures ? data.pictures[i] : [address(data.store, data.path[i]), data.masks && address(data.masks, data.mask[i])];
  $("photo").src = photograph;
  $("photo").alt = `Image ${data.id[i]}`;
  $("photo").width = data.width[i]; $("photo").height = data.height[i];
  $("stack").style.maxWidth = `${(78 * data.width[i] / data.height[i]).toFixed(1)}vh`;
  const segments = data.panoptic && address(data.panoptic, data.mask[i]);
  const judged = state.run && (data.scores[state.run] || {})[i] !== undefined;
  const predicted = judged && address(data.predicted[state.run], data.mask[i]);
  lay("mask", drawn); lay("segments", segments); lay("predicted", predicted); lay("difference", drawn, predicted);
  $("run").closest("label").hidden = Object.keys(data.predicted).length < 2;
  $("boxes").setAttribute("viewBox", `0 0 ${data.width[i]} ${data.height[i]}`);
  $("points").setAttribute("viewBox", `0 0 ${data.width[i]} ${data.height[i]}`);
  $("boxes").replaceChildren(); $("points").replaceChildren(); $("captions").replaceChildren();
  const rows = [["Image id", data.id[i]], ["File", data.path[i]], ["Size", size], ["Split", data.splits[data.split[i]] || "not split"],
    ["Role", data.roles[data.role[i]]], ["Source split", data.sources[data.source[i]]], ["Licence", data.licences[data.licence[i]] || "not stated"],
    ["Near-duplicates", data.grouped[i] ? `group ${data.group[i]}` : "none"]];
  for (const [run, values] of Object.entries(data.scores)) if (i in values) rows.push([`Mean IoU, ${run}`, values[i] === null ? "undefined" : values[i].toFixed(3)]);
  $("facts").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", String(value))]));
  $("near-duplicates").hidden = !data.grouped[i];
  went("lost", data.lost[data.id[i]] || [], row => `${row[0]} ${row[1]}: ${row[2]}${row[3] ? ` (${row[3]})` : ""}`);
  went("repaired", data.repaired[data.id[i]] || [], row => `${row[0]} ${row[1]}: ${row[2]}`);
  $("trace").textContent = traced(i);
  if (!$("view").open) $("view").showModal();
  const [objects, people, captions, gone] = await objectsOf(i).catch(() => [[], [], [], []]);
  if (state.image !== String(data.id[i])) return;
  for (const name of ["boxes", "points"]) $("show-" + name).closest("label").hidden = !(name === "boxes" ? objects : people).length;
  $("show-captions").closest("label").hidden = !captions.length;
  if (captions.length) $("photo").alt = captions[0];
  $("captions").replaceChildren(...captions.map(text => element("li", text)));
  $("objects").replaceChildren(...objects.map(o => element("li", `${data.classes[o[0]] ? data.classes[o[0]].name : "other"}${o[5] ? ", crowd" : ""}, annotation ${o[6]}`)));
  went("gone", gone, row => `${row[1] || "of no class"}, annotation ${row[0]}: ${data.clauses[row[2]][1]}`);
  people.forEach(draw_points);
  for (const o of objects) {
    if (o[3] === null) continue;
    const colour = data.classes[o[0]] ? data.classes[o[0]].color : "#888888";
    $("boxes").append(svg("rect", {x: o[1], y: o[2], width: o[3], height: o[4], fill: "none", stroke: colour, "stroke-width": 2,
      "vector-effect": "non-scaling-stroke", ...(o[5] ? {"stroke-dasharray": "6 4"} : {})}));
  }
}

// Joints as COCO has them: x, y and how well they are seen (0: not labelled, 1: hidden, 2: seen).
function draw_points(points) {
  const joint = n => points.slice(3 * n, 3 * n + 3);
  const wide = {stroke: "#ffd400", "stroke-width": 2, "vector-effect": "non-scaling-stroke"};
  for (const [a, b] of data.skeleton) {
    const [x1, y1, seen1] = joint(a - 1), [x2, y2, seen2] = joint(b - 1);
    if (seen1 && seen2) $("points").append(svg("line", {x1, y1, x2, y2, ...wide}));
  }
  for (let n = 0; 3 * n < points.length; n++) {
    const [x, y, seen] = joint(n);
    if (seen) $("points").append(svg("circle", {cx: x, cy: y, r: 3, fill: seen > 1 ? "#ffd400" : "#000000", ...wide}));
  }
}

function went(name, rows, words) {
  $(name + "-title").hidden = !rows.length;
  $(name + "-list").replaceChildren(...rows.map(row => element("li", words(row))));
}

const traced = i => `./run python scripts/trace_record.py ${data.subset} --image ${data.id[i]} --config YOUR.yaml`;

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
  $(name).replaceChildren(element("option", any, {value: ""}), ...values.filter(v => v !== "").map(v => element("option", v === "any" ? "lost an object" : v, {value: v})));
  $(name).closest("label").hidden = values.filter(v => v !== "").length < 2;
}

function start() {
  $("fold").open = !window.matchMedia("(max-width: 900px)").matches;
  fill("split", data.splits, "any split"); fill("role", data.roles, "any role");
  fill("licence", data.licences, "any licence"); fill("source", data.sources, "any source split");
  fill("lost", ["any", ...data.reasons], "whatever became of them");
  $("lost").append(...data.clauses.map(([value, text]) => element("option", text, {value})));
  $("lost").closest("label").hidden = $("lost").options.length < 3 && !data.clauses.length;
  fill("run", Object.keys(data.predicted), "no run");
  const names = {objects: "number of objects", pixels: "size in pixels", aspect: "aspect, width by height"};
  if (data.brightness.some(value => value !== null)) names.brightness = "brightness, 0 to 1";
  for (const run of Object.keys(data.scores)) names["score:" + run] = `mean IoU, ${run}`;
  for (const [value, text] of Object.entries(names)) for (const id of ["of", "sort"]) $(id).append(element("option", text, {value}));
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
  for (const name of [...Object.keys(LAYERS).map(name => "show-" + name), "opacity", "run"]) $(name).addEventListener("input", () => {
    state.layers = Object.keys(LAYERS).filter(one => $("show-" + one).checked).join(",");
    state.opacity = $("opacity").value;
    state.run = $("run").value;
    write();
    controls();
    if (name === "run") reopen();
  });
  $("near-duplicates").addEventListener("click", () => {
    const near = data.group[data.id.indexOf(Number(state.image))];
    close();
    Object.assign(state, defaults, {classes: [], near});
    draw();
  });
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
    ? {ArrowLeft: () => step(-1), ArrowRight: () => step(1), i: () => copy(state.image, "image id"),
       t: () => copy($("trace").textContent, "command"), f: () => copy($("title").textContent, "file name"), "?": () => $("help").toggleAttribute("open")}
    : {ArrowLeft: () => move(-1), ArrowRight: () => move(1), ArrowUp: () => move(-wide), ArrowDown: () => move(wide),
       n: () => $("next").click(), p: () => $("previous").click(), "/": () => { $("fold").open = true; $("text").focus(); }, "?": () => $("help").toggleAttribute("open")};
  if (opened) for (const [name, letter] of Object.entries(LAYERS)) if (!$("show-" + name).closest("label").hidden) actions[letter] = () => $("show-" + name).click();
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
}

start();
