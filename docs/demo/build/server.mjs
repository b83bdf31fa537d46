// Serves the built site on this computer alone: node build/server.mjs [FOLDER] [--port 8080]
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { CONTENT_SECURITY_POLICY } from "./policy.mjs";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".wasm": "application/wasm",
  ".onnx": "application/octet-stream",
};
const HEADERS = {
  "Content-Security-Policy": `${CONTENT_SECURITY_POLICY}; frame-ancestors 'none'`,
  // Together these two isolate the page, so that its threads may share memory
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
};

/** A server of the files below `folder`, not yet listening. */
export function siteServer(folder) {
  const root = resolve(folder);
  return createServer((request, response) => {
    const refuse = (status) => response.writeHead(status, HEADERS).end();
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(405);
    let path;
    try {
      path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    } catch {
      return refuse(400);
    }
    const file = join(root, path.endsWith("/") ? `${path}index.html` : path);
    const found = file.startsWith(root + sep) && statSync(file, { throwIfNoEntry: false });
    if (!found || !found.isFile()) return refuse(404);
    response.writeHead(200, {
      ...HEADERS,
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
      "Content-Length": found.size,
      // Files of assets/ carry a hash of their content in their names
      "Cache-Control": path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
    });
    if (request.method === "HEAD") return response.end();
    createReadStream(file).pipe(response);
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const site = join(dirname(fileURLToPath(import.meta.url)), "..", "dist");
  const { values, positionals } = parseArgs({
    options: { port: { type: "string", default: "8080" } },
    allowPositionals: true,
  });
  const folder = positionals[0] ?? site;
  if (!statSync(join(folder, "index.html"), { throwIfNoEntry: false })) {
    console.error(`error: ${folder} holds no site; build it first: make web`);
    process.exit(1);
  }
  siteServer(folder)
    .on("error", (error) => {
      const taken = error.code === "EADDRINUSE";
      console.error(
        `error: ${taken ? `port ${values.port} is taken; name another: make web PORT=8081` : error.message}`,
      );
      process.exit(1);
    })
    .listen(Number(values.port), "127.0.0.1", () => {
      console.log(`The page is at http://localhost:${values.port}/ (Ctrl+C ends it)`);
    });
}
