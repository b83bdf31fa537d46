import type { Point } from "../canonical/matrix";
import type { Box } from "../framing/box";
import type { Segmentation } from "../segmenter/segmenter";
import type { FilmView } from "../segmenter/view";

/** What of a mask is shown, and how. */
export interface Shown {
  /** Of the filled mask, 0 to 1. */
  opacity: number;
  outline: boolean;
  right: boolean;
  left: boolean;
}

/** Colours of right and left lung that the colour-blind tell apart (Okabe and Ito), and of what is neither. */
const LUNGS: Record<number, [number, number, number]> = {
  1: [0x56, 0xb4, 0xe9],
  2: [0xe6, 0x9f, 0x00],
  3: [0x2a, 0xc8, 0x9b],
};
/** Of the exposed field, where it is not all of the film. */
const FIELD = "rgb(80 160 255)";
const STEP = 0.01; // of the film's longer side, that a key moves the box
const SMALLEST = 2; // side of a box in pixels

interface Layer {
  label: number;
  fill: OffscreenCanvas;
  edges: Path2D;
  colour: string;
}

/** Draws film, mask and box on a canvas, and lets boxes be drawn there by pointer and keyboard. */
export class Viewer {
  shown: Shown = { opacity: 0.35, outline: true, right: true, left: true };
  /** A box was drawn (null: the whole film is wanted), and is to be segmented. */
  onPrompt: (box: Box | null) => void = () => {};
  /** The box that is being drawn. */
  onBox: (box: Box) => void = () => {};

