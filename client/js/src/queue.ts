//! A first-in first-out queue that knows how many bytes it holds.
//!
//! Invariant: taking from the front costs the same however long the queue is, and what was taken is
//! not held any longer. Used by requests that wait and by buffers of subscriptions.

export class Queue<T> {
  #items: ({ value: T; bytes: number } | undefined)[] = [];
  #first = 0;
  #bytes = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(value: T, bytes: number): void {
    this.#items.push({ value, bytes });
    this.#bytes += bytes;
  }

  peek(): T | undefined {
    return this.#items[this.#first]?.value;
  }

  shift(): T | undefined {
    const item = this.#items[this.#first];
    if (!item) return undefined;
    this.#items[this.#first++] = undefined;
    this.#bytes -= item.bytes;
    if (this.#first > 64 && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item.value;
  }

  /** Before all others, in this order. */
  unshift(values: T[], bytesOf: (value: T) => number): void {
    const items = values.map((value) => ({ value, bytes: bytesOf(value) }));
    this.#items = [...items, ...this.#items.slice(this.#first)];
    this.#first = 0;
    for (const item of items) this.#bytes += item.bytes;
  }

  remove(value: T): boolean {
    const place = this.#items.findIndex((item) => item !== undefined && item.value === value);
    if (place < 0) return false;
    const [item] = this.#items.splice(place, 1);
    this.#bytes -= item?.bytes ?? 0;
    return true;
  }

  clear(): T[] {
    const values = this.#items.slice(this.#first).map((item) => item!.value);
    this.#items = [];
    this.#first = this.#bytes = 0;
    return values;
  }
}

/** Bytes of a text in UTF-8. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    // Each half of a surrogate pair has two of the pair's four bytes.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2;
  }
  return bytes;
}
