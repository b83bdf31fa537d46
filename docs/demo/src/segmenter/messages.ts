import type { Box } from "../framing/box";
import type { Segmentation } from "./segmenter";
import type { FilmView } from "./view";

/** What the page asks of the worker; answers carry the same `id`. */
export type Request =
  { kind: "load" } | { kind: "open"; id: number; file: File } | { kind: "segment"; id: number; box: Box | null };

/** What the worker tells the page. */
export type Answer =
  | { kind: "progress"; loaded: number; total: number }
  | { kind: "ready"; threads: number }
  | { kind: "unavailable"; message: string }
  | { kind: "film"; id: number; film: FilmView }
  | { kind: "mask"; id: number; box: Box | null; segmentation: Segmentation }
  | { kind: "error"; id: number; message: string };
