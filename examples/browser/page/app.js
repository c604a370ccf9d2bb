// The page: a picture in, its neighbors in the gallery out.

import { PictureError, decode, loadEncoder } from "./encoder.js";

const NEIGHBOURS = 8;
const element = (id) => document.getElementById(id);

/** The last picture's {embedding, neighbors: [{index, similarity}], milliseconds}; for the console and for tests. */
export let result = null;

let encoder, gallery, vectors;
let latest = 0; // number of the picture chosen last: answers to earlier ones are dropped

start().catch((error) => {
  console.error(error);
  show("broken", `The page cannot start: ${error.message}`);
});

async function start() {
  gallery = await (await fetch("gallery.json")).json();
  element("model").textContent =
    `${gallery.model} turns pictures into ${gallery.feature_dim} numbers, here in your browser: ` +
    "they never leave your machine.";
  element("model").title = `Weights: SHA-256 ${gallery.weights_sha256}`;
  drawGallery();
  vectors = new Float32Array(await (await fetch("gallery.bin")).arrayBuffer());
  encoder = await loadEncoder("model.onnx", (share) => (element("progress").value = share));
  listen();
  show("ready", "Ready. Your own picture, or one of these:");
}

function listen() {
  const drop = element("drop");
  element("file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    if (file) find(file);
    target.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("dragenter", () => drop.classList.add("over"));
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    file ? find(file) : show("failed", "What was dropped is no file. Save the picture first, then drop it.");
  });
}

/** Embed a picture and show its neighbors. */
async function find(blob, name = blob.name) {
  const number = ++latest;
  result = null;
  show("busy", `Looking at ${name} …`);
  try {
    const picture = await decode(blob);
    if (number === latest) preview(blob);
    const begin = performance.now();
    const embedding = await encoder.embed(picture);
    const milliseconds = performance.now() - begin;
    if (number !== latest) return;
    const neighbors = nearest(embedding);
    result = { embedding, neighbors, milliseconds };
    drawNeighbors(neighbors);
    show("done", `${name}, ${picture.width} × ${picture.height}: embedded in ${milliseconds.toFixed(0)} ms.`);
  } catch (error) {
    if (number !== latest) return;
    const expected = error instanceof PictureError;
    if (!expected) console.error(error);
    drawNeighbors([]);
    preview(null);
    show("failed", expected ? `${name}: ${error.message}` : `${name} cannot be embedded: ${error.message}`);
  }
}

/** The gallery's pictures of largest cosine; both sides have unit length. */
function nearest(embedding) {
  const size = embedding.length;
  const cosine = (index) =>
    embedding.reduce((sum, value, position) => sum + value * vectors[index * size + position], 0);
  return gallery.pictures
    .map((_, index) => ({ index, similarity: cosine(index) }))
    .sort((a, b) => b.similarity - a.similarity)
    .slice(0, NEIGHBOURS);
}

function show(state, text) {
  document.body.dataset.state = state;
  element("status").textContent = text;
}

function preview(blob) {
  const image = element("preview");
  URL.revokeObjectURL(image.src);
  image.hidden = !blob;
  blob ? (image.src = URL.createObjectURL(blob)) : image.removeAttribute("src");
}

function drawNeighbors(neighbors) {
  element("neighbors").replaceChildren(
    ...neighbors.map(({ index, similarity }) => {
      const { file, label } = gallery.pictures[index];
      const item = document.createElement("li");
      const caption = document.createElement("span");
      caption.textContent = label;
      const figure = document.createElement("b");
      figure.textContent = similarity.toFixed(3);
      item.append(thumbnail(file, label), caption, figure);
      return item;
    }),
  );
  const chosen = new Set(neighbors.map(({ index }) => index));
  [...element("gallery").children].forEach((image, index) => image.classList.toggle("near", chosen.has(index)));
}

function drawGallery() {
  element("gallery").replaceChildren(...gallery.pictures.map(({ file, label }) => thumbnail(file, label)));
  element("examples").replaceChildren(
    ...gallery.examples.map(({ file, label }) => {
      const button = document.createElement("button");
      button.append(thumbnail(file, label));
      button.addEventListener("click", async () => find(await (await fetch(file)).blob(), `An example (${label})`));
      return button;
    }),
  );
}

function thumbnail(file, label) {
  const image = document.createElement("img");
  Object.assign(image, { src: file, alt: label, title: label });
  return image;
}
