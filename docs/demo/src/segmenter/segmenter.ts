import type { Film, Plane } from "../film/film";
import { openFilm } from "../film/open";
import { type Box, boxInFrame, checkBox } from "../framing/box";
import { crop, type Inside, insideFrame, uncrop } from "../framing/frame";
import { scaleByPercentiles } from "../framing/intensity";
import { letterbox, unletterbox } from "../framing/letterbox";
import { type Lungs, tellLungsApart } from "../mask/lungs";
import type { Mask } from "../mask/mask";
import { outline } from "../mask/outline";
import { fillHoles, keepLargest } from "../mask/plausible";
import { expectedDice, type Flag, qualityFlags } from "../mask/quality";
import type { Network } from "./network";

const PERCENTILES = [0.5, 99.5] as const;
const THRESHOLD = 0.5;
const LUNGS = 2;

/** What became of a film or a prompt. */
export interface Segmentation {
  mask: Mask;
  lungs: Lungs;
  /** Outline of each label of `lungs` that there is. */
  outlines: { label: number; edges: Int32Array<ArrayBuffer> }[];
  expectedDice: number;
  flags: Flag[];
  /** Milliseconds: reading and framing the film, the encoder, the decoder, and the way back to the film's size. */
  times: { framing: number; encoder: number; decoder: number; mask: number };
  /** How often each has run for this film. */
  runs: { encoder: number; decoder: number };
}

/** A film in the network's frame, with its embedding once there is one. */
export interface OpenedFilm {
  film: Film;
  inside: Inside;
  image: Plane;
  embedding: Float32Array | null;
  times: { framing: number; encoder: number };
  runs: { encoder: number; decoder: number };
}

/** From a file to a mask, step by step as configs/inference.yaml has it. */
export class Segmenter {
  constructor(private readonly network: Network) {}

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
    const inside = insideFrame(film);
    const image = letterbox(scaleByPercentiles(crop(film, inside), ...PERCENTILES), this.network.size);
    const times = { framing: performance.now() - start, encoder: 0 };
    return { film, inside, image, embedding: null, times, runs: { encoder: 0, decoder: 0 } };
  }

  /** Segment a film, prompted with a box in its pixels or, with null, as a whole. The embedding stays with the film. */
  async segment(opened: OpenedFilm, box: Box | null): Promise<Segmentation> {
    const { film, inside } = opened;
    const size = this.network.size;
    if (box) checkBox(box, film.width, film.height);
    const prompt = box ? boxInFrame(box, inside, size) : [0, 0, size, size];
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
    const probability = this.onFilm(logits, opened);
    const mask = plausibleMask(probability);
    const expected = expectedDice(probability);
    const lungs = tellLungsApart(mask, film.orientation);
    return {
      mask,
      lungs,
      outlines: [1, 2, 3]
        .map((label) => ({ label, edges: outline(lungs.labels, film.width, film.height, label) }))
        .filter(({ edges }) => edges.length),
      expectedDice: expected,
      flags: qualityFlags(mask, expected),
      times: { ...opened.times, decoder: decoded - encoded, mask: performance.now() - decoded },
      runs: { ...opened.runs },
    };
  }

  /** Probabilities of the network's frame as large as the film. */
  private onFilm(logits: Float32Array, { film, inside }: OpenedFilm): Plane {
    const size = this.network.size;
    const framed = { width: size, height: size, values: logits.map((logit) => 1 / (1 + Math.exp(-logit))) };
    const inner = unletterbox(framed, inside.right - inside.left, inside.bottom - inside.top);
    return uncrop(inner, inside, [film.width, film.height]);
  }
}

/** The two largest parts of what is more probable than not, with their holes filled. */
function plausibleMask({ width, height, values }: Plane): Mask {
  const above = new Uint8Array(values.length);
  for (let i = 0; i < above.length; i++) above[i] = Number(values[i]! > THRESHOLD);
  return fillHoles(keepLargest({ width, height, values: above }, LUNGS));
}
