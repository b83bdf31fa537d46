/** Zeros and ones, row by row. */
export interface Mask {
  width: number;
  height: number;
  values: Uint8Array;
}
