import type { Box } from "../framing/box";
import type { Segmentation } from "../segmenter/segmenter";
import type { FilmView } from "../segmenter/view";
import { duration, percent, squareCentimetres } from "./texts";

/** What is known of a segmented film, as terms and descriptions of two lists: what counts, and details. */
export function figures(
  film: FilmView,
  found: Segmentation,
  box: Box | null,
): { main: HTMLElement[]; details: HTMLElement[] } {
  const { mask, lungs, times, runs } = found;
  const pixels = mask.values.reduce((sum, value) => sum + value, 0);
  const area = (count: number | null) => {
    if (count === null) return "cannot be told apart";
    return film.spacing ? squareCentimetres(count, film.spacing) : `${percent(count / mask.values.length)} of the film`;
  };
  const spacing = film.spacing
    ? `${film.spacing.map((side) => side.toPrecision(3)).join(" × ")} mm (${film.spacingSource})`
    : "not stated, so areas are shares of the film";
  const often = (count: number) => (count === 1 ? "once" : `${count} times`);
  const main = [
    ...entry("right", "Right lung", area(lungs.right)),
    ...entry("left", "Left lung", area(lungs.left)),
    ...entry("both", "Both lungs", area(pixels)),
    ...entry("expected-dice", "Expected Dice", `${found.expectedDice.toFixed(4)}, by the network itself`),
    ...entry("prompt-shown", "Prompt", box ? `box ${box.join(", ")}` : "whole film"),
  ];
  const details = [
    ...entry("size", "Film", `${film.name}, ${film.stored.join(" × ")} pixels`),
    ...entry("values", "Values", film.described.values),
    ...entry("pose", "Pose", film.described.pose),
    ...entry("spacing", "Spacing", spacing),
    ...entry("field", "Field", film.described.field),
    ...entry("encoder", "Encoder", `${duration(times.encoder)}, run ${often(runs.encoder)} for this film`),
    ...entry("decoder", "Decoder", `${duration(times.decoder)}, run ${often(runs.decoder)}`),
    ...entry("around", "Around it", `${duration(times.framing)} to read, ${duration(times.mask)} to the mask`),
  ];
  return { main, details };
}

function entry(name: string, term: string, text: string): HTMLElement[] {
  const title = document.createElement("dt");
  title.textContent = term;
  const description = document.createElement("dd");
  description.textContent = text;
  description.dataset.figure = name;
  return [title, description];
}
