/** Each step of the page gives what the Python side gives. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { canonical } from "../src/canonical/canonical";
import { Classifier, pictureOf } from "../src/canonical/looking";
import { Pose, UPRIGHT } from "../src/canonical/pose";
import type { FilmRecord } from "../src/canonical/record";
import { type StoredFilm, storedFilm } from "../src/film/film";
import { statedByJpeg } from "../src/film/jpeg";
import { outOfMemory, openFilm } from "../src/film/open";
import { readPng } from "../src/film/png";
import { boxInFrame, checkBox } from "../src/framing/box";
import { percentiles, scaleByPercentiles } from "../src/framing/intensity";
import { letterbox, unletterbox } from "../src/framing/letterbox";
import { tellLungsApart } from "../src/mask/lungs";
import { outline } from "../src/mask/outline";
import { fillHoles, keepLargest } from "../src/mask/plausible";
import { expectedDice, qualityFlags } from "../src/mask/quality";
import { DEMO, REFERENCE } from "./places";
import { type FilmStep, largestDifference, mask, plane, readSteps, type RecordStep, sampled, scattered } from "./steps";

const steps = readSteps();
const classifier = Classifier.read(new Uint8Array(readFileSync(join(DEMO, "models/film_classifier.bin"))).buffer);

function contentOf(file: string): Uint8Array {
  return new Uint8Array(readFileSync(join(REFERENCE, file)));
}

/** A film as the page reads it; a JPEG, which takes a browser, has the grays of Python. */
async function stated(step: FilmStep): Promise<StoredFilm> {
  if (!step.file.endsWith(".jpg")) return openFilm(step.file, contentOf(step.file));
  return storedFilm(plane(step.values), statedByJpeg(contentOf(step.file)));
}

describe("reading", () => {
  const decoded = steps.films.filter(({ file }) => !file.endsWith(".jpg"));

  test.each(decoded.map((step) => [step.file, step] as const))("%s has the grays of Python", async (file, step) => {
    const { width, height, values } = await openFilm(file, contentOf(file));
    expect([height, width]).toEqual(step.values.shape);
    const expected = plane(step.values).values;
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    expect(largestDifference(sampled(values), expected) / scale).toBeLessThan(1e-6);
  });

  test.each(steps.films.map((step) => [step.file, step] as const))("%s says what Python reads", async (_, step) => {
    const found = await stated(step);
    expect(found.pose?.number ?? null).toBe(step.stated.pose);
    for (const [name, value] of Object.entries(step.stated)) {
      if (name === "pose") continue;
      const own = found[name as keyof StoredFilm];
      if (name === "aspect") expect(own).toBeCloseTo(value as number, 9);
      else expect({ [name]: own }).toEqual({ [name]: value });
    }
  });

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
      const { record } = canonical(storedFilm(plane(step.film)), null);
      expect(largestDifference(boxInFrame(step.box, record, 384), step.prompt)).toBeLessThan(1e-4);
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

describe("the canonical film", () => {
  const films = steps.films.map((step) => [step.file, step] as const);

  /** Compare a record, and what it brings back. */
  function compare(record: FilmRecord, step: RecordStep): void {
    const { flags, inverted, rows, columns, size } = record;
    const expected = { flags: step.flags, inverted: step.inverted, rows: step.rows, columns: step.columns };
    expect({ flags, inverted, rows, columns, size }).toEqual({ ...expected, size: step.size });
    expect(record.pose.number).toBe(step.pose);
    expect(record.described()).toEqual(step.described);
    const { field } = record;
    expect(field === null).toBe(step.field === null);
    if (field) {
      const found = [field.x, field.y, field.width, field.height, field.angle];
      expect(largestDifference(found, step.field!)).toBeLessThan(1e-6);
    }
    const restored = record.restore(scattered(...size));
    expect([restored.height, restored.width]).toEqual(step.restored.shape);
    expect(largestDifference(sampled(restored.values), plane(step.restored).values)).toBeLessThan(1e-5);
  }

  test.each(films)("%s is brought to it, and back, as in Python", async (_, step) => {
    const film = await stated(step);
    const { picture, record } = canonical(film, classifier);
    compare(record, step.record);
    const expected = plane(step.picture).values;
    const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    expect(largestDifference(sampled(picture.values), expected) / scale).toBeLessThan(1e-6);
  });

  test.each(films)("%s gives the classifier's numbers to the last bit", async (_, step) => {
    const film = await stated(step);
    const { picture, record } = canonical(film, null);
    compare(record, step.believed);
    const seen = pictureOf(picture);
    const expected = plane(step.seen);
    // Logarithms and turned places differ in their last bit, which rounds to either side
    const rounded = step.stated.valuesSource.startsWith("FOR PROCESSING") || record.field?.angle;
    const apart = rounded ? 1 : 0;
    expect(largestDifference(seen.values, expected.values)).toBeLessThanOrEqual(apart);
    expect(classifier.logits({ ...seen, values: Uint8Array.from(expected.values) })).toEqual(step.logits);
  });

  test("poses undo each other, and follow each other as matrices do", () => {
    const film = { ...scattered(5, 7) };
    for (let first = 0; first < 8; first++) {
      const pose = Pose.numbered(first);
      const upright = pose.upright(film);
      expect(pose.stored(upright)).toEqual(film);
      for (let second = 0; second < 8; second++) {
        const other = Pose.numbered(second);
        expect(pose.then(other).upright(film)).toEqual(other.upright(upright));
      }
    }
    expect(UPRIGHT.upright(film)).toEqual(film);
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
      const { right, left } = tellLungsApart(Pose.numbered(step.pose).upright(plausible));
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
