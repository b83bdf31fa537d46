// Drives scripts/label/page.html in headless Chromium as a person does: node page.mjs PAGE SERVER FOLDER JOBS
// JOBS is a list of {name, box} with box in pixels of the picture, or null for the whole film. For each, the canvas is
// written to FOLDER/NAME.png, and a line of JSON says what the page said and asked.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const demo = new URL("../../docs/demo/", import.meta.url);
const { chromium } = createRequire(new URL("package.json", demo))("playwright-core");
const { chromiumPath } = await import(new URL("build/chromium.mjs", demo));

const [page, server, folder, jobs] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--disable-gpu"] });
const view = await browser.newPage({ viewport: { width: 1100, height: 900 } });
view.setDefaultTimeout(120_000);
const complaints = [];
view.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
view.on("pageerror", (error) => complaints.push(String(error)));

const status = view.getByRole("status");
const film = view.locator("#films");
const canvas = view.getByRole("img");

async function drag([x0, y0, x1, y1]) {
  const area = await canvas.boundingBox();
  const width = await canvas.evaluate((element) => element.width);
  const at = (x, y) => [area.x + (x * area.width) / width, area.y + (y * area.width) / width];
  await view.mouse.move(...at(x0, y0));
  await view.mouse.down();
  await view.mouse.move(...at((x0 + x1) / 2, (y0 + y1) / 2));
  await view.mouse.move(...at(x1, y1));
  await view.mouse.up();
}

try {
  await view.goto(pathToFileURL(page).href);
  await view.getByLabel("Server").fill(server);
  await view.getByRole("button", { name: "Connect" }).click();
  await status.filter({ hasText: " pixels" }).waitFor();
  for (const { name, box } of JSON.parse(jobs)) {
    if ((await film.inputValue()) !== name) await film.selectOption(name);
    await status.filter({ hasText: `${name}: ` }).waitFor();
    const asked = view.waitForRequest((request) => request.url().includes("/infer/cxr"));
    if (box) await drag(box);
    else await view.getByRole("button", { name: "Segment the whole film" }).click();
    const form = (await asked).postData() ?? "";
    await status.filter({ hasText: "expected Dice" }).waitFor();
    const content = await canvas.evaluate((element) => element.toDataURL("image/png").split(",")[1]);
    writeFileSync(join(folder, `${name}.png`), Buffer.from(content, "base64"));
    await view.screenshot({ path: join(folder, `${name}_page.png`), fullPage: true });
    const said = await view.locator("#done").innerText();
    await view.getByRole("button", { name: "Save as final" }).click();
    await status.filter({ hasText: "saved as the final label" }).waitFor();
    const params = JSON.parse(form.match(/\{.*\}/)?.[0] ?? "{}");
    console.log(JSON.stringify({ name, said, params, complaints: complaints.splice(0) }));
  }
} finally {
  await browser.close();
}
