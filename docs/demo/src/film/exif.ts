import { type Pose, poseOfExif } from "../canonical/pose";

const ORIENTATION = 0x0112;
const BYTES: Record<number, number> = { 1: 1, 3: 2, 4: 4 }; // of a number, by its type (TIFF 6.0)

/**
 * What EXIF, or else XMP, of a JPEG or PNG says that makes it upright.
 *
 * A file that says 1 says it without having looked: every camera and most software do. It counts as silence.
 *
 * @param exif a TIFF structure, with or without the letters before it, or null.
 * @param xmp text, or "".
 */
export function storedPose(exif: Uint8Array | null, xmp: string): Pose | null {
  let orientation = exif && orientationOf(exif);
  if (orientation === null) {
    const found = /tiff:Orientation(="|>)([0-9])/.exec(xmp);
    orientation = found && Number(found[2]);
  }
  const pose = poseOfExif(orientation);
  return pose?.number ? pose : null;
}

/** Orientation in the first directory of EXIF data, or null; what is damaged says nothing. */
function orientationOf(exif: Uint8Array): number | null {
  let tiff = exif;
  while (String.fromCharCode(...tiff.subarray(0, 6)) === "Exif\0\0") tiff = tiff.subarray(6);
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const mark = String.fromCharCode(...tiff.subarray(0, 2));
  if (tiff.length < 8 || (mark !== "II" && mark !== "MM")) return null;
  const little = mark === "II";
  const start = view.getUint32(4, little);
  if (start + 2 > tiff.length) return null;
  const count = view.getUint16(start, little);
  for (let entry = start + 2; entry < start + 2 + 12 * count && entry + 12 <= tiff.length; entry += 12) {
    if (view.getUint16(entry, little) !== ORIENTATION) continue;
    const bytes = BYTES[view.getUint16(entry + 2, little)];
    if (view.getUint32(entry + 4, little) !== 1) return null;
    if (bytes === 1) return view.getUint8(entry + 8);
    return bytes === 2 ? view.getUint16(entry + 8, little) : bytes === 4 ? view.getUint32(entry + 8, little) : null;
  }
  return null;
}
