/** Gray of 8-bit colours as Pillow's mode "L" has it: ITU-R BT.601 in fixed-point arithmetic of 16 bits. */
export function luma(red: number, green: number, blue: number): number {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >>> 16;
}
