import { unzlibSync } from "fflate";

import { storedPose } from "./exif";
import { FilmError, type StoredFilm } from "./film";
import { believable } from "./spacing";

const SIGNATURE_LENGTH = 8;
const MOST_UNIT = 1; // units of pHYs: 0 is unknown, 1 is the metre
const RAW_EXIF = "Raw profile type exif"; // as ImageMagick writes it: three lines, then hexadecimal ones
const XMP = "XML:com.adobe.xmp";

/** What the chunks of a PNG say of pose and shape of pixels, or `FilmError` where it holds several pictures. */
export function statedByPng(name: string, bytes: Uint8Array): Partial<StoredFilm> {
  const texts = new Map<string, string>();
  let exif: Uint8Array | null = null;
  let [frames, framed, drawn] = [0, false, false];
  let shape: Partial<StoredFilm> = {};
  for (const { type, content } of chunks(bytes)) {
    const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
    if (type === "pHYs" && content.length >= 9) {
      const [across, down] = [view.getUint32(0), view.getUint32(4)];
      if (across > 0 && down > 0 && content[8]! <= MOST_UNIT) shape = believable(across / down, "pHYs");
    } else if (type === "eXIf") {
      exif = content;
    } else if (type === "acTL" && content.length >= 8) {
      frames = view.getUint32(0);
    } else if (type === "fcTL") {
      framed ||= !drawn;
    } else if (type === "IDAT") {
      drawn = true;
    } else if (["tEXt", "zTXt", "iTXt"].includes(type)) {
      const text = textOf(type, content);
      if (text) texts.set(...text);
    }
  }
  const pictures = frames && !framed ? frames + 1 : frames; // one that is no frame of the animation
  if (pictures > 1) throw new FilmError(`${name}: holds ${pictures} pages, expected one film`);
  const raw = texts.get(RAW_EXIF);
  const pose = storedPose(exif ?? (raw === undefined ? null : fromHexadecimal(raw)), texts.get(XMP) ?? "");
  return { pose, poseSource: pose ? "Orientation" : "", ...shape };
}

function* chunks(bytes: Uint8Array): Generator<{ type: string; content: Uint8Array }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let start = SIGNATURE_LENGTH; start + 12 <= bytes.length; ) {
    const end = start + 8 + view.getUint32(start);
    if (end > bytes.length) return;
    yield { type: latin1(bytes.subarray(start + 4, start + 8)), content: bytes.subarray(start + 8, end) };
    start = end + 4;
  }
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}

/** Keyword and text of a chunk that counts here, or null; what is damaged says nothing. */
function textOf(type: string, content: Uint8Array): [string, string] | null {
  const keyword = latin1(content.subarray(0, content.indexOf(0)));
  if (keyword !== RAW_EXIF && keyword !== XMP) return null;
  let rest = content.subarray(keyword.length + 1);
  let compressed = false;
  if (type === "iTXt") {
    compressed = rest[0] === 1;
    rest = rest.subarray(2);
    for (let i = 0; i < 2; i++) rest = rest.subarray(rest.indexOf(0) + 1); // language, translated keyword
  } else if (type === "zTXt") {
    compressed = true;
    rest = rest.subarray(1);
  }
  try {
    return [keyword, latin1(compressed ? unzlibSync(rest) : rest)];
  } catch {
    return null;
  }
}

/** The EXIF data in a raw profile. */
function fromHexadecimal(text: string): Uint8Array {
  const digits = text.split("\n").slice(3).join("");
  return Uint8Array.from({ length: digits.length >> 1 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}
