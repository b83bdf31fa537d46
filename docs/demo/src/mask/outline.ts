/** Where a label begins or ends: horizontal and vertical pixel edges, as [x0, y0, x1, y1] in pixels. */
export function outline(labels: Uint8Array, width: number, height: number, chosen: number): Int32Array<ArrayBuffer> {
  const edges: number[] = [];
  const at = (x: number, y: number) => x >= 0 && y >= 0 && x < width && y < height && labels[y * width + x] === chosen;
  for (let y = 0; y <= height; y++) {
    let start = -1; // runs of edges become one line each
    for (let x = 0; x <= width; x++) {
      const edge = x < width && at(x, y - 1) !== at(x, y);
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        edges.push(start, y, x, y);
        start = -1;
      }
    }
  }
  for (let x = 0; x <= width; x++) {
    let start = -1;
    for (let y = 0; y <= height; y++) {
      const edge = y < height && at(x - 1, y) !== at(x, y);
      if (edge && start < 0) start = y;
      if (!edge && start >= 0) {
        edges.push(x, start, x, y);
        start = -1;
      }
    }
  }
  return Int32Array.from(edges);
}
