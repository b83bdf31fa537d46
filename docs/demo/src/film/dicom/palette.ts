import { FilmError } from "../film";
import type { Dataset } from "./dataset";
import type { Integers } from "./pixels";

const COLOURS = ["Red", "Green", "Blue"] as const;
const MOST_COLOUR = 0.02; // how far the channels of a gray palette may lie apart, of the brightest

/** Grays of a film whose palette is gray (PS3.3, C.7.6.3.1.5), or `FilmError`. */
export function ofPalette(pixels: Integers, dataset: Dataset, name: string): Float32Array {
  const descriptor = dataset.words("RedPaletteColorLookupTableDescriptor");
  if (descriptor.length !== 3 || !dataset.has("RedPaletteColorLookupTableData")) {
    throw new FilmError(`${name}: cannot be read as an image (its palette is missing, or stored in segments)`);
  }
  const count = descriptor[0]! || 1 << 16;
  const first = dataset.ambiguous("RedPaletteColorLookupTableDescriptor", 1)!;
  const [red, green, blue] = COLOURS.map((colour) => entries(dataset, colour, count)) as Tables;
  const grays = new Float32Array(pixels.length);
  let [brightest, apart] = [1, 0];
  for (let i = 0; i < grays.length; i++) {
    const place = Math.min(Math.max(pixels[i]! - first, 0), count - 1);
    const [low, middle, high] = [red[place]!, green[place]!, blue[place]!];
    brightest = Math.max(brightest, low, middle, high);
    apart = Math.max(apart, Math.max(low, middle, high) - Math.min(low, middle, high));
    grays[i] = low;
  }
  if (apart > MOST_COLOUR * brightest) {
    throw new FilmError(`${name}: pseudo-coloured (PALETTE COLOR), expected gray or RGB`);
  }
  return grays;
}

type Tables = [Entries, Entries, Entries];
type Entries = Uint8Array | Uint16Array;

function entries(dataset: Dataset, colour: (typeof COLOURS)[number], count: number): Entries {
  const bytes = dataset.bytes(`${colour}PaletteColorLookupTableData`);
  const depth = Math.round((8 * bytes.length) / count);
  if (depth !== 8 && depth !== 16) throw new Error(`a palette of ${bytes.length} bytes, expected ${count} entries`);
  return depth === 8 ? bytes : new Uint16Array(bytes.slice().buffer, 0, count);
}
