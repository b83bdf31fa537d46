/** What the codecs that bring no types offer. */
interface CodecDecoder {
  getEncodedBuffer(length: number): Uint8Array;
  decode(): void;
  getDecodedBuffer(): Uint8Array;
  getFrameInfo(): { width: number; height: number; bitsPerSample: number; componentCount: number };
  delete(): void;
}

declare module "@cornerstonejs/codec-charls/decodewasmjs" {
  const create: (options: object) => Promise<{ JpegLSDecoder: new () => CodecDecoder }>;
  export default create;
}

declare module "@cornerstonejs/codec-openjpeg/decodewasmjs" {
  const create: (options: object) => Promise<{ J2KDecoder: new () => CodecDecoder }>;
  export default create;
}

declare module "jpeg-lossless-decoder-js" {
  export class Decoder {
    decompress(buffer: ArrayBuffer, offset?: number, length?: number): ArrayBuffer;
  }
}
