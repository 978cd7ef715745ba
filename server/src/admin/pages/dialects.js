// The dialects that the console speaks: how each connects, asks, and reads what comes.
//
// A dialect has `url` and `subprotocols`, `hello` (requests that a client begins with), `ask` (a
// request as a value), `write` (a value as a message), `read` (a message as values), and `tell`:
// what one of these values is, `{ id, error, code, room, data, welcome, ping }`.

import { pack, unpack } from './messagepack.js';

const HISTORY = 20;
const PRESENCE = 100;

const native = {
  path: '/ws',
  hello: (token) => (token ? ['auth', { token }] : null),
  ask(id, what, { room, data, token }) {
    const fields = {
      auth: { type: 'auth', id, token },
      join: { type: 'join_room', id, room },
      leave: { type: 'leave_room', id, room },
      publish: { type: 'publish', id, room, data },
      history: { type: 'history', id, room, limit: HISTORY, reverse: true },
      presence: { type: 'presence', id, room, limit: PRESENCE },
    };
    return fields[what];
  },
  tell(value) {
    const { type, id, code, message, room, data, connection, user } = value ?? {};
    return {
      id,
      error: type === 'error' ? message : undefined,
      code: type === 'error' ? code : undefined,
      room,
      data: type === 'message' ? data : undefined,
      welcome: type === 'welcome' ? connection : undefined,
      user: type === 'authenticated' ? user : undefined,
    };
  },
};

const json = {
  write: (value) => JSON.stringify(value),
  /** What is typed is sent as it is. */
  raw: (text) => text,
  read: (message) => [JSON.parse(message)],
};

const hex = /^0x((?:[0-9a-f]{2})+)$/i;

const messagepack = {
  write: pack,
  raw(text) {
    const digits = hex.exec(text.trim());
    if (!digits) return pack(JSON.parse(text));
    return Uint8Array.from(digits[1].match(/../g), (byte) => parseInt(byte, 16));
  },
  read: (message) => [unpack(message)],
};

const methods = {
  ...native,
  path: '/jsonrpc',
  ask(id, what, given) {
    const { type, id: ignored, ...params } = native.ask(id, what, given);
    return { jsonrpc: '2.0', method: type, params, id };
  },
  tell(value) {
    const { id, method, params = {}, result, error } = value ?? {};
    if (method === undefined) {
      return { id, error: error?.message, code: error && (error.data?.code ?? String(error.code)), user: result?.user };
    }
    return {
      room: params.room,
      data: method === 'message' ? params.data : undefined,
      welcome: method === 'welcome' ? params.connection : undefined,
    };
  },
};

const centrifuge = {
  path: '/connection/websocket',
  hello: (token) => ['connect', { token }],
  ask(id, what, { room: channel, data, token }) {
    const commands = {
      connect: { connect: { token: token || undefined } },
      join: { subscribe: { channel } },
      leave: { unsubscribe: { channel } },
      publish: { publish: { channel, data } },
      history: { history: { channel, limit: HISTORY, reverse: true } },
      presence: { presence: { channel } },
    };
    return { id, ...commands[what] };
  },
  tell(value) {
    const { id, error, push, connect } = value ?? {};
    return {
      id,
      error: error?.message,
      code: error && String(error.code),
      room: push?.channel,
      data: push?.pub?.data,
      welcome: connect?.client,
      ping: value !== null && typeof value === 'object' && Object.keys(value).length === 0,
    };
  },
  /** Several replies stand in one message, on a line each. */
  read: (message) => message.split('\n').filter((line) => line.trim()).map((line) => JSON.parse(line)),
};

export const DIALECTS = {
  json: { name: 'JSON (native)', subprotocol: 'shardcast.v1', ...json, ...native },
  messagepack: { name: 'MessagePack (native)', subprotocol: 'shardcast.v1.msgpack', ...native, ...messagepack },
  jsonrpc: { name: 'JSON-RPC 2.0', subprotocol: 'jsonrpc-2.0', ...json, ...methods },
  centrifuge: { name: 'Centrifuge (JSON)', ...json, ...centrifuge },
};

/** A socket of a client that speaks a dialect; `way` says how a token goes. */
export function open(dialect, base, { token, way }) {
  const offered = dialect.subprotocol ? [dialect.subprotocol] : [];
  if (token && way === 'subprotocol' && offered.length) offered.push(`shardcast.token.${token}`);
  const socket = new WebSocket(base + dialect.path, offered);
  socket.binaryType = 'arraybuffer';
  return socket;
}

/** What a client says first, and then; null: it may ask at once. */
export const hello = (dialect, { token, way }) => dialect.hello(way === 'subprotocol' && dialect.subprotocol ? '' : token);

/** A message that came: its values and its size in bytes. */
export function received(dialect, data) {
  const binary = typeof data !== 'string';
  const size = binary ? data.byteLength : new Blob([data]).size;
  try {
    if (binary !== (dialect.write === pack)) throw new TypeError(binary ? 'it is binary' : 'it is text');
    return { size, values: dialect.read(binary ? new Uint8Array(data) : data) };
  } catch (error) {
    return { size, values: [], problem: error.message };
  }
}

export const sizeOf = (message) => (typeof message === 'string' ? new Blob([message]).size : message.byteLength);
