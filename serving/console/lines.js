"use strict";

/** Show the form for lines where the model writes any, and nothing else. */
function showLineTools() {
  at("write").hidden = !model.capabilities.includes("texts");
  showReadBack(at("write"));
  at("lines").replaceChildren();
  say("", false, at("write"));
}

const write = (action) => working(action, at("write"));

function writtenTexts() {
  const lines = at("texts").value.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "");
}

/** Offer only what counts as the form stands. */
function showWhatCounts() {
  const hasStyle = at("style").files.length > 0;
  at("random").disabled = writtenTexts().length > 0;
  at("style-text").disabled = !hasStyle;
  at("no-style").hidden = !hasStyle;
}

/** Ask for lines as the form stands; the service checks it. */
function askForLines(format) {
  const texts = writtenTexts();
  const [style] = at("style").files;
  const reading = readBack(at("write"));
  const seed = at("line-seed").value;
  if (!style) {
    const body = texts.length ? { texts } : { random_texts: at("random").valueAsNumber };
    if (seed !== "") body.seed = Number(seed);
    return ask({ ...body, ...reading, format });
  }
  if (texts.length === 0) throw new Error("Write the texts that are to take the image's style.");
  const form = new FormData();
  form.append("image", style);
  for (const text of texts) form.append("texts", text);
  for (const [name, value] of Object.entries(reading)) form.append(name, JSON.stringify(value));
  if (seed !== "") form.append("seed", seed);
  if (at("style-text").value !== "") form.append("image_text", at("style-text").value);
  form.append("format", format);
  return call(target("stylize"), { method: "POST", body: form });
}

async function drawLines() {
  const count = writtenTexts().length || at("random").valueAsNumber;
  if (count > SHOWN) throw new Error(`The page shows up to ${SHOWN} lines; download them.`);
  say("writing …", false, at("write"));
  const answer = await (await askForLines("json")).json();
  at("lines").replaceChildren(...answer.images.map(figure));
  tell(answer, at("write"));
}

async function downloadLines() {
  say("writing …", false, at("write"));
  await save(await askForLines(formatOf(at("write"))), at("write"));
}

at("texts").addEventListener("input", showWhatCounts);
at("style").addEventListener("change", showWhatCounts);
at("no-style").addEventListener("click", () => {
  at("style").value = "";
  showWhatCounts();
});
at("draw-lines").addEventListener("click", () => write(drawLines));
at("download-lines").addEventListener("click", () => write(downloadLines));
