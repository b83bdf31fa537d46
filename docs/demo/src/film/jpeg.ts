import { storedPose } from "./exif";
import { checkPixels, FilmError, storedFilm, type StoredFilm } from "./film";
import { luma } from "./luma";
import { believable } from "./spacing";

const [EXIF, XMP] = ["Exif\0\0", "http://ns.adobe.com/xap/1.0/\0"] as const;
const [APP0, APP1] = [0xe0, 0xe1] as const;
const [PER_INCH, PER_CENTIMETRE] = [1, 2] as const;

export function isJpeg(bytes: Uint8Array): boolean {
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;
}

/** 8-bit colours of a JPEG stream, four bytes a pixel; gray streams have three equal channels. */
export interface Decoded {
  width: number;
  height: number;
  rgba: Uint8ClampedArray;
}

/** Decode a JPEG by the browser: the grays of the file, without colour management and without rotation by EXIF. */
export async function decodeJpeg(name: string, bytes: Uint8Array): Promise<Decoded> {
  const frame = frameHeader(bytes);
  if (!frame) throw new FilmError(`${name}: cannot be read as an image (no JPEG frame)`);
  if (frame.components === 4) {
    throw new FilmError(`${name}: JPEG of four inks (CMYK) is not supported; save it in gray or RGB`);
  }
  checkPixels(name, frame.width, frame.height);
  const blob = new Blob([withoutExif(bytes)], { type: "image/jpeg" });
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new FilmError(`${name}: cannot be read as an image (damaged, or a kind of JPEG that browsers do not show)`);
  }
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { ...frame, rgba: context.getImageData(0, 0, canvas.width, canvas.height).data };
}

/** Decode a JPEG as Pillow and scripts/films/raster.py do: gray, or luma of the colours, in the order of the file. */
export async function readJpeg(name: string, bytes: Uint8Array): Promise<StoredFilm> {
  const { width, height, rgba } = await decodeJpeg(name, bytes);
  const values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = luma(rgba[4 * i]!, rgba[4 * i + 1]!, rgba[4 * i + 2]!);
  return storedFilm({ width, height, values }, statedByJpeg(bytes));
}

/** What the application segments of a JPEG say of pose and shape of pixels. */
export function statedByJpeg(bytes: Uint8Array): Partial<StoredFilm> {
  let exif: Uint8Array | null = null;
  let xmp = "";
  let [unit, across, down] = [0, 0, 0];
  for (const { marker, start, end } of segments(bytes)) {
    const content = bytes.subarray(start + 4, end);
    const begins = (text: string) => [...text].every((character, i) => content[i] === character.charCodeAt(0));
    if (marker === APP0 && begins("JFIF") && content.length >= 12) {
      [unit, across, down] = [content[7]!, (content[8]! << 8) | content[9]!, (content[10]! << 8) | content[11]!];
    } else if (marker === APP1 && begins(EXIF)) {
      exif = joined([...(exif ? [exif] : []), content.subarray(EXIF.length)]);
    } else if (marker === APP1 && begins(XMP)) {
      xmp = new TextDecoder("latin1").decode(content.subarray(XMP.length));
    }
  }
  const pose = storedPose(exif, xmp);
  // Beside EXIF, which knows square pixels alone, Pillow takes the JFIF numbers only if they have a unit
  const silent = !(across > 0 && down > 0) || (exif !== null && unit !== PER_INCH && unit !== PER_CENTIMETRE);
  return {
    pose,
    poseSource: pose ? "Orientation" : "",
    ...(silent ? {} : believable(across / down, "JFIF density")),
  };
}

/** Start and end of each marker segment before the first scan. */
function* segments(bytes: Uint8Array): Generator<{ marker: number; start: number; end: number }> {
  let start = 2;
  while (start + 4 <= bytes.length && bytes[start] === 0xff) {
    const marker = bytes[start + 1]!;
    if (marker === 0xff) {
      start += 1; // fill byte
      continue;
    }
    const end = start + 2 + ((bytes[start + 2]! << 8) | bytes[start + 3]!);
    yield { marker, start, end };
    if (marker === 0xda) return;
    start = end;
  }
}

/** Size and number of components that the frame header states, or null without one. */
export function frameHeader(bytes: Uint8Array): { width: number; height: number; components: number } | null {
  for (const { marker, start } of segments(bytes)) {
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      const at = (offset: number) => (bytes[start + offset]! << 8) | bytes[start + offset + 1]!;
      return { height: at(5), width: at(7), components: bytes[start + 9]! };
    }
  }
  return null;
}

/** The stream without its EXIF segments, whose orientation browsers would follow. */
export function withoutExif(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const kept: Uint8Array[] = [];
  let from = 0;
  for (const { marker, start, end } of segments(bytes)) {
    if (marker !== APP1) continue;
    kept.push(bytes.subarray(from, start));
    from = end;
  }
  return joined([...kept, bytes.subarray(from)]);
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
