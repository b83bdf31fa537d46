/** The page in headless Chromium, driven as a person drives it. */

import { createServer, type Server } from "node:http";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { basename, join } from "node:path";

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { siteServer } from "../build/server.mjs";
import type { Sources } from "../src/canonical/record";
import type { Box } from "../src/framing/box";
import { FLAG_TEXTS, howRead } from "../src/page/texts";
import type { Mask } from "../src/mask/mask";
import type { Flag } from "../src/mask/quality";
import { Browser, choose, dice, figure, ready, readMask, savedMask, segmentFile, serve } from "./browser";
import { FILMS, REFERENCE, SITE } from "./places";

const LEAST_DICE = 0.998;
const film = (name: string) => join(REFERENCE, "films", name);
const stem = (name: string) => name.replace(/\.(png|jpg|dcm)$/, "");
const wobble = JSON.parse(readFileSync(join(REFERENCE, "wobble.json"), "utf8")) as Record<string, number>;
/** Where the network is unsure, a mask can move by more than that when the grays of the film move by a millionth. */
const leastDice = (name: string) => Math.min(LEAST_DICE, wobble[name] ?? 1);
const expectedMask = (name: string) => readMask(join(REFERENCE, "masks", `${stem(name)}_mask.png`));

let server: Server;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  const served = await serve();
  server = served.server;
  browser = await Browser.start(served.origin);
  page = await browser.page();
});

const found: Record<string, number[]> = {};

/** Compare, and remember for the summary. */
function agreement(kind: string, saved: Mask, expected: Mask): number {
  const value = dice(saved, expected);
  (found[kind] ??= []).push(value);
  if (value < 0.999) console.log(`${expect.getState().currentTestName}: Dice ${value.toFixed(5)}`);
  return value;
}

afterAll(async () => {
  for (const [kind, values] of Object.entries(found)) {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    console.log(`${kind}: n ${values.length}, mean Dice ${mean.toFixed(5)}, least ${Math.min(...values).toFixed(5)}`);
  }
  await browser?.stop();
  server?.closeAllConnections();
  server?.close();
});

afterEach(() => {
  expect(browser.foreign).toEqual([]);
  expect(browser.complaints.splice(0)).toEqual([]);
});

/** Rows of a table by their first column. */
function table(path: string): Map<string, Record<string, string>> {
  const [header, ...rows] = readFileSync(path, "utf8")
    .trim()
    .split(/\r?\n/)
    .map((line) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
        quoted === undefined ? plain! : quoted.replaceAll('""', '"'),
      ),
    );
  return new Map(rows.map((row) => [row[0]!, Object.fromEntries(header!.map((name, i) => [name, row[i] ?? ""]))]));
}

const results = table(join(REFERENCE, "masks/results.csv"));
/** Boxes on the upright films, as the page shows them; `boxes.csv` has them in the files' own pixels. */
const boxes = JSON.parse(readFileSync(join(REFERENCE, "boxes.json"), "utf8")) as Record<string, Box>;
const films = readdirSync(join(REFERENCE, "films")).filter((name) => !name.startsWith("boxed_"));

