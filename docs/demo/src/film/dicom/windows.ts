/**
 * Windows (PS3.3, C.11.2.1), and which of them can be meant: scripts/films/windows.py.
 *
 * A window or table is a wish for display. One that was written by a converter which knew nothing of the film, or for
 * another part of the body, would take lungs or chest wall away from whoever looks.
 */

import { extent } from "../../canonical/grid";
import type { Dataset } from "./dataset";
import type { Display } from "./lookup_tables";

const SAMPLES = 1 << 16; // pixels that are enough to judge a window by
const SATURATED = 0.01; // of a window's range, from either end
const [MOST_BLACK, MOST_WHITE] = [0.15, 0.25]; // shares of the exposed field that a window may show as black and as white
const FLAT = 0.02; // a single value that so many pixels share is no picture: air, a shutter, a surround

const FUNCTIONS = ["LINEAR", "LINEAR_EXACT", "SIGMOID"];
const { fround } = Math; // Python computes in float32, too

/** A window as the film states it. */
export class Window implements Display {
  readonly range: [number, number];

  /**
   * @param center in values after the modality LUT or rescale.
   * @param width likewise.
   * @param shape LINEAR, LINEAR_EXACT or SIGMOID.
   * @param brightest gray of what lies above it; below it is 0.
   */
  constructor(
    readonly center: number,
    readonly width: number,
    readonly shape: string,
    readonly brightest: number,
  ) {
    this.range = [0, brightest];
  }

  /** Every window of a film; null for one without a positive width (LINEAR: at least 1). */
  static allOf(dataset: Dataset, brightest: number): (Window | null)[] {
    const stated = dataset.string("VOILUTFunction").toUpperCase();
    const shape = FUNCTIONS.includes(stated) ? stated : "LINEAR";
    const [centers, widths] = [dataset.numbers("WindowCenter"), dataset.numbers("WindowWidth")];
    return centers.slice(0, widths.length).map((center, i) => {
      const width = widths[i]!;
      const usable = Number.isFinite(center) && Number.isFinite(width) && width > (shape === "LINEAR" ? 1 : 0);
      return usable ? new Window(center, width, shape, brightest) : null;
    });
  }

  apply(values: Float32Array): Float32Array {
    const shown = new Float32Array(values.length);
    const brightest = fround(this.brightest);
    if (this.shape === "SIGMOID") {
      const [center, width] = [fround(this.center), fround(this.width)];
      for (let i = 0; i < shown.length; i++) {
        const slope = fround(fround(-4 * fround(values[i]! - center)) / width);
        shown[i] = brightest / fround(1 + fround(Math.exp(Math.min(Math.max(slope, -60), 60))));
      }
      return shown;
    }
    const [shift, span] = this.shape === "LINEAR" ? [0.5, this.width - 1] : [0, this.width];
    const [center, width] = [fround(this.center - shift), fround(span)];
    for (let i = 0; i < shown.length; i++) {
      const share = fround(fround(fround(values[i]! - center) / width) + 0.5);
      shown[i] = (share < 0 ? 0 : share > 1 ? 1 : share) * brightest;
    }
    return shown;
  }
}

/**
 * Whether `window` leaves enough of the `exposed` values to see a chest in.
 *
 * @param exposed any number of values, before the window.
 */
export function canBeMeant(window: Display, exposed: Float32Array): boolean {
  const step = Math.max(1, Math.floor(exposed.length / SAMPLES));
  let picture = step === 1 ? exposed : exposed.filter((_, i) => i % step === 0);
  for (const end of extent(picture)) {
    const others = picture.filter((value) => value !== end);
    const alike = 1 - others.length / picture.length;
    if (alike > FLAT && alike < 1 - FLAT) picture = others;
  }
  const [least, most] = extent(picture);
  if (!(least < most)) return true;
  const [low, high] = window.range;
  if (!(high > low)) return false;
  const [from, range] = [fround(low), fround(high - low)];
  let [black, white] = [0, 0];
  for (const gray of window.apply(picture)) {
    const shown = fround(fround(gray - from) / range);
    if (shown <= fround(SATURATED)) black++;
    if (shown >= fround(1 - SATURATED)) white++;
  }
  return black / picture.length <= MOST_BLACK && white / picture.length <= MOST_WHITE;
}
