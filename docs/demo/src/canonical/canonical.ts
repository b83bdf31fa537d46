/** The canonical film: upright, square pixels, the exposed field: scripts/films/canonical.py. */

import { MAX_PIXELS, type Plane, type StoredFilm } from "../film/film";
import { findField } from "./exposed_field";
import { Field } from "./field";
import { extent } from "./grid";
import type { Look } from "./look";
import type { Classifier } from "./looking";
import { inverse, moved, type Point, roundHalfToEven } from "./matrix";
import { Pose, UPRIGHT } from "./pose";
import { type FilmFlag, FilmRecord, type Sources } from "./record";

/** Height x width in the film's own grays, and the record that leads back. */
export interface CanonicalFilm {
  picture: Plane;
  record: FilmRecord;
}

/**
 * The canonical film of a stored one.
 *
 * The file's own words come first. Where it is silent, or contradicted beyond doubt, the classifier decides.
 *
 * @param classifier looks at polarity and pose; null believes the file, and takes what it does not say for usual.
 */
export function canonical(film: StoredFilm, classifier: Classifier | null): CanonicalFilm {
  const pose = film.pose ?? UPRIGHT;
  const first = framed(film, film, pose);
  if (!classifier) return first;
  const look = classifier.look(first.picture);
  if (look.upright) return first;
  const { turn, inverted, flags } = decided(film, look);
  if (turn.equals(UPRIGHT) && !inverted) return { ...first, record: first.record.with({ flags }) };
  const { picture, record } = framed(film, inverted ? negative(film) : film, pose.then(turn));
  const sources = { ...record.sources };
  if (!turn.equals(UPRIGHT)) sources.pose = `content, ${look.poseConfidence.toFixed(3)}`;
  if (inverted) {
    sources.values = `${film.valuesSource}, inverted by content, ${look.polarityConfidence.toFixed(3)}`;
  }
  return { picture, record: record.with({ inverted, flags, sources }) };
}

/** A film with dark for bright, in its own range. */
export function negative({ width, height, values }: Plane): Plane {
  const [low, high] = extent(values);
  const sum = Math.fround(high + low);
  return { width, height, values: values.map((gray) => sum - gray) };
}

/**
 * What to do about a film that does not look upright: a further pose, an inversion, and flags.
 *
 * A mirrored heart alone never turns a film whose file says where right is.
 */
export function decided(film: StoredFilm, look: Look): { turn: Pose; inverted: boolean; flags: FilmFlag[] } {
  const flags: FilmFlag[] = [];
  const inverted = look.inverted && look.sureOfPolarity(film.polarityKnown);
  if (inverted) flags.push("inverted_by_content");
  let turn = look.pose;
  if (!turn.equals(UPRIGHT) && !look.sureOfPose(film.pose !== null)) turn = UPRIGHT;
  if (turn.equals(new Pose(false, false, true)) && film.pose !== null) {
    flags.push("heart_on_the_right");
    turn = UPRIGHT;
  }
  if (!turn.equals(UPRIGHT)) flags.push("turned_by_content");
  return { turn, inverted, flags };
}

/** `stored` in `pose`, with square pixels, and its exposed field. */
function framed(film: StoredFilm, stored: Plane, pose: Pose): CanonicalFilm {
  const { height, width } = stored;
  const [rows, columns] = pose.transpose
    ? squareShape(width, height, 1 / film.aspect)
    : squareShape(height, width, film.aspect);
  const sources: Sources = {
    values: film.valuesSource,
    pose: film.poseSource || "not stated",
    spacing: film.spacingSource || film.aspectSource || "not stated",
    field: "whole",
  };
  const record = new FilmRecord({
    ...{ height, width, pose, rows, columns, sources },
    ...{ field: null, inverted: false, flags: [] },
  });
  const picture = record.apply(stored);
  const field = film.collimation ? statedField(record, film.collimation) : findField(picture);
  if (!field) return { picture, record };
  const source = film.collimation ? film.collimationSource : "surround";
  const inField = record.with({ field, sources: { ...sources, field: source } });
  return { picture: inField.apply(stored, extent(picture.values)[0]), record: inField };
}

/** The field with these corners of the stored film, or null where it is all of the film. */
function statedField(record: FilmRecord, corners: readonly Point[]): Field | null {
  const back = inverse(record.toStored());
  const upright = corners.map(([x, y]): Point => {
    const [column, row] = moved(back, [x - 0.5, y - 0.5]);
    return [column + 0.5, row + 0.5];
  });
  const field = Field.ofCorners(upright);
  const whole = Math.abs(field.width - record.columns) < 2 && Math.abs(field.height - record.rows) < 2;
  return whole && Math.abs(field.angle) < 1 ? null : field;
}

/**
 * Height and width of an image with square pixels, whose pixels are `aspect` times as high as wide.
 *
 * The coarser direction gets more pixels, as far as `MAX_PIXELS` allows.
 */
function squareShape(height: number, width: number, aspect: number): [number, number] {
  if (aspect === 1) return [height, width];
  const [high, wide] = aspect > 1 ? [height * aspect, width] : [height, width / aspect];
  const shrink = Math.min(1, Math.sqrt(MAX_PIXELS / (high * wide)));
  const side = (length: number) => Math.max(1, roundHalfToEven(length * shrink));
  return [side(high), side(wide)];
}
