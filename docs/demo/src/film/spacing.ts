const SQUARE = 0.01; // what counts as square: rounded spacings differ by less
const WIDEST = 5; // no film has pixels so long; numbers beyond say something else

/** `aspect` (height of a pixel over its width) with its source, or 1 where pixels are square or it cannot be. */
export function believable(aspect: number, source: string): { aspect: number; aspectSource: string } {
  if (Math.abs(aspect - 1) < SQUARE || !(aspect >= 1 / WIDEST && aspect <= WIDEST)) {
    return { aspect: 1, aspectSource: "" };
  }
  return { aspect, aspectSource: source };
}
