"use strict";

const WORKS = ["inpaint", "super-resolve", "edit", "reconstruct", "morph"];
let given = null; // the image file that is worked on
let returned = null; // what came back, as a blob
let asked = 0; // requests so far; only the last one's answer is shown

/** Show what the model can do with images, and nothing else. */
function showImageTools() {
  const offered = WORKS.filter((what) => model.capabilities.includes(what));
  at("work").hidden = offered.length === 0;
  for (const part of at("work").querySelectorAll("[data-for]")) {
    part.hidden = !offered.includes(part.dataset.for);
  }
  at("hole").hidden = !given || !offered.includes("inpaint");
  at("attributes").replaceChildren(...model.attributes.map(slider));
  show(null);
  say("", false, at("work"));
}

function slider(name) {
  const label = element("label", name.replaceAll("_", " "));
  const max = Math.min(model.max_strength, 2); // beyond, faces come apart
  const input = element("input", "", { type: "range", min: -max, max, step: 0.1, value: 0, name });
  const value = element("output", "0");
  input.addEventListener("input", () => (value.textContent = input.value));
  input.addEventListener("change", () => work(edit));
  label.append(input, value);
  return label;
}

/** Take an image file to work on; the hole starts empty. */
async function take(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new Error(`The browser cannot show ${file.name ?? "this file"}.`);
  for (const canvas of [at("picture"), at("hole")]) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.hidden = false;
  }
  at("picture").getContext("2d").drawImage(bitmap, 0, 0);
  clearHole();
  given = file;
  at("drop").hidden = true;
  at("hole").hidden = !model?.capabilities.includes("inpaint");
  at("given").textContent = `${bitmap.width} × ${bitmap.height}, as sent; paint where to fill`;
  show(null);
}

function show(blob, text = "what comes back") {
  returned = blob;
  at("result").hidden = blob === null;
  at("reuse").hidden = blob === null;
  at("told").textContent = text;
  URL.revokeObjectURL(at("result").src);
  if (blob) at("result").src = URL.createObjectURL(blob);
}

// The hole is painted in mint on nothing; where the pointer is, in pixels of the image.

function clearHole() {
  at("hole").getContext("2d").clearRect(0, 0, at("hole").width, at("hole").height);
}

function paint(event) {
  if (!event.buttons) return;
  const canvas = at("hole"), seen = canvas.getBoundingClientRect();
  const scale = Math.min(seen.width / canvas.width, seen.height / canvas.height);
  const x = (event.clientX - seen.left - (seen.width - scale * canvas.width) / 2) / scale;
  const y = (event.clientY - seen.top - (seen.height - scale * canvas.height) / 2) / scale;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#2fc48d";
  pen.beginPath();
  pen.arc(x, y, at("brush").valueAsNumber / scale, 0, 2 * Math.PI);
  pen.fill();
}

/** The hole as the service takes it: white on black. */
function holeFile() {
  const sheet = element("canvas", "", { width: at("hole").width, height: at("hole").height });
  const pen = sheet.getContext("2d");
  pen.drawImage(at("hole"), 0, 0);
  for (const [where, colour] of [["source-in", "white"], ["destination-over", "black"]]) {
    pen.globalCompositeOperation = where;
    pen.fillStyle = colour;
    pen.fillRect(0, 0, sheet.width, sheet.height);
  }
  return new Promise((done) => sheet.toBlob(done, "image/png"));
}

/** Post a form and show the image that comes back. */
async function askForImage(what, fields) {
  if (!given) throw new Error("Choose an image first.");
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  say("working …", false, at("work"));
  const turn = ++asked;
  const response = await call(target(what), {
    method: "POST",
    headers: { Accept: "image/png" },
    body: form,
  });
  const blob = await response.blob();
  const bitmap = await createImageBitmap(blob);
  if (turn !== asked) return;
  show(blob, `${what}: ${bitmap.width} × ${bitmap.height}`);
  say("", false, at("work"));
}

const work = (action) => working(action, at("work"));
const one = (what, ...fields) => askForImage(what, [["image", given], ...fields]);

async function inpaint() {
  await one("inpaint", ["mask", await holeFile()]);
}

async function edit() {
  const sliders = [...at("attributes").querySelectorAll("input")];
  const moved = sliders.filter((input) => input.valueAsNumber !== 0);
  if (moved.length === 0) return show(null);
  const wanted = Object.fromEntries(moved.map((input) => [input.name, input.valueAsNumber]));
  await one("edit", ["attributes", JSON.stringify(wanted)]);
}

async function morph() {
  const second = at("second").files[0];
  if (!second) throw new Error("Choose an image to morph into.");
  await askForImage("morph", [["images", given], ["images", second], ["steps", at("steps").value]]);
}

function startAgain() {
  given = null;
  for (const part of [at("picture"), at("hole")]) part.hidden = true;
  at("drop").hidden = false;
  at("file").value = "";
  show(null);
}

at("file").addEventListener("change", () => {
  if (at("file").files[0]) work(() => take(at("file").files[0]));
});
at("stage").addEventListener("dragover", (event) => {
  event.preventDefault();
  at("stage").classList.add("over");
});
at("stage").addEventListener("dragleave", () => at("stage").classList.remove("over"));
at("stage").addEventListener("drop", (event) => {
  event.preventDefault();
  at("stage").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) work(() => take(file));
});
at("hole").addEventListener("pointerdown", (event) => {
  at("hole").setPointerCapture(event.pointerId);
  paint(event);
});
at("hole").addEventListener("pointermove", paint);
at("clear").addEventListener("click", clearHole);
at("inpaint").addEventListener("click", () => work(inpaint));
at("reconstruct").addEventListener("click", () => work(() => one("reconstruct")));
at("morph").addEventListener("click", () => work(morph));
at("reuse").addEventListener("click", () => work(() => take(returned)));
at("other-image").addEventListener("click", startAgain);
at("level").addEventListener("click", () => {
  at("attributes").replaceChildren(...model.attributes.map(slider));
  show(null);
});
for (const button of document.querySelectorAll("[data-scale]")) {
  button.addEventListener("click", () =>
    work(() => one("super-resolve", ["scale", button.dataset.scale])),
  );
}
