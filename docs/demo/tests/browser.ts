import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { decode } from "fast-png";
import { type BrowserContext, chromium, type Page } from "playwright-core";

import { chromiumPath } from "../build/chromium.mjs";
import { siteServer } from "../build/server.mjs";
import type { Mask } from "../src/mask/mask";
import { SITE } from "./places";

const SWITCHES = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
];

/** A headless Chromium with a profile of its own, and what it was caught at. */
export class Browser {
  /** Addresses asked for that are not of the site. */
  readonly foreign: string[] = [];
  /** Messages of the console that tell of errors or of the policy. */
  readonly complaints: string[] = [];

  private constructor(
    readonly context: BrowserContext,
    private readonly profile: string,
    readonly origin: string,
  ) {}

  static async start(origin: string, options: object = {}): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), "demo_profile_"));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: chromiumPath,
      headless: true,
      args: SWITCHES,
      acceptDownloads: true,
      viewport: { width: 1440, height: 1000 },
      ...options,
    });
    const browser = new Browser(context, profile, origin);
    context.on("request", (request) => {
      if (!request.url().startsWith(origin) && !request.url().startsWith("blob:")) browser.foreign.push(request.url());
    });
    context.on("console", (message) => {
      if (message.type() === "error" || /content security policy/i.test(message.text())) {
        browser.complaints.push(message.text());
      }
    });
    context.on("weberror", (error) => browser.complaints.push(String(error.error())));
    return browser;
  }

  async stop(): Promise<void> {
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true });
  }

  /** A page of the site on which the network is ready. */
  async page(): Promise<Page> {
    const page = await this.context.newPage();
    await page.goto(this.origin);
    await ready(page);
    return page;
  }
}

export async function ready(page: Page): Promise<void> {
  await page.getByText("The network is ready").waitFor();
}

/** A server of the built site at a free port, and its address. */
export async function serve(server: Server = siteServer(SITE)): Promise<{ server: Server; origin: string }> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, origin: `http://localhost:${(server.address() as AddressInfo).port}` };
}

/** Choose a file as a person does. */
export async function choose(page: Page, ...paths: string[]): Promise<void> {
  const asked = page.waitForEvent("filechooser");
  await page.getByText("Choose a film").click();
  await (await asked).setFiles(paths[0]!);
}

/** Choose a film and wait for its mask. */
export async function segmentFile(page: Page, path: string): Promise<void> {
  await choose(page, path);
  await page
    .getByRole("status")
    .filter({ hasText: `${basename(path)} is segmented` })
    .waitFor();
}

/** The mask that the page saves. */
export async function savedMask(page: Page): Promise<Mask & { name: string }> {
  const started = page.waitForEvent("download");
  await page.getByRole("button", { name: "Mask (PNG)" }).click();
  const download = await started;
  return { ...readMask(await download.path()), name: download.suggestedFilename() };
}

/** A mask of 0 and 255 on disk. */
export function readMask(path: string): Mask {
  const { width, height, data, channels, depth } = decode(readFileSync(path));
  if (channels !== 1 || depth !== 8) throw new Error(`${path}: ${channels} channels of ${depth} bits`);
  const values = Uint8Array.from(data, (value) => {
    if (value !== 0 && value !== 255) throw new Error(`${path}: holds ${value}`);
    return value / 255;
  });
  return { width, height, values };
}

/** Dice of two masks of one size; 1 where both are empty. */
export function dice(first: Mask, second: Mask): number {
  if (first.width !== second.width || first.height !== second.height) return NaN;
  let [both, all] = [0, 0];
  for (let i = 0; i < first.values.length; i++) {
    both += first.values[i]! & second.values[i]!;
    all += first.values[i]! + second.values[i]!;
  }
  return all ? (2 * both) / all : 1;
}

/** A figure of the page's result. */
export async function figure(page: Page, name: string): Promise<string> {
  return (await page.locator(`[data-figure="${name}"]`).textContent()) ?? "";
}
