// The page of a running vcam. No library, no request to anywhere but this vcam.

const $ = (id) => document.getElementById(id);
const VIEWS = ["after", "before", "mask"];
const KEPT_S = 60;
const memory = {
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* a private window */ } },
};

/** An element. Properties that are no attributes are set as they are; `on` holds listeners. */
function el(name, props = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (key === "on") for (const [event, heard] of Object.entries(value)) made.addEventListener(event, heard);
    else if (key === "class") made.className = value;
    else if (key.includes("-")) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

function toast(text, bad = false) {
  const made = el("p", { class: bad ? "toast bad" : "toast" }, text);
  $("toasts").append(made);
  while ($("toasts").children.length > 3) $("toasts").firstChild.remove();
  setTimeout(() => made.remove(), bad ? 8000 : 3500);
}

/* ---- the way to vcam ---- */

let token = sessionStorage.getItem("token") || "";
const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
if (location.hash) history.replaceState(null, "", location.pathname);

/** The token for a ticket, or for the token of the run before; empty if vcam knows neither. */
async function exchange(given) {
  const answer = await fetch("/api/token", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ given }) });
  if (!answer.ok) return "";
  token = (await answer.json()).token;
  sessionStorage.setItem("token", token);
  return token;
}

async function call(method, path, body, type = "application/json") {
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== undefined) headers["Content-Type"] = type;
  const sent = type === "application/json" && body !== undefined ? JSON.stringify(body) : body;
  const answer = await fetch(path, { method, headers, body: sent });
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.error || `vcam answers with status ${answer.status}`);
  }
  return answer;
}
const asked = async (method, path, body, type) => (await call(method, path, body, type)).json();
const complain = (error) => toast(error.message, true);

let socket = null;
let retry = 0;

async function connect() {
  if (!token) return lost("This address has been used. Type this command to open the page:", true);
  const opened = new WebSocket(`ws://${location.host}/api/live`, ["vcam", `token.${token}`]);
  opened.binaryType = "arraybuffer";
  socket = opened;
  let worked = false;
  opened.onopen = () => { worked = true; };
  opened.onmessage = (message) => typeof message.data === "string" ? hear(JSON.parse(message.data)) : show(message.data);
  opened.onclose = async () => {
    if (socket !== opened) return;
    socket = null;
    retry = worked ? 0 : retry + 1;
    lost("vcam does not answer. This page connects again by itself.");
    setTimeout(again, Math.min(300 * 2 ** retry, 3000));
  };
}

/** After a restart vcam has another token, and gives it to whoever has the last one. */
async function again() {
  try {
    const answer = await fetch("/api/run", { headers: { Authorization: `Bearer ${token}` } });
    if (answer.status === 401 && !(await exchange(token))) {
      return lost("This page belongs to an earlier run. Type this command for the present one:", true);
    }
  } catch { /* it does not run: try the socket, and then again */ }
  connect();
}

function lost(text, command = false) {
  $("lost").hidden = false;
  $("lost-text").textContent = text;
  $("lost-command").hidden = !command;
  tone("bad", "Not connected");
}

/* ---- what is wanted, and how it is asked for ---- */

let schema = null;
let wanted = null;
let backgrounds = [];
let pending = {};
let inFlight = null;
let count = 0;

/** Ask for changes; while one is on its way, later ones are gathered, and the last value of a key counts. */
function set(changes) {
  Object.assign(pending, changes);
  for (const key of ["paused", "mirror"]) { // shown at once: a key may be pressed again before vcam answers
    if (wanted && key in changes) wanted[key] = changes[key];
  }
  drawButtons();
  flush();
}

function flush() {
  if (inFlight !== null || !socket || socket.readyState !== WebSocket.OPEN || !Object.keys(pending).length) return;
  inFlight = ++count;
  socket.send(JSON.stringify({ set: pending, id: inFlight }));
  pending = {};
}

