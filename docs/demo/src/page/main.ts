/** The page: opens films, shows what the worker answers, and saves it. */

import phantomUrl from "../../phantom.png?url";

import type { Box } from "../framing/box";
import type { Answer, Request } from "../segmenter/messages";
import type { Segmentation } from "../segmenter/segmenter";
import type { FilmView } from "../segmenter/view";
import { element, input } from "./elements";
import { figures } from "./figures";
import { keepForOffline } from "./offline";
import { maskPng, save, stem } from "./save";
import { FLAG_TEXTS, howRead, megabytes } from "./texts";
import { Viewer } from "./viewer";

const CORNERS = ["x0", "y0", "x1", "y1"] as const;

const viewer = new Viewer(element("view", HTMLCanvasElement), element("film"));
const worker = new Worker(new URL("../segmenter/worker.ts", import.meta.url), { type: "module" });

let request = 0; // the newest; answers to older ones are dropped
let ready = false;
let opening = false; // until the newest film is there, no prompt is taken: it would be meant for the film before
let film: FilmView | null = null;
let segmentation: Segmentation | null = null;

function ask(message: Request): void {
  worker.postMessage(message);
}

function say(text: string): void {
  element("status").textContent = text;
}

function showError(message: string): void {
  const place = element("error");
  place.textContent = message;
  place.hidden = false;
  say(film ? `${film.name} is still open.` : "Open another film.");
}

function clearError(): void {
  element("error").hidden = true;
  element("error").textContent = "";
}

function openFilm(file: File): void {
  clearError();
  say(ready ? `Reading ${file.name} …` : `${file.name} is read as soon as the network is here …`);
  element("film").setAttribute("aria-busy", "true");
  opening = true;
  ask({ kind: "open", id: ++request, file });
}

function segment(box: Box | null): void {
  if (!film || opening) return;
  clearError();
  say("Segmenting …");
  element("film").setAttribute("aria-busy", "true");
  ask({ kind: "segment", id: ++request, box });
}

function showBox(box: Box | null): void {
  CORNERS.forEach((corner, i) => {
    input(corner).value = box ? String(box[i]) : "";
  });
}

const answered: { [Kind in Answer["kind"]]: (answer: Extract<Answer, { kind: Kind }>) => void } = {
  progress({ loaded, total }) {
    element("progress", HTMLProgressElement).value = loaded / total;
    if (loaded < total) say(`Loading the network: ${megabytes(loaded)} of ${megabytes(total)}`);
    else say("Starting the network …");
  },
  ready({ threads }) {
    ready = true;
    element("progress").hidden = true;
    document.documentElement.dataset.threads = String(threads);
    if (!opening) say("The network is ready. Open a film, or try a phantom.");
    void keepForOffline(element("offline"));
  },
  unavailable({ message }) {
    element("progress").hidden = true;
    showError(`The network could not be loaded. ${message}`);
  },
  film(answer) {
    opening = false;
    film = answer.film;
    segmentation = null;
    element("invitation").hidden = true;
    element("how-read").textContent = howRead(film.described);
    for (const id of ["view", "how-read", "view-keys", "show", "prompt"]) element(id).hidden = false;
    for (const id of ["result", "save"]) element(id).hidden = true;
    element("view").setAttribute("aria-label", `Film ${film.name}`);
    CORNERS.forEach((corner, i) => {
      const limit = String(i % 2 ? film!.height : film!.width);
      input(corner).max = limit;
      input(corner).placeholder = i < 2 ? "0" : limit;
    });
    viewer.showFilm(film);
    segment(null);
  },
  mask({ box, segmentation: found }) {
    segmentation = found;
    viewer.showMask(found, box);
    showBox(box);
    element("film").removeAttribute("aria-busy");
    const flags = found.flags.map((flag) => {
      const item = document.createElement("li");
      item.textContent = FLAG_TEXTS[flag];
      item.dataset.flag = flag;
      return item;
    });
    element("flags").replaceChildren(...flags);
    const { main, details } = figures(film!, found, box);
    element("figures").replaceChildren(...main);
    element("details").replaceChildren(...details);
    for (const id of ["result", "save"]) element(id).hidden = false;
    const notes = found.flags.map((flag) => FLAG_TEXTS[flag]).join(" ");
    say(`${film!.name} is segmented${box ? ", prompted with the box" : ""}. ${notes}`);
  },
  error({ message }) {
    element("film").removeAttribute("aria-busy");
    opening = false;
    showError(message);
  },
};

worker.onmessage = ({ data }: MessageEvent<Answer>) => {
  if ("id" in data && data.id !== request) return;
  (answered[data.kind] as (answer: Answer) => void)(data);
};
worker.onerror = (event) => {
  showError(`The network stopped (${event.message || "its worker could not be started"}). Reload the page.`);
};

function currentBox(): Box | null {
  const values = CORNERS.map((corner) => input(corner).valueAsNumber);
  return values.every(Number.isFinite) ? (values as Box) : null;
}

function openFirst(files: FileList | null | undefined): void {
  if (!files?.length) return;
  if (files.length === 1) openFilm(files[0]!);
  else showError(`One film at a time: these are ${files.length} files.`);
}

input("file").addEventListener("change", () => {
  openFirst(input("file").files);
  input("file").value = ""; // so that the same file can be chosen again
});
element("phantom").addEventListener("click", async () => {
  try {
    const answer = await fetch(phantomUrl);
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    openFilm(new File([await answer.blob()], "phantom.png"));
  } catch (error) {
    showError(`The phantom could not be loaded (${(error as Error).message}).`);
  }
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"] as const) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    element("film").classList.toggle("dropping", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") openFirst(event.dataTransfer?.files);
  });
}

viewer.onBox = showBox;
viewer.onPrompt = segment;
element("box").addEventListener("submit", (event) => {
  event.preventDefault();
  segment(currentBox());
});
element("whole").addEventListener("click", () => segment(null));

for (const name of ["opacity", "outline", "right", "left"] as const) {
  input(name).addEventListener("input", () => {
    const opacity = input("opacity").valueAsNumber;
    element("opacity-value").textContent = `${opacity} %`;
    viewer.shown = {
      opacity: opacity / 100,
      outline: input("outline").checked,
      right: input("right").checked,
      left: input("left").checked,
    };
    viewer.draw();
  });
}
element("save-mask").addEventListener("click", () => {
  if (segmentation && film) save(maskPng(segmentation.mask), `${stem(film.name)}_mask.png`);
});
element("save-overlay").addEventListener("click", async () => {
  if (segmentation && film) save(await viewer.overlay(), `${stem(film.name)}_overlay.png`);
});

ask({ kind: "load" });
