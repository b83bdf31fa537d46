import dicomParser from "dicom-parser";

import { FilmError } from "../film";
import { decodeJpeg, frameHeader } from "../jpeg";
import { BIG_ENDIAN, type Dataset, EXPLICIT, IMPLICIT } from "./dataset";
import { decodeRle } from "./rle";

/** Whole numbers as they are stored, in words of `BitsAllocated` bits. */
export type Integers = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array;

/** Values as the file stores them; three samples are R, G and B beside each other. */
export interface StoredPixels {
  values: Integers;
  samples: 1 | 3;
}

type Decoder = (dataset: Dataset, name: string) => Promise<StoredPixels>;

const DEFLATED = "1.2.840.10008.1.2.1.99";
const DECODERS: Record<string, Decoder> = {
  [IMPLICIT]: uncompressed,
  [EXPLICIT]: uncompressed,
  [BIG_ENDIAN]: uncompressed,
  [DEFLATED]: uncompressed,
  "1.2.840.10008.1.2.5": rle,
  "1.2.840.10008.1.2.4.50": jpeg,
  "1.2.840.10008.1.2.4.51": jpeg,
  "1.2.840.10008.1.2.4.57": jpegLossless,
  "1.2.840.10008.1.2.4.70": jpegLossless,
  "1.2.840.10008.1.2.4.80": jpegLs,
  "1.2.840.10008.1.2.4.81": jpegLs,
  "1.2.840.10008.1.2.4.90": jpeg2000,
  "1.2.840.10008.1.2.4.91": jpeg2000,
};

/** Decode the pixels of a data set that passed `checkFilm`. */
export async function decodePixels(dataset: Dataset, name: string): Promise<StoredPixels> {
  const decode = DECODERS[dataset.syntax];
  if (!decode) {
    throw new FilmError(
      `${name}: transfer syntax ${dataset.syntax} is not supported here; uncompressed, deflated, RLE, JPEG Baseline, ` +
        "JPEG Lossless, JPEG-LS and JPEG 2000 are",
    );
  }
  const pixels = await decode(dataset, name);
  const expected = pixelCount(dataset) * pixels.samples;
  if (pixels.values.length !== expected) {
    throw new FilmError(`${name}: cannot be read as an image (${pixels.values.length} values, expected ${expected})`);
  }
  return pixels;
}

function pixelCount(dataset: Dataset): number {
  return dataset.number("Rows")! * dataset.number("Columns")!;
}

function samplesPerPixel(dataset: Dataset): 1 | 3 {
  const samples = dataset.number("SamplesPerPixel") ?? 1;
  if (samples !== 1 && samples !== 3) throw new Error(`${samples} samples per pixel, expected 1 or 3`);
  return samples;
}

/** Numbers of `bits` from little-endian bytes. */
function numbers(bytes: Uint8Array, bits: number, signed: boolean): Integers {
  const buffer = bytes.slice().buffer;
  if (bits === 8) return signed ? new Int8Array(buffer) : new Uint8Array(buffer);
  if (bits === 16) return signed ? new Int16Array(buffer) : new Uint16Array(buffer);
  if (bits === 32) return signed ? new Int32Array(buffer) : new Uint32Array(buffer);
  throw new Error(`${bits} bits a pixel, expected 8, 16 or 32`);
}

async function uncompressed(dataset: Dataset): Promise<StoredPixels> {
  const element = dataset.element("PixelData")!;
  const bits = dataset.number("BitsAllocated")!;
  const samples = samplesPerPixel(dataset);
  const subsampled = dataset.string("PhotometricInterpretation") === "YBR_FULL_422";
  const length = (pixelCount(dataset) * (subsampled ? 2 : samples) * bits) / 8;
  if (element.length < length) throw new Error(`${element.length} bytes of pixels, expected ${length}`);
  const bytes = dataset.source.byteArray.slice(element.dataOffset, element.dataOffset + length);
  if (dataset.syntax === BIG_ENDIAN && bits > 8) reverseEach(bytes, bits / 8);
  const stored = numbers(bytes, bits, dataset.number("PixelRepresentation") === 1);
  return colour(
    subsampled ? upsampled(stored) : stored,
    samples,
    dataset,
    Boolean(dataset.number("PlanarConfiguration")),
  );
}

function reverseEach(bytes: Uint8Array, size: number): void {
  for (let start = 0; start < bytes.length; start += size) bytes.subarray(start, start + size).reverse();
}

/** Y1 Y2 Cb Cr of two pixels each -> Y Cb Cr a pixel. */
function upsampled(pairs: Integers): Uint8Array {
  const full = new Uint8Array((pairs.length / 2) * 3);
  for (let from = 0, to = 0; from < pairs.length; from += 4, to += 6) {
    const [first, second, blue, red] = [pairs[from]!, pairs[from + 1]!, pairs[from + 2]!, pairs[from + 3]!];
    full.set([first, blue, red, second, blue, red], to);
  }
  return full;
}

