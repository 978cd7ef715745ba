// MessagePack, as far as the values of JSON go; what only MessagePack has is read as text.
// A message is read to its end or refused, and its nesting is bounded.

const DEPTH_MAX = 126;
const text = new TextEncoder();
const read = new TextDecoder('utf-8', { fatal: true });

/** The bytes of a value. */
export function pack(value) {
  const out = [];
  write(out, value);
  return Uint8Array.from(out);
}

function big(out, tag, value, bytes) {
  out.push(tag);
  for (let shift = bytes - 1; shift >= 0; shift -= 1) out.push(Math.floor(value / 256 ** shift) & 0xff);
}

/** The head of what has a length: the short form below `shorts`, and one with 16 or 32 bits. */
function head(out, length, [fixed, shorts], [tag8, tag16]) {
  if (length < shorts) out.push(fixed | length);
  else if (tag8 && length < 0x100) out.push(tag8, length);
  else if (length < 0x10000) big(out, tag16, length, 2);
  else big(out, tag16 + 1, length, 4);
}

function write(out, value) {
  if (value === null || value === undefined) out.push(0xc0);
  else if (typeof value === 'boolean') out.push(value ? 0xc3 : 0xc2);
  else if (typeof value === 'number') writeNumber(out, value);
  else if (typeof value === 'string') {
    const bytes = text.encode(value);
    head(out, bytes.length, [0xa0, 32], [0xd9, 0xda]);
    for (const byte of bytes) out.push(byte);
  } else if (Array.isArray(value)) {
    head(out, value.length, [0x90, 16], [0, 0xdc]);
    for (const item of value) write(out, item);
  } else {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    head(out, fields.length, [0x80, 16], [0, 0xde]);
    for (const [name, field] of fields) {
      write(out, name);
      write(out, field);
    }
  }
}

function writeNumber(out, value) {
  if (Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0)) {
    if (value < 0x80) out.push(value);
    else if (value < 0x100) out.push(0xcc, value);
    else if (value < 0x10000) big(out, 0xcd, value, 2);
    else if (value < 0x100000000) big(out, 0xce, value, 4);
    else big(out, 0xcf, value, 8);
  } else if (Number.isInteger(value) && value >= -32 && value < 0) out.push(value & 0xff);
  else if (Number.isInteger(value) && value >= -(2 ** 31) && value < 0) big(out, 0xd2, value >>> 0, 4);
  else {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value);
    out.push(0xcb, ...new Uint8Array(view.buffer));
  }
}

/** The value of a message; throws if it is none. What JSON has not is written as text. */
export function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (count) => {
    at += count;
    if (at > view.byteLength) throw new RangeError('the message ends too early');
    return at - count;
  };
  const size = (count) => [0, view.getUint8, view.getUint16, 0, view.getUint32][count].call(view, take(count));
  const part = (length) => bytes.subarray(take(length), at);
  const hex = (length) => [...part(length)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const ext = (length) => `ext ${view.getInt8(take(1))}: 0x${hex(length)}`;
  const whole = (value) => (Number.isSafeInteger(Number(value)) ? Number(value) : String(value));
  function list(length, depth) {
    const items = [];
    for (let index = 0; index < length; index += 1) items.push(value(depth + 1));
    return items;
  }
  function map(length, depth) {
    const fields = [];
    for (let index = 0; index < length; index += 1) {
      const name = value(depth + 1);
      fields.push([typeof name === 'string' ? name : JSON.stringify(name), value(depth + 1)]);
    }
    return Object.fromEntries(fields);
  }
  function value(depth) {
    if (depth > DEPTH_MAX) throw new RangeError('the message nests too deep');
    const tag = view.getUint8(take(1));
    if (tag < 0x80) return tag;
    if (tag < 0x90) return map(tag & 15, depth);
    if (tag < 0xa0) return list(tag & 15, depth);
    if (tag < 0xc0) return read.decode(part(tag & 31));
    if (tag >= 0xe0) return tag - 256;
    switch (tag) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return `0x${hex(size(1 << (tag - 0xc4)))}`;
      case 0xc7: case 0xc8: case 0xc9: return ext(size(1 << (tag - 0xc7)));
      case 0xca: return view.getFloat32(take(4));
      case 0xcb: return view.getFloat64(take(8));
      case 0xcc: case 0xcd: case 0xce: return size(1 << (tag - 0xcc));
      case 0xcf: return whole(view.getBigUint64(take(8)));
      case 0xd0: return view.getInt8(take(1));
      case 0xd1: return view.getInt16(take(2));
      case 0xd2: return view.getInt32(take(4));
      case 0xd3: return whole(view.getBigInt64(take(8)));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return ext(1 << (tag - 0xd4));
      case 0xd9: case 0xda: case 0xdb: return read.decode(part(size(1 << (tag - 0xd9))));
      case 0xdc: case 0xdd: return list(size(2 << (tag - 0xdc)), depth);
      case 0xde: case 0xdf: return map(size(2 << (tag - 0xde)), depth);
      default: throw new RangeError(`no value begins with 0x${tag.toString(16)}`);
    }
  }
  const whole_message = value(0);
  if (at < view.byteLength) throw new RangeError('something follows the message');
  return whole_message;
}
