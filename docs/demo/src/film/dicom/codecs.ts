import createCharLs from "@cornerstonejs/codec-charls/decodewasmjs";
import charLsWasm from "@cornerstonejs/codec-charls/decodewasm?url";
import createOpenJpeg from "@cornerstonejs/codec-openjpeg/decodewasmjs";
import openJpegWasm from "@cornerstonejs/codec-openjpeg/decodewasm?url";

/** A decoded frame: little-endian samples beside each other, of one byte up to 8 bits and of two above. */
export interface DecodedFrame {
  bytes: Uint8Array;
  bits: number;
  samples: number;
}

/** Decode a JPEG-LS stream with CharLS. */
export async function decodeJpegLs(stream: Uint8Array): Promise<DecodedFrame> {
  const library = await createCharLs({ locateFile: () => charLsWasm });
  return decoded(new library.JpegLSDecoder(), stream);
}

/** Decode a JPEG 2000 codestream with OpenJPEG. */
export async function decodeJpeg2000(stream: Uint8Array): Promise<DecodedFrame> {
  const library = await createOpenJpeg({ locateFile: () => openJpegWasm });
  return decoded(new library.J2KDecoder(), stream);
}

function decoded(decoder: CodecDecoder, stream: Uint8Array): DecodedFrame {
  try {
    decoder.getEncodedBuffer(stream.length).set(stream);
    decoder.decode();
    const { bitsPerSample, componentCount } = decoder.getFrameInfo();
    return { bytes: decoder.getDecodedBuffer().slice(), bits: bitsPerSample, samples: componentCount };
  } finally {
    decoder.delete();
  }
}
