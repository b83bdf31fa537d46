/** Reads films and runs the network away from the page's own thread, so that the page answers meanwhile. */

import decoderUrl from "../../models/decoder_int8.onnx?url";
import encoderUrl from "../../models/encoder_int8.onnx?url";
import classifierUrl from "../../models/film_classifier.bin?url";
import sizes from "../../models/sizes.json";
import wasmUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import { Classifier } from "../canonical/looking";
import { FilmError } from "../film/film";
import { outOfMemory } from "../film/open";
import { download } from "./download";
import type { Answer, Request } from "./messages";
import { openNetwork, startRuntime } from "./onnx";
import { type OpenedFilm, Segmenter } from "./segmenter";
import { viewOf } from "./view";

const IMAGE_SIZE = 384;

let segmenter: Promise<Segmenter> | null = null;
let opened: OpenedFilm | null = null;
let queue = Promise.resolve(); // requests are answered one after the other

self.onmessage = ({ data }: MessageEvent<Request>) => {
  queue = queue.then(() => answer(data));
};

function tell(message: Answer, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

async function answer(request: Request): Promise<void> {
  try {
    const ready = await (segmenter ??= load());
    if (request.kind === "open") {
      const next = await ready.open(request.file.name, new Uint8Array(await request.file.arrayBuffer()));
      const view = viewOf(request.file.name, next.film, next.record);
      opened = next; // not before its view is there: the page then shows what is segmented
      tell({ kind: "film", id: request.id, film: view }, [view.grays.buffer]);
    } else if (request.kind === "segment") {
      if (!opened) throw new Error("no film is open");
      const segmentation = await ready.segment(opened, request.box);
      const { labels, outlines } = segmentation.shown;
      const buffers = [segmentation.mask.values.buffer, labels.buffer, ...outlines.map(({ edges }) => edges.buffer)];
      const transfer = [...new Set(buffers as ArrayBuffer[])];
      tell({ kind: "mask", id: request.id, box: request.box, segmentation }, transfer);
    } else {
      await ready.warmUp(); // while a person looks for a film
    }
  } catch (error) {
    if (request.kind === "load") {
      tell({ kind: "unavailable", message: explained(error) });
    } else {
      tell({ kind: "error", id: request.id, message: explained(error) });
    }
  }
}

function load(): Promise<Segmenter> {
  return open().catch((error: unknown) => {
    segmenter = null; // the next request tries again
    throw error;
  });
}

type Contents = [ArrayBuffer, ArrayBuffer, ArrayBuffer, ArrayBuffer];

async function open(): Promise<Segmenter> {
  const parts = [
    { url: wasmUrl, bytes: sizes.runtime },
    { url: encoderUrl, bytes: sizes.encoder },
    { url: decoderUrl, bytes: sizes.decoder },
    { url: classifierUrl, bytes: sizes.classifier },
  ];
  const report = (loaded: number, total: number) => tell({ kind: "progress", loaded, total });
  const [wasm, encoder, decoder, classifier] = (await download(parts, report)) as Contents;
  const { threads } = startRuntime(wasm);
  const network = await openNetwork(encoder, decoder, IMAGE_SIZE);
  tell({ kind: "ready", threads });
  return new Segmenter(network, Classifier.read(classifier));
}

/** One line that a person can act on. */
function explained(error: unknown): string {
  if (error instanceof FilmError) return error.message;
  if (outOfMemory(error)) {
    return "There is not enough memory for this film. Close other pages, or make the film smaller, and try again.";
  }
  const message = error instanceof Error ? error.message : String(error);
  return `Something went wrong (${message.split("\n")[0]}). Reload the page, or try another film.`;
}