describe("what is shown is what the bundle computes", () => {
  test("the films are there", () => {
    expect(films.length).toBeGreaterThan(25);
    expect(films.filter((name) => name.startsWith("real_")).length).toBe(existsSync(FILMS) ? 22 : 0);
  });

  test.each(films)("%s", async (name) => {
    await segmentFile(page, film(name));
    const saved = await savedMask(page);
    expect(saved.name).toBe(`${stem(name)}_mask.png`);
    const row = results.get(name)!;
    const doubted = row.flags!.includes("low_confidence") ? "what is no upright chest" : "phantoms";
    const drawn = name.startsWith("form_") ? "phantoms in every form" : doubted;
    const kind = name.startsWith("real_") ? "real films" : drawn;
    expect(agreement(kind, saved, expectedMask(name))).toBeGreaterThanOrEqual(leastDice(name));
    const flags = await page.locator("#flags li").allTextContents();
    expect(flags).toEqual(row.flags ? row.flags.split(";").map((flag) => FLAG_TEXTS[flag as Flag]) : []);
    expect(parseFloat(await figure(page, "expected-dice"))).toBeCloseTo(Number(row.expected_dice), 2);
    const { values, pose, spacing, field } = row as unknown as Sources;
    expect(await page.locator("#how-read").textContent()).toBe(howRead({ values, pose, spacing, field }));
    const pairs = row.area_cm2
      ? [
          ["both", row.area_cm2],
          ["right", row.right_lung_cm2],
          ["left", row.left_lung_cm2],
        ]
      : [["both", String(100 * Number(row.area_share))]];
    for (const [shown, expected] of pairs) {
      const text = await figure(page, shown!);
      expect(text).toContain(row.area_cm2 ? (expected ? "cm²" : "cannot be told apart") : "% of the film");
      if (expected)
        expect(Math.abs(parseFloat(text) / Number(expected) - 1)).toBeLessThan(
          // Masks that may differ by so much may do so in one lung alone
          leastDice(name) < LEAST_DICE ? Math.max(0.02, 4 * (1 - leastDice(name))) : 0.005,
        );
    }
  });

  test("on a page without isolation, with one thread and no headers, the mask is the same", async () => {
    const site = siteServer(SITE);
    const bare = await serve(
      createServer((request, response) => {
        const writeHead = response.writeHead.bind(response) as (status: number, headers?: object) => typeof response;
        response.writeHead = ((status: number, headers: Record<string, string> = {}) => {
          const type = headers["Content-Type"];
          return writeHead(status, type ? { "Content-Type": type } : {});
        }) as typeof response.writeHead;
        site.emit("request", request, response);
      }),
    );
    const elsewhere = await Browser.start(bare.origin);
    try {
      const other = await elsewhere.page();
      expect(await other.evaluate(() => [crossOriginIsolated, document.documentElement.dataset.threads])).toEqual([
        false,
        "1",
      ]);
      await segmentFile(other, film("phantom_384.png"));
      expect(dice(await savedMask(other), expectedMask("phantom_384.png"))).toBeGreaterThanOrEqual(LEAST_DICE);
      expect([elsewhere.foreign, elsewhere.complaints]).toEqual([[], []]);
    } finally {
      await elsewhere.stop();
      bare.server.closeAllConnections();
      bare.server.close();
    }
  });
});

describe("boxes", () => {
  test.each(Object.entries(boxes))("the numbers of %s prompt the decoder alone", async (boxed, box) => {
    await segmentFile(page, film(boxed.replace("boxed_", "")));
    for (const [i, corner] of ["x0", "y0", "x1", "y1"].entries()) await page.locator(`#${corner}`).fill(String(box[i]));
    await page.getByRole("button", { name: "Segment the box" }).click();
    await page.getByText("prompted with the box").waitFor();
    expect(agreement("boxes", await savedMask(page), expectedMask(boxed))).toBeGreaterThanOrEqual(LEAST_DICE);
    expect(await figure(page, "encoder")).toContain("run once for this film");
    expect(await figure(page, "decoder")).toContain("run 2 times");
    await page.getByRole("button", { name: "Whole film" }).click();
    await page.locator('[data-figure="prompt-shown"]', { hasText: "whole film" }).waitFor();
    const whole = boxed.replace("boxed_", "");
    expect(dice(await savedMask(page), expectedMask(whole))).toBeGreaterThanOrEqual(LEAST_DICE);
  });

  test("a box is dragged with the mouse", async () => {
    const name = "phantom_512.png";
    await segmentFile(page, film(name));
    const [x0, y0, x1, y1] = boxes[`boxed_${name}`]!;
    const canvas = (await page.locator("#view").boundingBox())!;
    const at = (x: number, y: number) =>
      [canvas.x + (x / 512) * canvas.width, canvas.y + (y / 512) * canvas.height] as const;
    await page.mouse.move(...at(x1, y0));
    await page.mouse.down();
    await page.mouse.move(...at(200, 200), { steps: 4 });
    await page.mouse.move(...at(x0, y1), { steps: 4 });
    await page.mouse.up();
    await page.getByText("prompted with the box").waitFor();
    expect(await figure(page, "prompt-shown")).toBe(`box ${x0}, ${y0}, ${x1}, ${y1}`);
    expect(await figure(page, "encoder")).toContain("run once for this film");
    expect(dice(await savedMask(page), expectedMask(`boxed_${name}`))).toBeGreaterThanOrEqual(LEAST_DICE);
  });

  test("a click draws no box", async () => {
    await segmentFile(page, film("phantom_384.png"));
    await page.locator("#view").click({ position: { x: 60, y: 60 } });
    expect(await figure(page, "prompt-shown")).toBe("whole film");
    expect(await figure(page, "decoder")).toContain("run once");
  });

  test("a box that reaches out of the film is refused by the page", async () => {
    await segmentFile(page, film("phantom_384.png"));
    for (const [corner, value] of [
      ["x0", "300"],
      ["y0", "10"],
      ["x1", "200"],
      ["y1", "100"],
    ] as const) {
      await page.locator(`#${corner}`).fill(value);
    }
    await page.getByRole("button", { name: "Segment the box" }).click();
    await page.getByRole("alert").filter({ hasText: "right edge must be greater" }).waitFor();
    await page.getByRole("button", { name: "Whole film" }).click();
    await page.getByText("phantom_384.png is segmented").waitFor();
    expect(await page.getByRole("alert").isVisible()).toBe(false);
  });
});

