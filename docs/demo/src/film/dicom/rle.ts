/**
 * Decode a frame of RLE Lossless (PS3.5, Annex G).
 *
 * @param frame 64 bytes of header, then one PackBits segment for each byte of a sample, the most significant first.
 * @param pixels number of pixels.
 * @param samples per pixel.
 * @param bytesPerSample of the result.
 * @returns samples beside each other, little-endian.
 */
export function decodeRle(frame: Uint8Array, pixels: number, samples: number, bytesPerSample: number): Uint8Array {
  const header = new DataView(frame.buffer, frame.byteOffset, 64);
  const count = header.getUint32(0, true);
  if (count !== samples * bytesPerSample) {
    throw new Error(`RLE frame of ${count} segments, expected ${samples * bytesPerSample}`);
  }
  const offsets = Array.from({ length: count }, (_, i) => header.getUint32(4 + 4 * i, true));
  const decoded = new Uint8Array(pixels * count);
  offsets.forEach((start, segment) => {
    const sample = Math.floor(segment / bytesPerSample);
    const significance = bytesPerSample - 1 - (segment % bytesPerSample);
    const end = offsets[segment + 1] ?? frame.length;
    unpack(frame.subarray(start, end), pixels, decoded, sample * bytesPerSample + significance, count);
  });
  return decoded;
}

function unpack(packed: Uint8Array, pixels: number, target: Uint8Array, first: number, stride: number): void {
  let [from, to] = [0, first];
  let left = pixels;
  while (left > 0) {
    if (from + 1 >= packed.length) throw new Error("RLE segment ends too early");
    const control = packed[from++]!;
    if (control === 128) continue;
    const run = control > 128;
    const length = Math.min(run ? 257 - control : control + 1, left);
    for (let i = 0; i < length; i++, to += stride) target[to] = packed[run ? from : from + i]!;
    from += run ? 1 : control + 1;
    left -= length;
  }
}
