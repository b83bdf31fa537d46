/** The numbers of scripts/films/exposed_field.py, under the same names. */

export const SIDE = 128; // longest side in pixels of the picture that is looked at
export const TOLERANCE = 0.07; // how far a surround's grays lie apart, of the picture's range
export const SMALLEST = 16; // sides in pixels below which nothing is looked for
export const NOISE = 0.02; // of the picture's range: from where on noise of a surround would tear it to pieces
export const RING = 0.12; // share of the outermost pixels that are alike, below which there is no surround
export const FLAT_RING = 0.2; // the same, of two in sixteen grays, below which none is looked for
export const INNER_RING = 0.85; // the same, of a surround within another: tissue of one gray has less
export const [MOST_TURNED, STEP] = [16, 0.5]; // degrees
export const THINNEST = 0.02; // of the picture's side: a thinner surround does no harm
export const STRAIGHT = 0.36; // share of a side of the field that must be a straight edge
/**
 * The same, of a turned field that has one edge alone, and the share of the picture that its surround then must have:
 * arms beside the chest are straight, too.
 */
export const [ONE_EDGE, ONE_SURROUND] = [0.55, 0.15];
export const ENCLOSED = 0.7; // share of the outermost pixels that are surround: then round fields have sides, too
export const MOST_LOST = 0.25; // share of what is no surround that may lie beyond three straight edges
export const SHARP = 0.15; // of the picture's range: how much it changes at an edge that is not straight
export const CLEAN = 0.93; // share of what is cut off at a side that must be surround
export const SPECK = 0.004; // of the picture: smaller islands in a surround are letters and markers
export const LEAST = 0.15; // of the picture's area that a field has
export const BAND = 0.75; // of pixels, two of which an edge takes up
export const BLUR = 2; // pixels
export const LAYERS = 3; // a film with a black border on a light box has two surrounds
