import type { Task, Timing } from "./messages";

declare global {
  interface Window {
    measure(task: Task): Promise<Timing[]>;
  }
}

// The worker stays, so that its memory can be read
window.measure = (task) =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<Timing[]>) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(task);
  });
