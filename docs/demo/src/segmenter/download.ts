/** Something to fetch, with its size, since a compressed answer does not state it. */
export interface Part {
  url: string;
  bytes: number;
}

/** Fetch all parts side by side; `report` hears how many bytes of how many are there. */
export async function download(
  parts: readonly Part[],
  report: (loaded: number, total: number) => void,
): Promise<ArrayBuffer[]> {
  const total = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  let loaded = 0;
  return Promise.all(
    parts.map(async ({ url, bytes }) => {
      const answer = await fetch(url);
      if (!answer.ok || !answer.body) throw new Error(`${url}: status ${answer.status}`);
      const content = new Uint8Array(bytes);
      let offset = 0;
      for (let reader = answer.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (offset + value.length > bytes) throw new Error(`${url}: is longer than its ${bytes} bytes`);
        content.set(value, offset);
        offset += value.length;
        report((loaded += value.length), total);
      }
      if (offset !== bytes) throw new Error(`${url}: ended after ${offset} of ${bytes} bytes`);
      return content.buffer;
    }),
  );
}
