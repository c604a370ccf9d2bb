// A picture file -> a vector: decoding by the browser, everything after it in the exported graph.

import * as ort from "./onnxruntime/ort.wasm.min.mjs";

const MOST_PIXELS = 50e6; // beyond, the graph's own copies of the picture do not fit into WebAssembly's memory

ort.env.wasm.proxy = true; // runs in a worker, so that the page stays responsive

/** A picture that cannot be used; the message is for the user. */
export class PictureError extends Error {}

/** Load the model; `progress` is called with the share that has arrived, on [0, 1]. */
export async function loadEncoder(url, progress) {
  const session = await ort.InferenceSession.create(await download(url, progress), { executionProviders: ["wasm"] });
  return new Encoder(session);
}

class Encoder {
  constructor(session) {
    this.session = session;
  }

  /** A picture as (H, W, 3) bytes -> Float32Array (D), of unit length. */
  async embed({ data, height, width }) {
    const pictures = new ort.Tensor("uint8", data, [1, height, width, 3]);
    const { pooled } = await this.session.run({ pictures });
    return normalized(pooled.data);
  }
}

/** A file or blob -> its RGB bytes, upright, with nothing done to its colors. Transparent parts become white. */
export async function decode(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new PictureError("This browser cannot decode it as a picture. Try a PNG, JPEG or WebP file.");
  }
  const { height, width } = bitmap;
  if (height * width > MOST_PIXELS) {
    throw new PictureError(`It has ${width} × ${height} pixels; up to ${MOST_PIXELS / 1e6} million are possible here.`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { alpha: false, willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(height * width * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return { data, height, width };
}

function normalized(vector) {
  const norm = Math.max(Math.hypot(...vector), 1e-12);
  return vector.map((value) => value / norm);
}

async function download(url, progress) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server answers ${response.status}`);
  const total = Number(response.headers.get("content-length"));
  const parts = [];
  let arrived = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    arrived += value.length;
    if (total) progress(Math.min(1, arrived / total)); // a compressed answer is longer than it says
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
