import type { Flag } from "../mask/quality";

/** What a quality flag tells the reader. */
export const FLAG_TEXTS: Record<Flag, string> = {
  nothing_found: "No lung was found.",
  one_lung: "Only one lung was found.",
  touches_border: "The mask touches the border: the film may be cropped.",
  low_confidence: "The network is unsure of this mask.",
  not_a_chest_film: "This does not look like an upright frontal chest film.",
};

/** 12.3 MB and the like. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** 231.4 cm² and the like. */
export function squareCentimetres(pixels: number, [row, column]: [number, number]): string {
  return `${((pixels * row * column) / 100).toFixed(1)} cm²`;
}

/** 31.4 % and the like. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** 41 ms, or 1.2 s. */
export function duration(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
