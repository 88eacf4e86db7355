"use strict";

const at = (id) => document.getElementById(id);
const SHOWN = 400; // more images than this are only worth downloading
let model = null;
const chosen = new Set();
const KINDS = {
  cvae_gan: "CVAE-GAN",
  deepsim: "DeePSiM",
  line_saae: "SAAE on lines of text",
  masked_vae: "masked VAE",
  saae: "stylized adversarial autoencoder (SAAE)",
  vae_gan: "VAE/GAN",
};

/** Call the service; a refusal becomes an Error with the service's own message. */
async function call(path, options) {
  const response = await fetch(path, options);
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new Error(body?.error?.message ?? `The service answered ${response.status}.`);
}

function say(text, isError = false, panel = at("ask")) {
  const status = panel.querySelector(".status");
  status.textContent = text;
  status.classList.toggle("error", isError);
}

/** Run an action with the panel's buttons disabled; errors are told in its status line. */
async function working(action, panel = at("ask")) {
  const buttons = [...panel.querySelectorAll("button:enabled")];
  for (const button of buttons) button.disabled = true;
  try {
    await action();
  } catch (error) {
    panel.hidden = false;
    say(error.message, true, panel);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function element(tag, text, properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text }, properties);
}

async function listModels() {
  const { models } = await (await call("v1/models")).json();
  at("model").replaceChildren(
    ...models.map((m) =>
      element("option", m.error ? `${m.name}/${m.version} (damaged)` : `${m.name}/${m.version}`, {
        value: m.name,
        disabled: Boolean(m.error),
      }),
    ),
  );
  const first = models.find((m) => !m.error);
  if (!first) throw new Error("The registry holds no usable bundle.");
  at("model").value = first.name;
  await showModel(first.name);
}

/** What reads images back, and how well it reads real ones that it was not trained on. */
function readerOf({ reader, metrics }) {
  if (!reader) return "none";
  const right = metrics.reader_accuracy;
  const well = right === undefined ? "" : `, right on ${(100 * right).toFixed(0)} % of real images`;
  return `by a recognizer of its own${well}`;
}

/** What a user wants to know of the model: [name, value, what the pointer is told]. */
function factsOf(model) {
  const [height, width] = model.image_size;
  const { uri, images } = model.data;
  const { steps, images: seen } = model.metrics;
  const number = (value) => Math.round(value).toLocaleString("en");
  const labels = model.classes.length === 1 ? "1 label" : `${number(model.classes.length)} labels`;
  const colour = model.channels === 1 ? "gray" : "colour";
  const what = model.capabilities.includes("texts")
    ? ["writes", `${model.data.layout.name}, ${height} pixels high, ${colour}`, model.classes.join("")]
    : ["draws", `${labels}, ${width} × ${height} pixels, ${colour}`];
  return [
    ["kind", KINDS[model.architecture] ?? model.architecture],
    what,
    ["trained on", images ? `${number(images)} real images, ${uri.split("/").pop()}` : "–", uri],
    ...(steps ? [["trained for", `${number(steps)} steps, ${number(seen)} images seen`]] : []),
    ["published", new Date(model.published).toLocaleString("en-GB", { dateStyle: "medium" })],
    ["read-back", readerOf(model)],
    ["offers", model.capabilities.join(", ")],
    ["digest", model.digest.slice(0, 12), model.digest],
  ];
}

async function showModel(name) {
  model = await (await call(`v1/models/${encodeURIComponent(name)}`)).json();
  at("facts").replaceChildren(
    ...factsOf(model).flatMap(([name, value, title = ""]) => [
      element("dt", name),
      element("dd", value, { title }),
    ]),
  );
  at("samples").src = `v1/models/${encodeURIComponent(name)}/${model.version}/samples.png`;
  at("samples").hidden = false;
  showReadBack(at("ask"));
  at("ask").hidden = !model.capabilities.includes("generate");
  choose(model.classes.slice(0, 10));
  at("images").replaceChildren();
  say("");
  showImageTools();
  showLineTools();
}

/** Offer to read back where the model has a reader, within the reader's own band, in percent. */
function showReadBack(panel) {
  const check = panel.querySelector(".check input");
  const band = panel.querySelector(".band");
  check.checked = model.reader;
  check.disabled = !model.reader;
  band.hidden = !model.reader;
  band.disabled = false;
  band.querySelectorAll("input").forEach((input, end) => {
    input.value = input.placeholder = model.reader ? Number((100 * model.reader_band[end]).toFixed(6)) : "";
  });
}

