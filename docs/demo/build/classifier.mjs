// The classifier of films (models/film_classifier.npz, see scripts/films/looking.py) as Classifier.read takes it: the
// number of layers and, of each, how many outputs it has and how many weights each of those (uint32), filled up to eight
// bytes; then all scales (float64), biases (int32) and weights (int8), little-endian.
import { inflateRawSync } from "node:zlib";

const [END, ENTRY] = [0x06054b50, 0x02014b50]; // signatures of a ZIP file's directory
const DEFLATED = 8;

/** The files of a ZIP file by name. */
function unzipped(zip) {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  if (end < 0 || zip.readUInt32LE(end) !== END) throw new Error("no ZIP file");
  const files = new Map();
  let entry = zip.readUInt32LE(end + 16);
  for (let i = zip.readUInt16LE(end + 10); i > 0; i--) {
    if (zip.readUInt32LE(entry) !== ENTRY) throw new Error("damaged ZIP file");
    const [nameLength, extra, comment] = [28, 30, 32].map((at) => zip.readUInt16LE(entry + at));
    const name = zip.toString("utf8", entry + 46, entry + 46 + nameLength);
    const header = zip.readUInt32LE(entry + 42);
    const start = header + 30 + zip.readUInt16LE(header + 26) + zip.readUInt16LE(header + 28);
    const content = zip.subarray(start, start + zip.readUInt32LE(entry + 20));
    files.set(name, zip.readUInt16LE(entry + 10) === DEFLATED ? inflateRawSync(content) : content);
    entry += 46 + nameLength + extra + comment;
  }
  return files;
}

/** Type, shape and bytes of an array in NumPy's format. */
function array(files, name) {
  const file = files.get(`${name}.npy`);
  if (!file) throw new Error(`holds no ${name}`);
  const version = file[6];
  const start = version === 1 ? 10 + file.readUInt16LE(8) : 12 + file.readUInt32LE(8);
  const header = file.toString("latin1", 10, start);
  if (/'fortran_order': True/.test(header)) throw new Error(`${name}: columns come first`);
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").filter((side) => side.trim()).map(Number);
  return { type: /'descr': '([^']*)'/.exec(header)[1], shape, bytes: file.subarray(start) };
}

export function classifierBytes(npz) {
  const files = unzipped(npz);
  const layers = Array.from({ length: files.size / 3 }, (_, n) => {
    const layer = ["weight", "bias", "scale"].map((name) => array(files, `${name}${n}`));
    const types = layer.map(({ type }) => type).join(" ");
    if (types !== "|i1 <i4 <f8") throw new Error(`layer ${n} holds ${types}`);
    return layer;
  });
  const head = new Uint32Array(2 + 2 * layers.length);
  head[0] = layers.length;
  layers.forEach(([{ shape }], n) => {
    head.set([shape[0], shape.slice(1).reduce((count, side) => count * side, 1)], 2 + 2 * n);
  });
  const parts = [2, 1, 0].flatMap((part) => layers.map((layer) => layer[part].bytes));
  return Buffer.concat([Buffer.from(head.buffer), ...parts]);
}
