/** What looking at a film comes to: `Look` of scripts/films/looking.py. */

import { Pose, UPRIGHT } from "./pose";

export const POSES = 8;
/** Least confidence at which it acts; a mirror shows in the heart alone, and hearts differ. */
const [SURE_OF_TURN, SURE_OF_MIRROR, SURE_OF_NEGATIVE] = [0.9, 0.97, 0.9];
const BEYOND_DOUBT = 0.99; // where the file says otherwise

/** What a film looks like. */
export class Look {
  private readonly poses: number[];
  /** Numbers of the most probable turn and of the pose that is its mirror image. */
  private readonly turned: number;
  private readonly mirrored: number;

  /** @param probability of sixteen states, number of the pose + 8 for a negative; they sum to 1. */
  constructor(readonly probability: readonly number[]) {
    this.poses = Array.from({ length: POSES }, (_, i) => probability[i]! + probability[i + POSES]!);
    const pairs = [0, 2, 4, 6].map((first) => this.poses[first]! + this.poses[first + 1]!);
    const pair = 2 * pairs.indexOf(Math.max(...pairs));
    [this.turned, this.mirrored] = Pose.numbered(pair).mirrors ? [pair + 1, pair] : [pair, pair + 1];
  }

  /**
   * What would most probably make the film upright.
   *
   * Of a turn and its mirror image, the turn is taken, unless the heart is surely on the other side: films are turned
   * every day, and mirrored now and then.
   */
  get pose(): Pose {
    return Pose.numbered(this.mirrorShare >= SURE_OF_MIRROR ? this.mirrored : this.turned);
  }

  /** Probability that the most probable turn goes with a mirror. */
  get mirrorShare(): number {
    const [turned, mirrored] = [this.poses[this.turned]!, this.poses[this.mirrored]!];
    return mirrored / Math.max(turned + mirrored, 1e-12);
  }

  /** Probability of the turn, mirrored or not. */
  get poseConfidence(): number {
    return this.poses[this.turned]! + this.poses[this.mirrored]!;
  }

  /** Probability of a negative. */
  get negative(): number {
    return this.probability.slice(POSES).reduce((sum, share) => sum + share, 0);
  }

  get inverted(): boolean {
    return this.negative > 0.5;
  }

  get polarityConfidence(): number {
    return Math.max(this.negative, 1 - this.negative);
  }

  /** Whether nothing needs to be done. */
  get upright(): boolean {
    return this.pose.equals(UPRIGHT) && !this.inverted;
  }

  /** Whether to change the polarity, `stated` by the file or not. */
  sureOfPolarity(stated: boolean): boolean {
    return this.polarityConfidence >= (stated ? BEYOND_DOUBT : SURE_OF_NEGATIVE);
  }

  /** Whether to change the pose, `stated` by the file or not. */
  sureOfPose(stated: boolean): boolean {
    return this.poseConfidence >= (stated ? BEYOND_DOUBT : SURE_OF_TURN);
  }
}

export const UNSURE = new Look(Array.from({ length: 2 * POSES }, (_, i) => Number(i === 0)));

/** What looks at a picture after different `turns` come to together: their mean. */
export function consensus(turns: readonly Pose[], looks: readonly Look[]): Look {
  const total = new Array<number>(2 * POSES).fill(0);
  turns.forEach((turn, i) => {
    for (let state = 0; state < POSES; state++) {
      // What makes the turned picture upright, after the turn, makes the picture upright
      const after = turn.then(Pose.numbered(state)).number;
      total[after]! += looks[i]!.probability[state]!;
      total[after + POSES]! += looks[i]!.probability[state + POSES]!;
    }
  });
  return new Look(total.map((sum) => sum / looks.length));
}