describe("a person", () => {
  test("works with the keyboard alone", async () => {
    const other = await browser.page();
    const focused = () => other.evaluate(() => document.activeElement?.id ?? "");
    const tabTo = async (id: string) => {
      for (let i = 0; i < 40 && (await focused()) !== id; i++) await other.keyboard.press("Tab");
      expect(await focused()).toBe(id);
    };
    await tabTo("file");
    await tabTo("phantom");
    await other.keyboard.press("Enter");
    await other.getByText("phantom.png is segmented").waitFor();
    await tabTo("view");
    await other.keyboard.press("ArrowRight");
    for (let i = 0; i < 3; i++) await other.keyboard.press("ArrowDown");
    await other.keyboard.press("Shift+ArrowLeft");
    await other.keyboard.press("Enter");
    await other.getByText("prompted with the box").waitFor();
    expect(await figure(other, "prompt-shown")).toBe("box 51, 66, 456, 476");
    await other.keyboard.press("Escape");
    await other.locator('[data-figure="prompt-shown"]', { hasText: "whole film" }).waitFor();
    expect(await figure(other, "encoder")).toContain("run once for this film");
    await tabTo("save-mask");
    const started = other.waitForEvent("download");
    await other.keyboard.press("Enter");
    expect((await started).suggestedFilename()).toBe("phantom_mask.png");
    await other.close();
  });

  test("drops a film anywhere on the page", async () => {
    const content = readFileSync(film("phantom_256.png")).toString("base64");
    const transfer = await page.evaluateHandle((base64) => {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], "dropped.png"));
      return data;
    }, content);
    await page.dispatchEvent("footer", "drop", { dataTransfer: transfer });
    await page.getByText("dropped.png is segmented").waitFor();
    expect(dice(await savedMask(page), expectedMask("phantom_256.png"))).toBeGreaterThanOrEqual(LEAST_DICE);
  });

  test("chooses what of the mask is seen, and saves it over the film", async () => {
    await segmentFile(page, film("phantom_512.png"));
    const mask = expectedMask("phantom_512.png");
    const overlay = async () => {
      const started = page.waitForEvent("download");
      await page.getByRole("button", { name: "Overlay (PNG)" }).click();
      const download = await started;
      expect(download.suggestedFilename()).toBe("phantom_512_overlay.png");
      const { decode } = await import("fast-png");
      const { width, height, data, channels } = decode(readFileSync(await download.path()));
      expect([width, height]).toEqual([512, 512]);
      const coloured = (from: number, to: number) => {
        let count = 0;
        for (let i = 0; i < width * height; i++) {
          const [red, green, blue] = [data[i * channels]!, data[i * channels + 1]!, data[i * channels + 2]!];
          if (i % width >= from && i % width < to && Math.max(red, green, blue) - Math.min(red, green, blue) > 8)
            count++;
        }
        return count;
      };
      return [coloured(0, 256), coloured(256, 512)];
    };
    const [right, left] = (await overlay()) as [number, number];
    const inMask = (from: number, to: number) =>
      mask.values.filter((value, i) => value && i % 512 >= from && i % 512 < to).length;
    expect(right / inMask(0, 256)).toBeCloseTo(1, 0);
    expect(left / inMask(256, 512)).toBeCloseTo(1, 0);
    await page.getByLabel("Right lung").uncheck();
    const withoutRight = (await overlay()) as [number, number];
    expect(withoutRight[0]).toBeLessThan(0.1 * right);
    expect(withoutRight[1]).toBeGreaterThan(0.9 * left);
    await page.getByLabel("Right lung").check();
    await page.getByRole("slider", { name: "Opacity of the mask" }).fill("0");
    const outlines = (await overlay()) as [number, number];
    expect(outlines[0]).toBeGreaterThan(0);
    expect(outlines[0]).toBeLessThan(0.3 * right);
    await page.getByLabel("Outline").uncheck();
    expect(await overlay()).toEqual([0, 0]);
    await page.getByLabel("Outline").check();
    await page.getByRole("slider", { name: "Opacity of the mask" }).fill("35");
  });

  test("sees a film as on the light box, however it is stored", async () => {
    const { decode } = await import("fast-png");
    const seen = async (form: string) => {
      await segmentFile(page, film(films.find((name) => name.startsWith(`form_${form}.`))!));
      await page.getByRole("slider", { name: "Opacity of the mask" }).fill("0");
      await page.getByLabel("Outline").uncheck();
      const started = page.waitForEvent("download");
      await page.getByRole("button", { name: "Overlay (PNG)" }).click();
      const { width, height, data, channels } = decode(readFileSync(await (await started).path()));
      await page.getByLabel("Outline").check();
      await page.getByRole("slider", { name: "Opacity of the mask" }).fill("35");
      return { size: [width, height], grays: Array.from({ length: width * height }, (_, i) => data[i * channels]!) };
    };
    const plain = await seen("plain");
    for (const form of ["exif_jpeg_6", "exif_png_8", "orientation_FR", "monochrome1", "orientation_RH"]) {
      const other = await seen(form);
      expect(other.size).toEqual(plain.size);
      const apart = other.grays.reduce((sum, gray, i) => sum + Math.abs(gray - plain.grays[i]!), 0);
      expect(apart / plain.grays.length).toBeLessThan(4);
    }
  });

  test("has threads where the page is isolated", async () => {
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    expect(await page.evaluate(() => document.documentElement.dataset.threads)).toBe(
      String(Math.min(4, cpus().length)),
    );
  });

  test("is told that it is for research and that the image stays", async () => {
    const header = await page.locator("header").textContent();
    expect(header).toContain("not a medical device");
    expect(header).toContain("Your image stays on this device");
  });
});