function hear(message) {
  const { kind, data } = message;
  if (kind === "run") {
    $("lost").hidden = true;
    retry = 0;
    inFlight = null;
    samples.splice(0, samples.length, ...data.samples);
    start(data);
  } else if (kind === "answer") {
    if (message.id === inFlight) inFlight = null;
    if (message.error) {
      toast(message.error, true);
      asked("GET", "/api/run").then((now) => { wanted = now.wanted; render(true); }).catch(complain);
    }
    flush();
  } else if (kind === "changed") {
    wanted = data;
    render();
  } else if (kind === "state") {
    stateOf(data);
  } else if (kind === "settings") {
    settingsError(data.error);
    if (!data.error && data.changes.length) toast(`Settings file read again: ${data.changes.join(", ")}`);
    loadProfiles();
  } else if (kind === "sample") {
    samples.push(data);
    samples.splice(0, samples.length - KEPT_S);
    drawMeters();
  }
}

async function start(data) {
  wanted = data.wanted;
  stateOf(data.state);
  settingsError(data.settings_error);
  look();
  drawMeters();
  try {
    if (!schema) {
      schema = await asked("GET", "/api/schema");
      build();
    }
    backgrounds = await asked("GET", "/api/backgrounds");
    buildGallery();
    render(true);
    flush();
    await Promise.all([loadCameras(), loadEngines(), loadProfiles()]);
  } catch (error) { complain(error); }
}

function settingsError(text) {
  $("settings-error").hidden = !text;
  $("settings-error").textContent = text ? `Settings file: ${text}. The previous settings stay in effect.` : "";
}

let state = { name: "starting", reason: "" };
const TONES = { running: "good", idle: "good", waiting: "warn", starting: "warn" };

function stateOf(data) {
  state = data;
  drawState();
}

function drawState() {
  const last = samples.at(-1);
  if (wanted?.paused) return tone("warn", "Paused");
  const words = { running: "Live", idle: "Idle: nobody looks", starting: "Starting", waiting: "Waiting" };
  let text = words[state.name] || state.name[0].toUpperCase() + state.name.slice(1);
  if (state.name === "running" && last) text += ` · ${Math.round(last.fps)} fps`;
  else if (state.reason) text += `: ${state.reason}`;
  tone(TONES[state.name] || "bad", text);
}

function tone(name, text) {
  $("state").dataset.tone = name;
  if ($("state-text").textContent !== text) $("state-text").textContent = text;
  $("state").title = text;
}

/* ---- preview ---- */

const canvas = $("canvas");
const pen = canvas.getContext("2d");
let view = "after";
let pictures = {};

function look() {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  const views = document.hidden ? [] : { after: ["after"], split: ["after", "before"], mask: ["mask", "after"] }[view];
  socket.send(JSON.stringify({ views }));
}
document.addEventListener("visibilitychange", look);

async function show(buffer) {
  const from = socket;
  const data = new DataView(buffer);
  const found = {};
  try {
    for (let at = 8, left = data.getUint32(4, true); left; left--) {
      const name = VIEWS[data.getUint32(at, true)];
      const length = data.getUint32(at + 4, true);
      at += 8;
      if (length) found[name] = await createImageBitmap(new Blob([new Uint8Array(buffer, at, length)], { type: "image/jpeg" }));
      at += length;
    }
    Object.values(pictures).forEach((picture) => picture.close());
    pictures = found;
    draw();
  } finally {
    if (from?.readyState === WebSocket.OPEN) from.send('{"taken":1}');
  }
}

function draw() {
  const main = view === "mask" ? pictures.mask || pictures.after : pictures.after;
  if (!main) return;
  $("wait").hidden = true;
  if (canvas.width !== main.width || canvas.height !== main.height) {
    canvas.width = main.width;
    canvas.height = main.height;
    $("screen").style.aspectRatio = `${main.width} / ${main.height}`;
  }
  pen.drawImage(main, 0, 0, canvas.width, canvas.height);
  if (view === "split" && pictures.before) {
    const edge = Math.round(canvas.width * $("split").value / 100);
    if (edge) pen.drawImage(pictures.before, 0, 0, edge, main.height, 0, 0, edge, canvas.height);
  }
  $("line").hidden = $("tag-before").hidden = view !== "split" || !pictures.before;
  const words = { after: "What others see", split: pictures.before ? "What others see" : "No camera picture now", mask: pictures.mask ? "Mask: the room is tinted" : "No mask: no effect looks for you" };
  $("tag-after").textContent = words[view];
}

function chooseView(name) {
  view = name;
  document.querySelector(`input[name="view"][value="${name}"]`).checked = true;
  const compare = view === "split";
  for (const id of ["split", "line", "tag-before"]) $(id).hidden = !compare;
  canvas.setAttribute("aria-label", { after: "Live preview of what others see", split: "Live preview, the camera on the left, what others see on the right", mask: "Live preview of the mask" }[view]);
  moveSplit();
  look();
  draw();
}

