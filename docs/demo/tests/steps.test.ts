/** Each step of the page gives what the Python side gives. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { outOfMemory, openFilm } from "../src/film/open";
import { readPng } from "../src/film/png";
import { boxInFrame, checkBox } from "../src/framing/box";
import { crop, insideFrame, uncrop } from "../src/framing/frame";
import { percentiles, scaleByPercentiles } from "../src/framing/intensity";
import { letterbox, unletterbox } from "../src/framing/letterbox";
import { tellLungsApart } from "../src/mask/lungs";
import { outline } from "../src/mask/outline";
import { fillHoles, keepLargest } from "../src/mask/plausible";
import { expectedDice, qualityFlags } from "../src/mask/quality";
import { DEMO, REFERENCE } from "./places";
import { largestDifference, mask, plane, readSteps } from "./steps";

const steps = readSteps();

describe("reading", () => {
  test.each(steps.reading.map((step) => [step.file, step] as const))(
    "%s has the grays and the spacing of Python",
    async (file, step) => {
      const film = await openFilm(file, new Uint8Array(readFileSync(join(REFERENCE, file))));
      const expected = plane(step.pixels);
      expect([film.width, film.height]).toEqual([expected.width, expected.height]);
      const scale = expected.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      expect(largestDifference(film.values, expected.values) / scale).toBeLessThan(1e-6);
      expect(film.spacing).toEqual(step.spacing);
      expect([film.spacingSource, film.orientation]).toEqual([step.spacing_source, step.orientation]);
    },
  );

  test("the page's phantom is what the bundle draws", () => {
    const film = readPng("phantom.png", new Uint8Array(readFileSync(join(DEMO, "phantom.png"))));
    expect(largestDifference(film.values, plane(steps.phantom).values)).toBe(0);
  });
});

describe("framing", () => {
  test("percentiles are those of a full sort", () => {
    const values = Float32Array.from({ length: 9973 }, (_, i) => Math.sin(i) * 10 ** (i % 7) - 5);
    const sorted = [...values].sort((a, b) => a - b);
    for (const [percent, found] of [0.5, 37, 99.5].map((at) => [at, percentiles(values, [at])[0]!] as const)) {
      const rank = (percent / 100) * (sorted.length - 1);
      const [below, above] = [sorted[Math.floor(rank)]!, sorted[Math.ceil(rank)]!];
      expect(found).toBeCloseTo(below + (rank % 1) * (above - below), 6);
    }
  });

  test.each(steps.intensity.map((step, i) => [i, step] as const))("grays %i are scaled as in Python", (_, step) => {
    const scaled = scaleByPercentiles(plane(step.input), 0.5, 99.5);
    expect(largestDifference(scaled.values, plane(step.output).values)).toBeLessThan(2e-6);
  });

  test.each(steps.frame.map((step, i) => [i, step] as const))("frame %i is cut off as in Python", (_, step) => {
    const film = plane(step.input);
    const inside = insideFrame(film);
    const inner = crop(film, inside);
    expect(inner).toEqual(plane(step.output));
    const back = uncrop(inner, inside, [film.width, film.height]);
    expect(crop(back, inside)).toEqual(inner);
  });

  test.each(steps.letterbox.map((step) => [step.input.shape, step] as const))(
    "%s pixels are letterboxed and brought back as in Python",
    (_, step) => {
      const film = plane(step.input);
      // torch computes the weights in float32, which at column 400 is a fault of 2e-5 of a pixel
      expect(largestDifference(letterbox(film, 384).values, plane(step.output).values)).toBeLessThan(3e-5);
      const back = unletterbox(plane(step.probability), film.width, film.height);
      expect(largestDifference(back.values, plane(step.inverse).values)).toBeLessThan(5e-5);
    },
  );

  test.each(steps.box.map((step) => [step.box, step] as const))(
    "box %s reaches the network as in Python",
    (_, step) => {
      const film = plane(step.film);
      expect(largestDifference(boxInFrame(step.box, insideFrame(film), 384), step.prompt)).toBeLessThan(1e-4);
    },
  );

  test.each([
    [[30, 10, 30, 50], /right edge must be greater/],
    [[0, 0, 101, 50], /reaches out of the film of 100 x 80/],
    [[NaN, 0, 10, 50], /expected four numbers/],
  ] as const)("box %s is refused", (box, message) => {
    expect(() => checkBox([...box], 100, 80)).toThrow(message);
  });
});

describe("masks", () => {
  test.each(steps.mask.map((step, i) => [i, step] as const))(
    "mask %i becomes plausible, is judged and measured as in Python",
    (_, step) => {
      const plausible = fillHoles(keepLargest(mask(step.mask), 2));
      expect(largestDifference(plausible.values, plane(step.plausible).values)).toBe(0);
      expect(expectedDice(plane(step.probability))).toBeCloseTo(step.expected_dice, 5);
      expect(qualityFlags(plausible, step.assumed_dice)).toEqual(step.flags);
      const { right, left } = tellLungsApart(plausible, step.orientation);
      const area = (pixels: number | null) => (pixels === null ? undefined : (pixels * 0.7 * 0.65) / 100);
      const both = plausible.values.reduce((sum, value) => sum + value, 0);
      expect(area(both)).toBeCloseTo(step.areas.area_cm2, 6);
      for (const [found, expected] of [
        [area(right), step.areas.right_lung_cm2],
        [area(left), step.areas.left_lung_cm2],
      ]) {
        if (expected === undefined) expect(found).toBeUndefined();
        else expect(found).toBeCloseTo(expected, 6);
      }
    },
  );

  test("the outline of a rectangle is its four sides", () => {
    const labels = new Uint8Array(6 * 5);
    for (const [x, y] of [
      [1, 1],
      [2, 1],
      [3, 1],
      [1, 2],
      [2, 2],
      [3, 2],
    ] as const)
      labels[y * 6 + x] = 2;
    const lines = outline(labels, 6, 5, 2);
    const sides = Array.from({ length: lines.length / 4 }, (_, i) => [...lines.slice(4 * i, 4 * i + 4)]);
    expect(sides).toEqual([
      [1, 1, 4, 1],
      [1, 3, 4, 3],
      [1, 1, 1, 3],
      [4, 1, 4, 3],
    ]);
  });
});

test.each([
  [new RangeError("Array buffer allocation failed"), true],
  [new RangeError("Invalid typed array length: 5000000000"), true],
  [new Error("failed to allocate: std::bad_alloc"), true],
  [new RangeError("Offset is outside the bounds of the DataView"), false],
])("%s is about memory: %s", (error, about) => {
  expect(outOfMemory(error)).toBe(about);
});
