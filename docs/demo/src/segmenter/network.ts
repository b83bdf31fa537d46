/** Encoder and decoder: one embedding serves any number of boxes. */
export interface Network {
  /** Side of the square input in pixels. */
  readonly size: number;
  /** Embed an image of size x size grays in [0, 1]. */
  encode(image: Float32Array): Promise<Float32Array>;
  /** Logits, size x size, of an embedding prompted with a box in pixels of the image. */
  decode(embedding: Float32Array, box: Float32Array): Promise<Float32Array>;
}