function moveSplit() {
  $("line").style.left = `${$("split").value}%`;
  $("split").setAttribute("aria-valuetext", `${$("split").value} percent camera`);
}
$("split").addEventListener("input", () => { moveSplit(); draw(); });
$("views").addEventListener("change", (event) => chooseView(event.target.value));

$("pause").addEventListener("click", () => set({ paused: !wanted?.paused }));
$("mirror").addEventListener("click", () => set({ mirror: !wanted?.mirror }));
$("shot").addEventListener("click", snapshot);

async function snapshot() {
  try {
    const blob = await (await call("GET", "/api/snapshot.png")).blob();
    const link = el("a", { href: URL.createObjectURL(blob), download: `vcam-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    toast("Snapshot saved to your downloads");
  } catch (error) { complain(error); }
}

/* ---- controls, made of the schema ---- */

const inputs = new Map(); // key -> (value) => void, which shows a value
let held = ""; // the key of the slider that is being dragged: others may not move it

const percent = (value, about) => about["x-unit"] || about.maximum !== 1 ? `${+value.toFixed(1)}${about["x-unit"] ? ` ${about["x-unit"]}` : ""}` : `${Math.round(value * 100)} %`;

function slider(key, about, title) {
  const id = `p-${key.replace(".", "-")}`;
  const out = el("output", { htmlFor: id });
  const input = el("input", { id, type: "range", min: about.minimum, max: about.maximum, step: about["x-step"] || 0.01 });
  const paint = () => {
    input.style.setProperty("--fill", `${100 * (input.value - about.minimum) / (about.maximum - about.minimum)}%`);
    out.textContent = percent(+input.value, about);
    input.setAttribute("aria-valuetext", out.textContent);
  };
  input.addEventListener("input", () => { held = key; paint(); set({ [key]: +input.value }); });
  input.addEventListener("change", () => { held = ""; });
  input.addEventListener("blur", () => { held = ""; });
  inputs.set(key, (value, forced) => { if (forced || held !== key) { input.value = value ?? about.default; paint(); } });
  return el("div", { class: "slider" }, el("label", { htmlFor: id }, title), out, input);
}

const plainName = (text) => text[0].toUpperCase() + text.slice(1);

function colors(key, about, title) {
  const name = `c-${key.replace(".", "-")}`;
  const seen = new Set();
  const named = Object.entries(about["x-names"] || {}).filter(([, code]) => !seen.has(code) && seen.add(code));
  const dots = named.map(([word, code]) => {
    const dot = el("span");
    dot.style.background = code;
    return el("label", { class: "swatch", title: plainName(word) },
      el("input", { type: "radio", name, value: code, "aria-label": plainName(word), on: { change: () => set({ [key]: code }) } }), dot);
  });
  const picker = el("input", { type: "color", class: "picker", "aria-label": `${title}: another colour`, on: { input: (event) => { held = key; set({ [key]: event.target.value }); }, change: () => { held = ""; } } });
  inputs.set(key, (value) => {
    const code = value || about.default || about["x-example"];
    if (held !== key) picker.value = code;
    for (const dot of dots) dot.firstChild.checked = dot.firstChild.value === code;
  });
  return el("div", { class: "swatches", role: "group", "aria-label": title }, ...dots, picker);
}

function control(key, about, title) {
  if (about["x-kind"] === "number") return slider(key, about, title);
  if (about["x-kind"] === "color") return colors(key, about, title);
  return null;
}

const isOn = (name) => wanted.effects.some((effect) => effect.on && effect.name === name);
const valuesOf = (name) => wanted.effects.find((effect) => effect.name === name)?.values || {};

/** An effect with its switch, its place in the chain and its parameters. */
function effectRow(name, about) {
  const id = `e-${name}`;
  const note = el("small", {}, plainName(about.description));
  const input = el("input", { id, type: "checkbox", role: "switch", class: "switch" });
  const params = Object.entries(about.properties);
  const options = el("div", { class: "options" }, ...params.map(([key, one]) => control(`${name}.${key}`, one, plainName(key))));
  const move = (step, label, sign) => el("button", { type: "button", class: "soft small", "aria-label": `${about.title}: ${label}`, on: { click: () => reorder(name, step) } }, icon(sign));
  const moves = [move(-1, "earlier", "up"), move(1, "later", "down")];
  const row = el("li", { class: "effect" }, el("div", { class: "effect-head" }, el("label", { htmlFor: id }, about.title, note), ...moves, input), options);
  input.addEventListener("change", () => switchOn(name, about, input.checked));
  const needsFile = params.some(([, one]) => one["x-kind"] === "file");
  inputs.set(name, () => {
    const on = isOn(name);
    const group = order().filter((other) => schema.effects[other.replace(/\d+$/, "")]["x-room"] === about["x-room"]);
    input.checked = on;
    input.disabled = needsFile && !on && !valuesOf(name).path;
    if (needsFile) note.textContent = input.disabled ? (name === "image" ? "Choose a picture in the gallery first" : name === "video" ? "Choose a film in the gallery first" : `Type: vcam set ${name}=FILE`) : plainName(about.description);
    row.classList.toggle("on", on);
    options.hidden = !on || !options.children.length;
    moves[0].hidden = moves[1].hidden = !on || group.length < 2;
    moves[0].disabled = group[0] === name;
    moves[1].disabled = group.at(-1) === name;
  });
  return row;
}

function switchOn(name, about, on) {
  const changes = { [name]: on };
  for (const [key, one] of Object.entries(about.properties)) {
    if (on && one["x-example"] && !(key in valuesOf(name))) changes[`${name}.${key}`] = one["x-example"];
  }
  if (Object.keys(changes).length > 1) delete changes[name]; // a value switches it on
  set(changes);
}

const order = () => wanted.effects.filter((effect) => effect.on).map((effect) => effect.id);

function reorder(name, step) {
  const names = order();
  const at = names.indexOf(name);
  [names[at], names[at + step]] = [names[at + step], names[at]];
  set({ order: names });
}

function build() {
  for (const [name, about] of Object.entries(schema.effects)) {
    if (name === "none") continue;
    $(about["x-room"] ? "room" : "face").append(effectRow(name, about));
  }
  const { grow, feather } = schema.settings;
  $("edge").append(slider("grow", grow, "Edge: wider or narrower"), slider("feather", feather, "Edge: softer"));
}

/* ---- gallery ---- */

/** All of them, also those that are off as far as this page knows: an answer may still be on its way. */
const roomOff = (...but) => Object.fromEntries(Object.entries(schema.effects).filter(([name, about]) => about["x-room"] && !but.includes(name)).map(([name]) => [name, false]));

function tile(value, label, face, chosen, ...more) {
  return el("li", { class: "tile" }, el("label", {},
    el("input", { type: "radio", name: "background", value, "aria-label": label, on: { change: chosen } }),
    face, el("span", { class: "label", "aria-hidden": "true" }, label)), ...more);
}

const badge = (name, more = "") => el("span", { class: `face ${more}` }, icon(name));

function buildGallery() {
  const old = document.activeElement?.closest?.("#gallery") ? document.activeElement.value : null;
  const tiles = [
    tile("blur", "Blur", badge("blur", "blurred"), () => set({ ...roomOff("blur"), blur: true })),
    tile("none", "Real room", badge("eye"), () => set({ none: true })),
    ...backgrounds.map((one) => pictureTile(one)),
    tile("color", "Colour", badge("drop", "rainbow"), () => set({ ...roomOff("color"), color: true })),
    tile("remove", "Cut-out", badge("cut"), () => set({ ...roomOff("remove"), remove: true })),
    el("li", { class: "tile" }, el("button", { type: "button", class: "add", id: "upload", on: { click: () => $("file").click() } }, el("span", { class: "face" }, icon("plus")), el("span", { class: "sr" }, "Upload a picture")), el("span", { class: "label", "aria-hidden": "true" }, "Upload")),
  ];
  const list = el("ul", { class: "gallery" }, ...tiles);
  $("gallery").className = "";
  $("gallery").querySelector("ul")?.remove();
  $("gallery").append(list);
  if (old) list.querySelector(`input[value="${CSS.escape(old)}"]`)?.focus();
  inputs.set("background", () => {
    const now = ["none", "color", "remove", "image", "video", "blur"].find(isOn);
    const value = ["image", "video"].includes(now) ? backgrounds.find((one) => one.path === valuesOf(now).path)?.id : now;
    for (const input of list.querySelectorAll("input")) input.checked = input.value === value;
    $("back-hint").textContent = now === "none" ? "Others see your room" : "";
    $("back-options").replaceChildren(...backOptions(now));
  });
}

const thumbnails = new Map();

function pictureTile(one) {
  const image = el("img", { alt: "", decoding: "async", hidden: true });
  thumbnail(one.id).then((url) => { if (url) { image.src = url; image.hidden = false; } });
  const bin = one.own ? el("button", { type: "button", class: "bin", "aria-label": `Remove ${one.label}`, on: { click: () => removePicture(one) } }, icon("bin")) : null;
  const effect = one.is_film ? "video" : "image";
  const label = one.is_film ? `${one.label} (film)` : one.label;
  return tile(one.id, label, el("span", { class: "face" }, image), () => set({ ...roomOff(effect), [`${effect}.path`]: `gallery:${one.id}` }), bin);
}

async function thumbnail(id) {
  if (!thumbnails.has(id)) {
    thumbnails.set(id, call("GET", `/api/backgrounds/${id}/thumbnail.jpg`).then((answer) => answer.blob()).then((blob) => URL.createObjectURL(blob)).catch(() => { thumbnails.delete(id); return null; }));
  }
  return thumbnails.get(id);
}

/** The main choice of the chosen background stands right below it. */
let backControls = {};
function backOptions(name) {
  if (!name || !["blur", "color", "remove"].includes(name)) return [];
  const key = name === "blur" ? "blur.strength" : `${name}.color`;
  if (!backControls[name]) {
    const shown = inputs.get(key);
    const about = schema.effects[name].properties[key.split(".")[1]];
    const made = name === "blur" ? sliderTwin(key, about) : colorTwin(key, about);
    const twin = inputs.get(key);
    inputs.set(key, (value, forced) => { shown(value, forced); twin(value, forced); });
    backControls[name] = made;
    inputs.get(key)(valuesOf(name)[key.split(".")[1]], true);
  }
  return [backControls[name]];
}
function sliderTwin(key, about) {
  const made = slider(key, about, "How strong");
  made.querySelector("input").id += "-main";
  made.querySelector("label").htmlFor += "-main";
  return made;
}
function colorTwin(key, about) {
  const made = colors(key, about, "Colour of the background");
  for (const input of made.querySelectorAll('input[type="radio"]')) input.name += "-main";
  return made;
}

$("file").addEventListener("change", () => { upload($("file").files[0]); $("file").value = ""; });
$("screen").addEventListener("dragover", (event) => event.preventDefault());
for (const id of ["screen", "gallery"]) {
  $(id).addEventListener("dragover", (event) => event.preventDefault());
  $(id).addEventListener("drop", (event) => { event.preventDefault(); upload(event.dataTransfer.files[0]); });
}

async function upload(file) {
  if (!file) return;
  try {
    const one = await asked("PUT", `/api/backgrounds?name=${encodeURIComponent(file.name)}`, file, file.type || "application/octet-stream");
    backgrounds = await asked("GET", "/api/backgrounds");
    buildGallery();
    set({ ...roomOff("image"), "image.path": `gallery:${one.id}` });
    render();
  } catch (error) { complain(error); }
}

/* Films come by the folder of the gallery, while the page is open. */
window.addEventListener("focus", async () => {
  try {
    const now = await asked("GET", "/api/backgrounds");
    if (JSON.stringify(now) === JSON.stringify(backgrounds)) return;
    backgrounds = now;
    buildGallery();
    render();
  } catch { /* the page says elsewhere that the run is away */ }
});

async function removePicture(one) {
  try {
    await asked("DELETE", `/api/backgrounds/${one.id}`);
    backgrounds = backgrounds.filter((other) => other.id !== one.id);
    buildGallery();
    render();
    toast(`${one.label} removed`);
  } catch (error) { complain(error); }
}

/* ---- camera, engine, profiles, health ---- */

async function loadCameras() {
  const { cameras } = await asked("GET", "/api/devices").catch(() => ({ cameras: [] }));
  const options = [["webcam", "First camera"], ...cameras.map((one) => [`webcam:${one.path}`, `${one.card} (${one.path})${one.problem ? `: ${one.problem}` : ""}`]), ["demo", "Demo: a portrait that moves"]];
  if (!options.some(([value]) => value === wanted.source)) options.unshift([wanted.source, wanted.source]);
  $("source").replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
  inputs.set("source", (value) => { $("source").value = value; });
  inputs.get("source")(wanted.source);
}
$("source").addEventListener("change", () => set({ source: $("source").value }));

let engines = [];
async function loadEngines() {
  engines = await asked("GET", "/api/engines");
  drawEngines();
}

function costOf(one) {
  if (!one.size) return plainName(one.about);
  const size = `${one.size} pixels, ${one.megabytes} MB`;
  if (!one.ms) return `${size} · not measured here`;
  return `${size} · ${one.ms.toFixed(1)} ms a picture, ${Math.round(one.ms * 3)} % of a core at 30 fps`;
}

function drawEngines() {
  const rows = engines.map((one) => el("label", { class: "engine" },
    el("input", { type: "radio", name: "engine", value: one.name, on: { change: () => set({ engine: one.name }) } }),
    el("strong", {}, one.size ? one.name : "Automatic"), el("span", { class: "cost" }, costOf(one))));
  $("engines").replaceChildren(el("legend", {}, "Engine: the network that finds you"), ...rows);
  inputs.set("engine", (value) => { for (const input of $("engines").querySelectorAll("input")) input.checked = input.value === value || input.value === `${value}_fp32`; });
  inputs.get("engine")(wanted.engine);
}

$("measure").addEventListener("click", async () => {
  $("measure").disabled = true;
  try {
    for (const one of engines.filter((other) => other.size)) {
      $("measure").textContent = `Measuring ${one.name}`;
      Object.assign(one, await asked("POST", `/api/engines/${one.name}/measure`));
      drawEngines();
    }
  } catch (error) { complain(error); }
  $("measure").textContent = "Measure on this machine";
  $("measure").disabled = false;
});

async function loadProfiles() {
  try {
    const { profiles, file } = await asked("GET", "/api/profiles");
    $("profiles").replaceChildren(...profiles.map((name) => el("button", { type: "button", class: "soft", on: { click: () => useProfile(name) } }, name)));
    $("save-default").title = file;
  } catch (error) { complain(error); }
}

async function useProfile(name) {
  try {
    await asked("POST", `/api/profiles/${encodeURIComponent(name)}/use`);
    toast(`Profile ${name} is in use`);
  } catch (error) { complain(error); }
}

$("save").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("profile-name").value.trim();
  try {
    await asked("PUT", `/api/profiles/${encodeURIComponent(name)}`);
    $("profile-name").value = "";
    toast(`Profile ${name} saved`);
    loadProfiles();
  } catch (error) { complain(error); }
});
$("save-default").addEventListener("click", async () => {
  try {
    const { file } = await asked("POST", "/api/settings");
    toast(`Saved to ${file}`);
  } catch (error) { complain(error); }
});

$("check").addEventListener("click", async () => {
  $("check").disabled = true;
  $("doctor").replaceChildren(el("p", { class: "hint" }, "Looking"));
  try {
    const { checks } = await asked("GET", "/api/doctor");
    const [needs, fine] = [checks.filter((one) => ["problem", "warning"].includes(one.state)), checks.filter((one) => !["problem", "warning"].includes(one.state))];
    const head = needs.length ? null : el("p", {}, "Nothing needs your attention.");
    const rest = el("details", {}, el("summary", {}, `${fine.length} other checks`), el("ul", { class: "findings" }, ...fine.map(finding)));
    $("doctor").replaceChildren(...[head, needs.length ? el("ul", { class: "findings" }, ...needs.map(finding)) : null, rest].filter(Boolean));
  } catch (error) { $("doctor").replaceChildren(); complain(error); }
  $("check").disabled = false;
});

function finding(one) {
  const row = el("li", { class: "finding" }, el("span", { class: "dot", "aria-hidden": "true" }), el("p", {}, el("b", {}, `${one.name} (${one.state}): `), one.reason));
  row.dataset.state = one.state;
  for (const { command } of one.fix) {
    const copy = el("button", { type: "button", class: "soft small", "aria-label": `Copy ${command}`, on: { click: () => copyText(command) } }, icon("copy"));
    row.append(el("div", { class: "command" }, el("code", {}, command), copy));
  }
  return row;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch { toast(`Copy it by hand: ${text}`, true); }
}

/* ---- the last minute ---- */

const samples = [];
const METERS = [
  ["fps", "Frames", "fps", (s) => s.fps, 0, 30],
  ["latency", "Latency", "ms", (s) => s.latency_ms, 0, 40],
  ["drops", "Dropped", "per s", (s) => s.drops, 0, 5],
  ["cpu", "Processor", "% of a core", (s) => 100 * s.cpu, 0, 100],
];

function buildMeters() {
  $("meters").replaceChildren(...METERS.map(([id, name, unit]) => {
    const row = el("li", { class: "meter" }, el("span", { class: "name" }, name), el("div", { class: "value" }, el("span", { id: `m-${id}` }, "–"), " ", el("small", {}, unit)));
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 118 40");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.id = `g-${id}`;
    svg.setAttribute("aria-label", `${name}, last minute`);
    for (const kind of ["base", "area", "curve"]) {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", kind);
      svg.append(path);
    }
    svg.children[0].setAttribute("d", "M0 39.500H118");
    row.append(svg);
    return row;
  }));
}

function drawMeters() {
  for (const [id, name, unit, of, floor, usual] of METERS) {
    const values = samples.map(of);
    if (!values.length) continue;
    const top = Math.max(usual, ...values) * 1.08;
    const points = values.map((value, i) => `${(KEPT_S - values.length + i) * 2} ${(39 - 37 * (value - floor) / (top - floor)).toFixed(1)}`);
    const [, area, curve] = $(`g-${id}`).children;
    const first = points[0].split(" ")[0];
    curve.setAttribute("d", `M${points.join("L")}`);
    area.setAttribute("d", `M${first} 39.500L${points.join("L")}L118 39.500Z`);
    $(`m-${id}`).textContent = Math.round(values.at(-1));
    $(`g-${id}`).setAttribute("aria-label", `${name}: ${Math.round(values.at(-1))} ${unit}; in the last minute between ${Math.round(Math.min(...values))} and ${Math.round(Math.max(...values))}`);
  }
  drawState();
}

/* ---- everything that shows what is wanted ---- */

function drawButtons() {
  if (!wanted) return;
  $("pause").setAttribute("aria-pressed", String(wanted.paused));
  $("pause").querySelector("span").textContent = wanted.paused ? "Resume" : "Pause";
  $("pause").querySelector("use").setAttribute("href", wanted.paused ? "#i-play" : "#i-pause");
  $("mirror").setAttribute("aria-pressed", String(wanted.mirror));
  drawState();
}

function render(forced = false) {
  drawButtons();
  if (!wanted || !schema) return;
  for (const [key, show] of [...inputs]) {
    const [name, param] = key.split(".");
    show(param ? valuesOf(name)[param] : wanted[key], forced);
  }
}

/* ---- keys, theme ---- */

const KEYS = {
  p: ["Pause or resume", () => $("pause").click()],
  m: ["Mirror", () => $("mirror").click()],
  b: ["Blur", () => document.querySelector('#gallery input[value="blur"]')?.click()],
  s: ["Snapshot", snapshot],
  1: ["View: result", () => chooseView("after")],
  2: ["View: compare", () => chooseView("split")],
  3: ["View: mask", () => chooseView("mask")],
  "?": ["This list", () => $("help").showModal()],
};
$("shortcuts").append(...Object.entries(KEYS).flatMap(([key, [text]]) => [el("dt", {}, el("kbd", {}, key.toUpperCase())), el("dd", {}, text)]));
$("keys").addEventListener("click", () => $("help").showModal());
$("keys-on").checked = memory.get("keys") !== "off";
$("keys-on").addEventListener("change", () => memory.set("keys", $("keys-on").checked ? "on" : "off"));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || !$("keys-on").checked || $("help").open) return;
  if (event.target.matches?.("input[type=text], select, textarea")) return;
  const found = KEYS[event.key.toLowerCase()];
  if (found) { event.preventDefault(); found[1](); }
});

const themed = (name) => { if (name) document.documentElement.dataset.theme = name; };
themed(memory.get("theme"));
$("theme").addEventListener("click", () => {
  const dark = (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  themed(dark ? "light" : "dark");
  memory.set("theme", dark ? "light" : "dark");
});

buildMeters();
if (ticket) await exchange(ticket).catch(() => "");
connect();