/** What the form says of reading back: the band only where it is not the reader's own. */
function readBack(panel) {
  const read_back = panel.querySelector(".check input").checked;
  const ends = [...panel.querySelectorAll(".band input")];
  const isOwn = ({ value, placeholder }) => value === "" || value === placeholder;
  if (!read_back || ends.every(isOwn)) return { read_back };
  const [least, greatest] = ends.map((end) => Number(end.value || end.placeholder));
  if (least > greatest) {
    throw new Error(`Write the smaller confidence first, got ${least} to ${greatest} %.`);
  }
  return { read_back, reader_band: [least / 100, greatest / 100] };
}

function choose(labels) {
  chosen.clear();
  for (const label of labels) chosen.add(label);
  at("labels").replaceChildren(...model.classes.map(chip));
}

function chip(label) {
  const button = element("button", label, { type: "button" });
  button.setAttribute("aria-pressed", String(chosen.has(label)));
  button.addEventListener("click", () => {
    if (!chosen.delete(label)) chosen.add(label);
    button.setAttribute("aria-pressed", String(chosen.has(label)));
  });
  return button;
}

/** The request as the form stands; the service checks it. */
function request(format) {
  const count = at("count").valueAsNumber;
  const labels = Object.fromEntries(
    model.classes.filter((label) => chosen.has(label)).map((label) => [label, count]),
  );
  const body = { labels, format, ...readBack(at("ask")) };
  if (at("seed").value !== "") body.seed = at("seed").valueAsNumber;
  return body;
}

const target = (what) => `v1/models/${encodeURIComponent(model.name)}/${model.version}/${what}`;

function ask(body) {
  return call(target("generate"), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

function figure(image) {
  const figure = document.createElement("figure");
  const sure = image.confidence === null ? "" : `${(100 * image.confidence).toFixed(0)} %`;
  const caption = document.createElement("figcaption");
  caption.append(element("b", image.label), element("span", sure, { title: "read-back" }));
  const picture = element("img", "", {
    src: `data:image/png;base64,${image.png}`,
    alt: `generated image of ${image.label}`,
  });
  figure.append(picture, caption);
  return figure;
}

function tell(answer, panel = at("ask")) {
  const missing = Object.entries(answer.shortfall).map(([label, n]) => `${label}: ${n}`);
  const parts = [`${answer.kept} kept of ${answer.made} made`, `seed ${answer.seed}`];
  if (missing.length) parts.push(`short of ${missing.join(", ")}`);
  say(parts.join(" · "), missing.length > 0, panel);
}

async function draw() {
  const body = request("json");
  const total = chosen.size * Object.values(body.labels)[0];
  if (total > SHOWN) throw new Error(`The page shows up to ${SHOWN} images; download them.`);
  say("drawing …");
  const answer = await (await ask(body)).json();
  at("images").replaceChildren(...answer.images.map(figure));
  tell(answer);
}

/** The layout that is chosen in a panel for what it downloads. */
const formatOf = (panel) => panel.querySelector(".format select").value;

/** Save a file that the service answered with, under the name it gives. */
async function save(response, panel = at("ask")) {
  const [, name] = response.headers.get("Content-Disposition").match(/filename="(.*)"/);
  const link = element("a", "", {
    href: URL.createObjectURL(await response.blob()),
    download: name,
  });
  link.click();
  URL.revokeObjectURL(link.href);
  say(`${response.headers.get("X-Kept")} images in ${link.download}`, false, panel);
}

async function download() {
  say("drawing …");
  await save(await ask(request(formatOf(at("ask")))));
}

async function copyCurl() {
  const format = formatOf(at("ask"));
  const quoted = JSON.stringify(request(format)).replaceAll("'", "'\\''");
  const url = new URL(target("generate"), document.baseURI);
  const file = format === "webdataset" ? "images.tar" : "images.zip";
  const command = `curl -fo ${file} -H 'Content-Type: application/json' -d '${quoted}' '${url}'`;
  await navigator.clipboard.writeText(command);
  say("curl copied");
}

at("model").addEventListener("change", () => working(() => showModel(at("model").value)));
for (const panel of [at("ask"), at("write")]) {
  for (const part of ["read-back", "format"]) {
    panel.querySelector(`.${part}`).append(at(part).content.cloneNode(true));
  }
  panel.querySelector(".check input").addEventListener("change", ({ target: check }) => {
    panel.querySelector(".band").disabled = !check.checked;
  });
}
at("all").addEventListener("click", () => choose(model.classes));
at("none").addEventListener("click", () => choose([]));
at("draw").addEventListener("click", () => working(draw));
at("download").addEventListener("click", () => working(download));
at("copy").addEventListener("click", () => working(copyCurl));
addEventListener("DOMContentLoaded", () => working(listModels));
