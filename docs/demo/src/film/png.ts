import { decode } from "fast-png";

import { checkPixels, FilmError, storedFilm, type StoredFilm } from "./film";
import { luma } from "./luma";
import { statedByPng } from "./png_chunks";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const ADAM7 = 1;

export function isPng(bytes: Uint8Array): boolean {
  return SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/**
 * Decode a PNG as Pillow and scripts/films/raster.py do: gray at its full depth, all else as 8-bit luma, alpha dropped.
 *
 * A canvas would give 8 bits of everything, so the file is decoded here.
 */
export function readPng(name: string, bytes: Uint8Array): StoredFilm {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 29) throw new FilmError(`${name}: cannot be read as an image (the file ends too early)`);
  checkPixels(name, header.getUint32(16), header.getUint32(20));
  const stated = statedByPng(name, bytes);
  const png = decode(bytes, { checkCrc: true });
  if (png.depth < 8 && bytes[28] === ADAM7) {
    throw new FilmError(`${name}: interlaced PNG of ${png.depth} bits is not supported; save it without interlacing`);
  }
  const values = new Float32Array(png.width * png.height);
  const samples = png.depth < 8 ? unpacked(png.data, png.width, png.height, png.depth) : png.data;
  if (png.palette) {
    const grays = png.palette.map(([red, green, blue]) => luma(red!, green!, blue!));
    values.set(Float32Array.from(samples, (index) => grays[index] ?? 0));
  } else if (png.channels === 1) {
    const white = png.depth < 8 ? 255 / (2 ** png.depth - 1) : 1;
    for (let i = 0; i < values.length; i++) values[i] = samples[i]! * white;
  } else {
    const shift = png.depth === 16 ? 8 : 0; // Pillow keeps the upper byte of colour and of gray with alpha
    for (let i = 0, from = 0; i < values.length; i++, from += png.channels) {
      values[i] =
        png.channels === 2
          ? samples[from]! >> shift
          : luma(samples[from]! >> shift, samples[from + 1]! >> shift, samples[from + 2]! >> shift);
    }
  }
  return storedFilm({ width: png.width, height: png.height, values }, stated);
}

/** Samples of 1, 2 or 4 bits, whose rows start at whole bytes. */
function unpacked(packed: ArrayLike<number>, width: number, height: number, depth: number): Uint8Array {
  const rowBytes = Math.ceil((width * depth) / 8);
  const samples = new Uint8Array(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const bit = x * depth;
      samples[i] = (packed[y * rowBytes + (bit >> 3)]! >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
    }
  }
  return samples;
}
