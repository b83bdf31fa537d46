import type { Film } from "../film/film";
import type { Box } from "../framing/box";
import type { Segmentation } from "./segmenter";

/** What the page asks of the worker; answers carry the same `id`. */
export type Request =
  { kind: "load" } | { kind: "open"; id: number; file: File } | { kind: "segment"; id: number; box: Box | null };

/** What is known of a film before it is segmented, and its picture: 8-bit grays from 0.5 % to 99.5 % of its values. */
export interface FilmView {
  name: string;
  width: number;
  height: number;
  spacing: Film["spacing"];
  spacingSource: string;
  grays: Uint8ClampedArray<ArrayBuffer>;
}

/** What the worker tells the page. */
export type Answer =
  | { kind: "progress"; loaded: number; total: number }
  | { kind: "ready"; threads: number }
  | { kind: "unavailable"; message: string }
  | { kind: "film"; id: number; film: FilmView }
  | { kind: "mask"; id: number; box: Box | null; segmentation: Segmentation }
  | { kind: "error"; id: number; message: string };
