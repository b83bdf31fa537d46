import type { Server } from "node:http";

export function siteServer(folder: string): Server;
