import type { Plugin } from "vite";

export function offline(template: string): Plugin;