/** Bring three samples to R, G and B beside each other. */
function colour(stored: Integers, samples: 1 | 3, dataset: Dataset, planar: boolean): StoredPixels {
  if (samples === 1) return { values: stored, samples };
  const count = stored.length / 3;
  const ybr = dataset.string("PhotometricInterpretation").startsWith("YBR_FULL");
  const values = stored.slice();
  for (let i = 0; i < count; i++) {
    const at = (sample: number) => stored[planar ? sample * count + i : 3 * i + sample]!;
    values.set(ybr ? rgb(at(0), at(1), at(2)) : [at(0), at(1), at(2)], 3 * i);
  }
  return { values, samples };
}

/** Full-range YCbCr -> RGB of 8 bits (PS3.3 C.7.6.3.1.2). */
function rgb(y: number, blue: number, red: number): [number, number, number] {
  const byte = (value: number) => Math.min(255, Math.max(0, Math.floor(value + 0.5)));
  return [
    byte(y + 1.402 * (red - 128)),
    byte(y - (0.114 * 1.772 * (blue - 128) + 0.299 * 1.402 * (red - 128)) / 0.587),
    byte(y + 1.772 * (blue - 128)),
  ];
}

/** The compressed frame, whose fragments are joined. */
function frame(dataset: Dataset): Uint8Array<ArrayBuffer> {
  const element = dataset.element("PixelData")!;
  const fragments = element.fragments;
  if (!fragments?.length) throw new Error("no compressed frame");
  return dicomParser
    .readEncapsulatedPixelDataFromFragments(dataset.source, element, 0, fragments.length)
    .slice() as Uint8Array<ArrayBuffer>;
}

async function rle(dataset: Dataset): Promise<StoredPixels> {
  const samples = samplesPerPixel(dataset);
  const bits = dataset.number("BitsAllocated")!;
  const bytes = decodeRle(frame(dataset), pixelCount(dataset), samples, bits / 8);
  return colour(numbers(bytes, bits, dataset.number("PixelRepresentation") === 1), samples, dataset, false);
}

async function jpeg(dataset: Dataset, name: string): Promise<StoredPixels> {
  const stream = frame(dataset);
  if ((dataset.number("BitsStored") ?? 8) > 8) {
    throw new FilmError(
      `${name}: JPEG Extended of 12 bits is not supported; store it as JPEG Lossless or uncompressed`,
    );
  }
  const samples = frameHeader(stream)?.components === 3 ? 3 : 1;
  const { rgba } = await decodeJpeg(name, stream);
  const values = new Uint8Array((rgba.length / 4) * samples);
  for (let i = 0, to = 0; i < rgba.length; i += 4) {
    for (let sample = 0; sample < samples; sample++) values[to++] = rgba[i + sample]!;
  }
  return { values, samples };
}

async function jpegLossless(dataset: Dataset): Promise<StoredPixels> {
  const { Decoder } = await import("jpeg-lossless-decoder-js");
  const stream = frame(dataset);
  const bits = dataset.number("BitsAllocated")!;
  const decoded = new Decoder().decompress(stream.buffer, stream.byteOffset, stream.byteLength);
  const stored = numbers(new Uint8Array(decoded), bits, dataset.number("PixelRepresentation") === 1);
  return colour(stored, samplesPerPixel(dataset), dataset, false);
}

async function jpegLs(dataset: Dataset): Promise<StoredPixels> {
  const { decodeJpegLs } = await import("./codecs");
  return fromCodec(await decodeJpegLs(frame(dataset)), dataset);
}

async function jpeg2000(dataset: Dataset): Promise<StoredPixels> {
  const { decodeJpeg2000 } = await import("./codecs");
  return fromCodec(await decodeJpeg2000(frame(dataset)), dataset);
}

/** Codecs convert colours by themselves, so that three samples are R, G and B already. */
function fromCodec(decoded: { bytes: Uint8Array; bits: number; samples: number }, dataset: Dataset): StoredPixels {
  const samples = decoded.samples === 3 ? 3 : 1;
  const signed = dataset.number("PixelRepresentation") === 1;
  const stored = numbers(decoded.bytes, decoded.bits > 8 ? 16 : 8, signed);
  const wide = dataset.number("BitsAllocated") === 16 && stored.BYTES_PER_ELEMENT === 1;
  const values = !wide ? stored : signed ? Int16Array.from(stored) : Uint16Array.from(stored);
  return { values: signed ? signExtended(values, decoded.bits) : values, samples };
}

/** Signed numbers of `bits` bits that a codec left in the lower bits of larger ones. */
function signExtended<Values extends Integers>(stored: Values, bits: number): Values {
  return stored.map((value) => (value << (32 - bits)) >> (32 - bits)) as Values;
}
