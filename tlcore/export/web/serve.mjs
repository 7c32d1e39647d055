// Serves this page and the model beside it, to this computer alone: `npm start`, or `PORT=9000 npm start`.
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const page = await realpath(dirname(fileURLToPath(import.meta.url)));
const bundle = dirname(page);
const types = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** Returns the file that an address means, or nothing: only the page's own files and models may leave. */
async function fileAt(address) {
  const path = decodeURIComponent(new URL(address, "http://localhost").pathname);
  if (/^\/model[\w-]*\.tflite$/.test(path)) return join(bundle, path);
  if (!path.startsWith("/web/")) return undefined;
  const file = await realpath(join(page, path === "/web/" ? "index.html" : path.slice("/web/".length)));
  return file.startsWith(page + sep) ? file : undefined;
}

const server = createServer(async (request, response) => {
  try {
    if (request.url === "/") {
      response.writeHead(302, { Location: "/web/" }).end();
      return;
    }
    const file = await fileAt(request.url);
    if (file === undefined || !(await stat(file)).isFile()) throw new Error("no such file");
    response.writeHead(200, {
      "Content-Type": types[extname(file)] ?? "application/octet-stream",
      "X-Content-Type-Options": "nosniff",
      "Cache-Control": "no-cache",
    });
    createReadStream(file).pipe(response);
  } catch {
    response.writeHead(404, { "Content-Type": "text/plain" }).end("There is no such file here.");
  }
});
server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => {
  console.log(`Open http://localhost:${server.address().port} in a browser. Ctrl+C ends this.`);
});
server.on("error", (error) => {
  console.error(error.code === "EADDRINUSE" ? "This port is taken. Try another one: PORT=9000 npm start" : error.message);
  process.exit(1);
});
