/** What a person sees: the film as it hangs on the light box, with all that surrounds its exposed field. */

import { negative } from "../canonical/canonical";
import type { Point } from "../canonical/matrix";
import type { FilmRecord, Sources } from "../canonical/record";
import type { Plane, StoredFilm } from "../film/film";
import { scaleByPercentiles } from "../framing/intensity";
import { type Lungs, tellLungsApart } from "../mask/lungs";
import type { Mask } from "../mask/mask";
import { outline } from "../mask/outline";

/** A film upright, with square pixels. */
export interface FilmView {
  name: string;
  width: number;
  height: number;
  /** 8-bit grays from 0.5 % to 99.5 % of its values. */
  grays: Uint8ClampedArray<ArrayBuffer>;
  /** Corners [x, y] of the exposed field, or null where that is all of it. */
  field: Point[] | null;
  /** Width and height as they are stored. */
  stored: [number, number];
  spacing: StoredFilm["spacing"];
  spacingSource: string;
  /** How the film was read, in words. */
  described: Sources;
}

/** Labels of the lungs on the film as it is seen. */
export interface LungsView {
  width: number;
  height: number;
  /** See `Lungs`. */
  labels: Uint8Array;
  /** Outline of each label that there is. */
  outlines: { label: number; edges: Int32Array<ArrayBuffer> }[];
}

/** The picture of a film. */
export function viewOf(name: string, film: StoredFilm, record: FilmRecord): FilmView {
  const { width, height, values } = record.whole.apply(record.inverted ? negative(film) : film);
  const scaled = scaleByPercentiles({ width, height, values }, 0.5, 99.5);
  const grays = new Uint8ClampedArray(values.length);
  for (let i = 0; i < grays.length; i++) grays[i] = scaled.values[i]! * 255; // rounds by itself
  const { spacing, spacingSource } = film;
  return {
    ...{ name, width, height, grays, spacing, spacingSource },
    field: record.field && [...record.field.corners],
    stored: [film.width, film.height],
    described: record.described(),
  };
}

/** The lungs of a mask in the file's pixel order, told apart by the pose of its film, and how they look. */
export function lungsOf(mask: Mask, record: FilmRecord): { lungs: Lungs; shown: LungsView } {
  const upright = record.pose.upright(mask);
  const lungs = tellLungsApart(upright);
  const [width, height] = [record.columns, record.rows];
  const labels = upright.width === width && upright.height === height ? lungs.labels : squared(lungs, upright, record);
  const outlines = [1, 2, 3]
    .map((label) => ({ label, edges: outline(labels, width, height, label) }))
    .filter(({ edges }) => edges.length);
  return { lungs, shown: { width, height, labels, outlines } };
}

/** Labels of an upright mask, with square pixels. */
function squared(lungs: Lungs, { width, height }: Mask, record: FilmRecord): Uint8Array {
  const labels = new Uint8Array(record.columns * record.rows);
  for (const label of [1, 2, 3]) {
    const values = Float32Array.from(lungs.labels, (other) => Number(other === label));
    const shares: Plane = record.squared({ width, height, values });
    for (let i = 0; i < labels.length; i++) if (shares.values[i]! > 0.5) labels[i] = label;
  }
  return labels;
}