  private film: { picture: OffscreenCanvas; width: number; height: number; field: Point[] | null } | null = null;
  private layers: Layer[] = [];
  private box: Box | null = null;
  private scale = 1; // CSS pixels of the page for a pixel of the film
  private corner: [number, number] | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly room: HTMLElement,
  ) {
    new ResizeObserver(() => this.fit()).observe(room);
    window.addEventListener("resize", () => this.fit());
    canvas.addEventListener("pointerdown", (event) => this.startBox(event));
    canvas.addEventListener("pointermove", (event) => this.stretchBox(event));
    canvas.addEventListener("pointerup", (event) => this.finishBox(event));
    canvas.addEventListener("pointercancel", () => (this.corner = null));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  showFilm({ width, height, grays, field }: FilmView): void {
    const pixels = new ImageData(width, height);
    for (let i = 0, to = 0; i < grays.length; i++, to += 4) {
      pixels.data[to] = pixels.data[to + 1] = pixels.data[to + 2] = grays[i]!;
      pixels.data[to + 3] = 255;
    }
    this.film = { picture: painted(pixels), width, height, field };
    this.layers = [];
    this.box = null;
    this.fit();
  }

  showMask({ shown }: Segmentation, box: Box | null): void {
    const { width, height, labels, outlines } = shown;
    this.layers = outlines.map(({ label, edges: lines }) => {
      const colour = LUNGS[label]!;
      const pixels = new ImageData(width, height);
      const words = new Uint32Array(pixels.data.buffer);
      const word = new Uint32Array(Uint8Array.of(...colour, 255).buffer)[0]!;
      for (let i = 0; i < words.length; i++) if (labels[i] === label) words[i] = word;
      const edges = new Path2D();
      for (let i = 0; i < lines.length; i += 4) {
        edges.moveTo(lines[i]!, lines[i + 1]!);
        edges.lineTo(lines[i + 2]!, lines[i + 3]!);
      }
      return { label, fill: painted(pixels), edges, colour: `rgb(${colour.join(" ")})` };
    });
    this.box = box;
    this.draw();
  }

  setBox(box: Box | null): void {
    this.box = box;
    this.draw();
  }

  /** Film, field and mask as they are shown, upright and in full size. */
  async overlay(): Promise<Blob> {
    const { picture, width, height } = this.film!;
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d")!;
    context.drawImage(picture, 0, 0);
    const line = Math.max(2, Math.max(width, height) / 400);
    this.drawField(context, line);
    this.drawMask(context, line);
    return canvas.convertToBlob({ type: "image/png" });
  }

  /** Fit the film into the room that the page has for it, in the device's own pixels. */
  private fit(): void {
    if (!this.film) return;
    const { width, height } = this.film;
    const tallest = Math.max(240, window.innerHeight * 0.8);
    this.scale = Math.min(this.room.clientWidth / width, tallest / height);
    const [across, down] = [Math.floor(width * this.scale), Math.floor(height * this.scale)];
    this.canvas.width = Math.round(across * window.devicePixelRatio);
    this.canvas.height = Math.round(down * window.devicePixelRatio);
    this.canvas.style.width = `${across}px`;
    this.canvas.style.height = `${down}px`;
    this.draw();
  }

  draw(): void {
    if (!this.film) return;
    const context = this.canvas.getContext("2d")!;
    const zoom = this.canvas.width / this.film.width;
    context.setTransform(zoom, 0, 0, zoom, 0, 0);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.film.picture, 0, 0);
    const line = (2 * window.devicePixelRatio) / zoom;
    this.drawField(context, line);
    this.drawMask(context, line);
    if (!this.box) return;
    const [x0, y0, x1, y1] = this.box;
    for (const [colour, dashes] of [
      ["#000000", []],
      ["#ffffff", [4 * line, 3 * line]],
    ] as const) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.setLineDash([...dashes]);
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
    context.setLineDash([]);
  }

  private drawField(context: Context, line: number): void {
    const [start, ...others] = this.film?.field ?? [];
    if (!start) return;
    context.strokeStyle = FIELD;
    context.lineWidth = line;
    context.beginPath();
    context.moveTo(...start);
    for (const corner of others) context.lineTo(...corner);
    context.closePath();
    context.stroke();
  }

  private drawMask(context: Context, line: number): void {
    for (const { label, fill, edges, colour } of this.layers) {
      if ((label === 1 && !this.shown.right) || (label === 2 && !this.shown.left)) continue;
      context.globalAlpha = this.shown.opacity;
      context.drawImage(fill, 0, 0);
      context.globalAlpha = 1;
      if (!this.shown.outline) continue;
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.lineCap = "square";
      context.stroke(edges);
    }
  }

  private place(event: PointerEvent): [number, number] {
    const { left, top } = this.canvas.getBoundingClientRect();
    const { width, height } = this.film!;
    const within = (value: number, limit: number) => Math.min(Math.max(Math.round(value), 0), limit);
    return [within((event.clientX - left) / this.scale, width), within((event.clientY - top) / this.scale, height)];
  }

  private startBox(event: PointerEvent): void {
    if (!this.film || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.corner = this.place(event);
  }

  private stretchBox(event: PointerEvent): void {
    if (!this.corner) return;
    const [x0, y0] = this.corner;
    const [x1, y1] = this.place(event);
    const box: Box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
    if (box[2] - box[0] < SMALLEST || box[3] - box[1] < SMALLEST) return;
    this.setBox(box);
    this.onBox(box);
  }

  private finishBox(event: PointerEvent): void {
    if (!this.corner) return;
    const before = this.box;
    this.stretchBox(event);
    const [x, y] = this.place(event);
    const moved = Math.abs(x - this.corner[0]) >= SMALLEST && Math.abs(y - this.corner[1]) >= SMALLEST;
    this.corner = null;
    if (moved && this.box) this.onPrompt(this.box);
    else this.setBox(before);
  }

  private onKey(event: KeyboardEvent): void {
    if (!this.film) return;
    const directions: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const direction = directions[event.key];
    if (direction) {
      this.nudge(direction, event.shiftKey);
    } else if (event.key === "Enter" && this.box) {
      this.onPrompt(this.box);
    } else if (event.key === "Escape") {
      this.onPrompt(null);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Move the box, or its right and lower edges, by a step; the first box lies in the middle. */
  private nudge([dx, dy]: [number, number], size: boolean): void {
    const { width, height } = this.film!;
    const step = Math.max(1, Math.round(Math.max(width, height) * STEP));
    let box = this.box;
    if (!box) {
      box = [0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height].map(Math.round) as Box;
    } else {
      const [x0, y0, x1, y1] = box;
      const within = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
      if (size) {
        box = [x0, y0, within(x1 + dx * step, x0 + SMALLEST, width), within(y1 + dy * step, y0 + SMALLEST, height)];
      } else {
        const [right, down] = [within(dx * step, -x0, width - x1), within(dy * step, -y0, height - y1)];
        box = [x0 + right, y0 + down, x1 + right, y1 + down];
      }
    }
    this.setBox(box);
    this.onBox(box);
  }
}

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

function painted(pixels: ImageData): OffscreenCanvas {
  const canvas = new OffscreenCanvas(pixels.width, pixels.height);
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return canvas;
}
