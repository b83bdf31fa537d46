/** What the worker is to measure: graphs that run in turn, round by round. */
export interface Task {
  threads: number;
  rounds: number;
  networks: { name: string; encoder: string; decoder: string }[];
}

/** Milliseconds: median over the rounds. */
export interface Timing {
  name: string;
  start: number;
  encoder: number;
  decoder: number;
}