describe("what is no film", () => {
  const messages = JSON.parse(readFileSync(join(REFERENCE, "broken.json"), "utf8")) as Record<string, string>;
  // Decoders word damage each in their own way: there the page says that the file cannot be read, and not more
  const comparable = (message: string) => message.startsWith("cannot be read") || message.startsWith("is no DICOM");

  test.each(Object.entries(messages))("%s is refused as Python refuses it: %s", async (name, message) => {
    await choose(page, join(REFERENCE, "broken", name));
    const alert = page.getByRole("alert").filter({ hasText: name });
    await alert.waitFor();
    const text = await alert.textContent();
    if (comparable(message)) expect(text).toMatch(/cannot be read as an image|is no (PNG, JPEG or )?DICOM file/);
    else if (message.includes("holds no image")) expect(text).toContain("holds no image");
    else expect(text).toBe(`${name}: ${message}`);
    await segmentFile(page, film("phantom_256.png"));
    expect(await page.getByRole("alert").isVisible()).toBe(false);
  });

  test.each([
    ["unknown_syntax.dcm", /transfer syntax 1\.2\.840\.10008\.1\.2\.4\.201 is not supported here/],
    ["enormous.png", /too large, 60000 x 60000 are 3600 million pixels/],
    ["inks.jpg", /four inks/],
  ])("%s is refused by name", async (name, message) => {
    await segmentFile(page, film("phantom_256.png"));
    await choose(page, join(REFERENCE, "broken", name));
    await page.getByRole("alert").filter({ hasText: name }).waitFor();
    expect(await page.getByRole("alert").textContent()).toMatch(message);
    // The film before is still there, with its mask
    expect(dice(await savedMask(page), expectedMask("phantom_256.png"))).toBeGreaterThanOrEqual(LEAST_DICE);
    await page.getByRole("button", { name: "Whole film" }).click();
    await page.getByText("phantom_256.png is segmented").waitFor();
  });
});

