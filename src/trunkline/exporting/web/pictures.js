// A picture as numbers, pixel for pixel as Pillow makes them: its filters, its order of passes, its rounding.
import { RefusedError } from "./cells.js";

const BITS = 22; // of a weight, behind the point
const FILTERS = {
  bilinear: { reach: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    reach: 2,
    weight: (x) => {
      const far = Math.abs(x);
      if (far < 1) return (1.5 * far - 2.5) * far * far + 1;
      return far < 2 ? (((far - 5) * far + 8) * far - 4) * -0.5 : 0;
    },
  },
};

/** Uint8Array (3 * height * width): red, green, blue, each by rows, after `steps` of product.json. */
export async function pixelsOf(raw, steps) {
  let picture = await decoded(raw);
  for (const [step, numbers, filter] of steps) picture = STEPS[step](picture, numbers, filter);
  const places = picture.width * picture.height;
  const out = new Uint8Array(3 * places);
  for (let at = 0; at < places; at++) {
    for (let channel = 0; channel < 3; channel++) out[channel * places + at] = picture.data[3 * at + channel];
  }
  return out;
}

const STEPS = {
  square: (picture, [side], filter) => resized(picture, side, side, filter),
  cap: (picture, [most], filter) => (Math.min(picture.width, picture.height) > most ? short(picture, most, 1, filter) : picture),
  short: (picture, [side, least], filter) => short(picture, side, least, filter),
  centre: (picture, [side]) => cut(picture, (picture.width - side) >> 1, (picture.height - side) >> 1, side),
};

function short(picture, side, least, filter) {
  const now = Math.min(picture.width, picture.height);
  const [width, height] = [picture.width, picture.height].map((length) => Math.max(least, even((length * side) / now)));
  return resized(picture, width, height, filter);
}

/** Rounded as Python rounds: halves to the even number. */
function even(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

function cut(picture, left, top, side) {
  const data = new Uint8ClampedArray(3 * side * side);
  for (let y = 0; y < side; y++) {
    const start = 3 * ((top + y) * picture.width + left);
    data.set(picture.data.subarray(start, start + 3 * side), 3 * y * side);
  }
  return { width: side, height: side, data };
}

/** Across and down, one after the other, whole numbers between. As Pillow 13 does, down goes first where the height falls
 * by more than twice what the width does (measured: tests/exporting/test_browser.py). */
export function resized(picture, width, height, filter) {
  const fall = picture.height - height;
  const downFirst = fall > 0 && fall > 2 * (picture.width - width);
  const passes = downFirst ? [down, across] : [across, down];
  return passes.reduce((found, pass) => pass(found, width, height, FILTERS[filter]), picture);
}

function across(picture, width, _, filter) {
  if (width === picture.width) return picture;
  const plan = weights(picture.width, width, filter);
  return passed(picture, width, picture.height, plan, 3, 3 * picture.width, (x, y) => [x, y]);
}

function down(picture, _, height, filter) {
  if (height === picture.height) return picture;
  const plan = weights(picture.height, height, filter);
  return passed(picture, picture.width, height, plan, 3 * picture.width, 3, (x, y) => [y, x]);
}

// One pass: each place of the output is a weighed sum along one axis. step: between neighbours along it; line: between lines.
function passed(picture, width, height, plan, step, line, axes) {
  const data = new Uint8ClampedArray(3 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [along, beside] = axes(x, y);
      const { start, shares } = plan[along];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (BITS - 1);
        let at = beside * line + start * step + channel;
        for (const share of shares) {
          sum += picture.data[at] * share;
          at += step;
        }
        data[3 * (y * width + x) + channel] = sum >> BITS; // clamped to 0..255
      }
    }
  }
  return { width, height, data };
}

function weights(before, after, { reach, weight }) {
  const scale = before / after;
  const wide = Math.max(scale, 1);
  return Array.from({ length: after }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - reach * wide + 0.5));
    const stop = Math.min(before, Math.trunc(centre + reach * wide + 0.5));
    const raw = Array.from({ length: stop - start }, (_, i) => weight((i + start - centre + 0.5) * (1 / wide)));
    const sum = raw.reduce((total, one) => total + one, 0);
    return { start, shares: raw.map((one) => Math.trunc((one / sum) * (1 << BITS) + (one < 0 ? -0.5 : 0.5))) };
  });
}

/** {width, height, data}: upright RGB over white. raw: a Blob, or base64 with or without "data:". */
async function decoded(raw) {
  if (raw === null || raw === undefined || raw === "") throw new RefusedError("missing", "the picture is missing");
  let bitmap;
  try {
    const options = { imageOrientation: "from-image", colorSpaceConversion: "none" };
    bitmap = await createImageBitmap(raw instanceof Blob ? raw : blobOf(raw), options);
  } catch {
    throw new RefusedError("unreadable", "this can't be read as a picture");
  }
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = "white";
  canvas.fillRect(0, 0, width, height);
  canvas.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = canvas.getImageData(0, 0, width, height).data;
  const data = new Uint8ClampedArray(3 * width * height);
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) data[3 * at + channel] = rgba[4 * at + channel];
  }
  return { width, height, data };
}

function blobOf(text) {
  const bytes = atob(text.slice(text.startsWith("data:") ? text.indexOf(",") + 1 : 0));
  return new Blob([Uint8Array.from(bytes, (sign) => sign.charCodeAt(0))]);
}
