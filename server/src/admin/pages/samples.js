// What the server said of its shards, second by second, and what follows from two of these.
// A ring: of so many samples the oldest goes.

/** Three minutes. */
export const SAMPLES_MAX = 180;

const SUMS = ['connections', 'rooms', 'users', 'held_bytes', 'lane_depth', 'outboxes', 'outbox_bytes', 'cursors', 'messages_in', 'bytes_in', 'bytes_out', 'publishes', 'deliveries'];

export class Samples {
  #kept = [];
  /** What charts draw: one point for each sample. */
  points = [];

  /** Takes a sample, and returns what there is now. A server that was restarted begins anew. */
  take(answer) {
    const last = this.#kept.at(-1);
    if (last && (answer.uptime_ms < last.uptime_ms || answer.shards.length !== last.shards.length)) {
      this.#kept = [];
      this.points = [];
    }
    const before = this.#kept.at(-1);
    const seconds = before ? (answer.uptime_ms - before.uptime_ms) / 1000 : 0;
    const grown = (now, then) => (seconds > 0 ? Math.max(0, now - then) / seconds : null);
    const now = { node: answer.node, rates: {}, sums: {}, shards: [] };
    for (const name of SUMS) {
      const sum = (sample) => sample.shards.reduce((total, shard) => total + shard[name], 0);
      now.sums[name] = sum(answer);
      now.rates[name] = before ? grown(now.sums[name], sum(before)) : null;
    }
    now.shards = answer.shards.map((shard, index) => {
      const then = before?.shards[index];
      const busy = then ? grown(shard.busy_us, then.busy_us) : null;
      return {
        ...shard,
        busy: busy === null ? null : Math.min(1, busy / 1e6),
        in_rate: then ? grown(shard.messages_in, then.messages_in) : null,
        out_rate: then ? grown(shard.frames_out, then.frames_out) : null,
      };
    });
    this.#kept.push(answer);
    if (this.#kept.length > SAMPLES_MAX) this.#kept.shift();
    now.times = { tick: this.#spread('tick', 10), hop: this.#spread('hop', 60), publish: this.#spread('publish', 60) };
    this.points.push(now);
    if (this.points.length > SAMPLES_MAX) this.points.shift();
    return now;
  }

  /** Percentiles of what was timed since so many samples ago. */
  #spread(name, samples) {
    const now = this.#kept.at(-1).times[name];
    const then = this.#kept.at(-1 - Math.min(samples, this.#kept.length - 1)).times[name];
    const had = new Map(then.map((bucket) => [bucket.to_us, bucket.count]));
    const since = now.map((bucket) => ({ to: bucket.to_us ?? Infinity, count: bucket.count - (had.get(bucket.to_us) ?? 0) }));
    return { p50: quantile(since, 0.5), p99: quantile(since, 0.99) };
  }
}

/** The end of the bucket that has this share of all below it or in it; null: there is nothing. */
export function quantile(buckets, share) {
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  let left = total * share;
  for (const { to, count } of buckets) {
    if (count === 0) continue;
    left -= count;
    if (left <= 1e-9) return to;
  }
  return null;
}