test("a film for which there is no memory leaves the page usable", async () => {
  const poor = await Browser.start(browser.origin);
  try {
    // Allocations fail as V8 fails them, from 900,000 numbers on
    const scarce = `{
      const whole = Float32Array;
      self.Float32Array = new Proxy(whole, {
        construct(target, given, asked) {
          if (given[0] > 9e5) throw new RangeError("Array buffer allocation failed");
          return Reflect.construct(target, given, asked === self.Float32Array ? target : asked);
        },
      });
    }`;
    await poor.context.route("**/assets/worker-*.js", async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, body: scarce + (await answer.text()) });
    });
    const other = await poor.page();
    await choose(other, film("phantom_1024.png"));
    await other.getByRole("alert").filter({ hasText: "not enough memory for this film" }).waitFor();
    await segmentFile(other, film("phantom_256.png"));
    expect(dice(await savedMask(other), expectedMask("phantom_256.png"))).toBeGreaterThanOrEqual(LEAST_DICE);
  } finally {
    await poor.stop();
  }
});

describe("the page looks right", () => {
  const views = [360, 1440].flatMap((width) =>
    (["light", "dark"] as const).map((colours) => [width, colours] as const),
  );

  test.each(views)("at %i px in %s colours", async (width, colours) => {
    const other = await browser.context.newPage();
    await other.setViewportSize({ width, height: width < 600 ? 740 : 1000 });
    await other.emulateMedia({ colorScheme: colours });
    await other.goto(browser.origin);
    await ready(other);
    mkdirSync(join(REFERENCE, "screenshots"), { recursive: true });
    const picture = (name: string) => join(REFERENCE, "screenshots", `${name}_${width}_${colours}.png`);
    await other.screenshot({ path: picture("start"), fullPage: true });
    const check = async () => {
      expect(await other.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)).toBeLessThanOrEqual(
        0,
      );
      expect(await other.evaluate(pale)).toEqual([]);
    };
    await check();
    await other.getByRole("button", { name: "Try a phantom" }).click();
    await other.getByText("phantom.png is segmented").waitFor();
    await check();
    await other.screenshot({ path: picture("phantom"), fullPage: true });
    const turned = films.find((name) => name.startsWith("form_field_black_turned"))!;
    await choose(other, film(turned));
    await other.getByText(`${turned} is segmented`).waitFor();
    await check();
    await other.screenshot({ path: picture("field"), fullPage: true });
    await choose(other, film("noise.png"));
    await other.getByText("noise.png is segmented").waitFor();
    await check();
    await choose(other, join(REFERENCE, "broken", "other_modality.dcm"));
    await other.getByRole("alert").filter({ hasText: "modality CT" }).waitFor();
    await check();
    await other.screenshot({ path: picture("flags"), fullPage: true });
    await other.close();
  });
});

/** Texts of the page whose contrast to what is behind them is below 4.5 : 1 (WCAG 2.2, 1.4.3). */
function pale(): string[] {
  const channels = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (colour: string) => {
    const [red, green, blue] = channels(colour).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (element: Element | null): string => {
    if (!element)
      return getComputedStyle(document.documentElement).colorScheme.includes("dark")
        ? "rgb(0 0 0)"
        : "rgb(255 255 255)";
    const colour = getComputedStyle(element).backgroundColor;
    return channels(colour)[3] === 0 ? ground(element.parentElement) : colour;
  };
  const found: string[] = [];
  for (const element of document.querySelectorAll<HTMLElement>("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
    if (!own || !element.checkVisibility() || element.matches(".unseen, .skip")) continue;
    const [text, behind] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
    const ratio = (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05);
    if (ratio < 4.5) found.push(`${element.textContent?.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}

test("without a network the page reloads and segments a film", async () => {
  const served = await serve();
  const traveller = await Browser.start(served.origin);
  try {
    const other = await traveller.page();
    await other.getByText("This page now works offline").waitFor();
    served.server.closeAllConnections();
    await new Promise((resolve) => served.server.close(resolve));
    await traveller.context.setOffline(true);
    await other.reload();
    await ready(other);
    expect(await other.evaluate(() => crossOriginIsolated)).toBe(true);
    for (const name of ["tall.png", "jpeg_ls.dcm", "jpeg_2000.dcm", "jpeg_lossless.dcm"]) {
      await segmentFile(other, film(name));
      expect(dice(await savedMask(other), expectedMask(name))).toBeGreaterThanOrEqual(LEAST_DICE);
    }
    await other.getByRole("button", { name: "Try a phantom" }).click();
    await other.getByText(`${basename("phantom.png")} is segmented`).waitFor();
    expect([traveller.foreign, traveller.complaints]).toEqual([[], []]);
  } finally {
    await traveller.stop();
  }
});
