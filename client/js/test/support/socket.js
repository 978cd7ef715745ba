//! The WebSocket of this Node, or, before 22, that of npm `ws`.

import ws from "ws";

export const WebSocket = globalThis.WebSocket ?? ws;
