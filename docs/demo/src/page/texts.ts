import type { Sources } from "../canonical/record";
import type { Flag } from "../mask/quality";

/** What a quality flag tells the reader. */
export const FLAG_TEXTS: Record<Flag, string> = {
  nothing_found: "No lung was found.",
  one_lung: "Only one lung was found.",
  touches_border: "The mask touches the border: the film may be cropped.",
  low_confidence: "The network is unsure of this mask.",
  not_a_chest_film: "This does not look like an upright frontal chest film.",
  turned_by_content: "The file does not say so, but the picture shows that the film has to be turned: it was.",
  inverted_by_content: "The file does not say so, but the picture is a negative: it was inverted.",
  heart_on_the_right: "The heart seems to lie on the right, though the file says where right is: please look.",
};

/** How a film was read, in a line. */
export function howRead({ values, pose, spacing, field }: Sources): string {
  return `Values: ${values} · Pose: ${pose} · Spacing: ${spacing} · Field: ${field}`;
}

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
