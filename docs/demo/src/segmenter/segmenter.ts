import { canonical } from "../canonical/canonical";
import type { Classifier } from "../canonical/looking";
import type { FilmRecord } from "../canonical/record";
import type { Plane, StoredFilm } from "../film/film";
import { openFilm } from "../film/open";
import { type Box, boxInFrame, checkBox } from "../framing/box";
import { scaleByPercentiles } from "../framing/intensity";
import { letterbox, unletterbox } from "../framing/letterbox";
import type { Lungs } from "../mask/lungs";
import type { Mask } from "../mask/mask";
import { fillHoles, keepLargest } from "../mask/plausible";
import { expectedDice, type Flag, qualityFlags } from "../mask/quality";
import type { Network } from "./network";
import { type LungsView, lungsOf } from "./view";

const PERCENTILES = [0.5, 99.5] as const;
const THRESHOLD = 0.5;
const LUNGS = 2;

/** What became of a film or a prompt. */
export interface Segmentation {
  /** In the file's own pixel order and size. */
  mask: Mask;
  /** Areas in pixels of the file. */
  lungs: Pick<Lungs, "right" | "left">;
  shown: LungsView;
  expectedDice: number;
  flags: Flag[];
  /** Milliseconds: reading and framing the film, the encoder, the decoder, and the way back to the film's size. */
  times: { framing: number; encoder: number; decoder: number; mask: number };
  /** How often each has run for this film. */
  runs: { encoder: number; decoder: number };
}

/** A film in the network's frame, with its embedding once there is one. */
export interface OpenedFilm {
  film: StoredFilm;
  record: FilmRecord;
  image: Plane;
  embedding: Float32Array | null;
  times: { framing: number; encoder: number };
  runs: { encoder: number; decoder: number };
}

/** From a file to a mask, step by step as configs/inference.yaml has it. */
export class Segmenter {
  constructor(
    private readonly network: Network,
    private readonly classifier: Classifier,
  ) {}

  /** Run the network on nothing: browsers make fast code only of what has run already. */
  async warmUp(): Promise<void> {
    const { size } = this.network;
    const embedding = await this.network.encode(new Float32Array(size * size));
    await this.network.decode(embedding, Float32Array.of(0, 0, size, size));
  }

  /** Read and frame a film. */
  async open(name: string, bytes: Uint8Array): Promise<OpenedFilm> {
    const start = performance.now();
    const film = await openFilm(name, bytes);
    const { picture, record } = canonical(film, this.classifier);
    const image = letterbox(scaleByPercentiles(picture, ...PERCENTILES), this.network.size);
    const times = { framing: performance.now() - start, encoder: 0 };
    return { film, record, image, embedding: null, times, runs: { encoder: 0, decoder: 0 } };
  }

  /**
   * Segment a film, prompted with a box in pixels of the upright film or, with null, as a whole. The embedding stays with
   * the film.
   */
  async segment(opened: OpenedFilm, box: Box | null): Promise<Segmentation> {
    const { record } = opened;
    const size = this.network.size;
    if (box) checkBox(box, record.columns, record.rows);
    const prompt = box ? boxInFrame(box, record, size) : [0, 0, size, size];
    const start = performance.now();
    if (!opened.embedding) {
      opened.embedding = await this.network.encode(opened.image.values);
      opened.times.encoder = performance.now() - start;
      opened.runs.encoder += 1;
    }
    const encoded = performance.now();
    const logits = await this.network.decode(opened.embedding, Float32Array.from(prompt));
    const decoded = performance.now();
    opened.runs.decoder += 1;
    const probability = this.onFilm(logits, record);
    const mask = plausibleMask(probability);
    const expected = expectedDice(probability);
    const { lungs, shown } = lungsOf(mask, record);
    return {
      mask,
      lungs: { right: lungs.right, left: lungs.left },
      shown,
      expectedDice: expected,
      flags: [...qualityFlags(inField(mask, record), expected), ...record.flags],
      times: { ...opened.times, decoder: decoded - encoded, mask: performance.now() - decoded },
      runs: { ...opened.runs },
    };
  }

  /** Probabilities of the network's frame in the file's own pixel order and size. */
  private onFilm(logits: Float32Array, record: FilmRecord): Plane {
    const size = this.network.size;
    const framed = { width: size, height: size, values: logits.map((logit) => 1 / (1 + Math.exp(-logit))) };
    return record.restore(unletterbox(framed, ...record.size));
  }
}

/** What of a mask lies in the exposed field, as that hangs; the mask as it is where there is no field. */
export function inField(mask: Mask, record: FilmRecord): Mask {
  if (!record.field) return mask;
  const { width, height, values } = record.apply({ ...mask, values: Float32Array.from(mask.values) });
  return { width, height, values: Uint8Array.from(values, (share) => Number(share > THRESHOLD)) };
}

/** The two largest parts of what is more probable than not, with their holes filled. */
function plausibleMask({ width, height, values }: Plane): Mask {
  const above = new Uint8Array(values.length);
  for (let i = 0; i < above.length; i++) above[i] = Number(values[i]! > THRESHOLD);
  return fillHoles(keepLargest({ width, height, values: above }, LUNGS));
}
