// Events stored in the background.

import type { Client } from "./client.js";
import { ClosedError } from "./errors.js";
import { type Appended, type Event, type Rejection, cut, messageEvents } from "./messages.js";

/** Settings of an appender. */
export interface AppenderOptions {
  /** The number of waiting events that are sent at once, to 1,000: 1,000. */
  batch?: number;
  /** The number of events that may wait or be on their way: 10,000. add waits with more. */
  queue?: number;
  /** How long an event may wait for others, in milliseconds: 200. */
  intervalMs?: number;
  /** Told of each event that was not stored, and why: after an error it may be added again. It must not throw. */
  lost?: (event: Event, why: Rejection | Error) => void;
}

/** What became of the events of an appender. Those lost were rejected, or could not be stored in time. */
export interface AppenderStats {
  added: number;
  stored: number;
  duplicates: number;
  erased: number;
  lost: number;
}

/**
 * Stores events in the background, many at once, in the order in which they were added. An event is durable when it was added before a
 * flush or close that resolved to true; until then it is only in memory.
 */
export class Appender {
  private readonly batch: number;
  private readonly queue: number;
  private readonly intervalMs: number;
  private readonly lost: ((event: Event, why: Rejection | Error) => void) | undefined;
  private readonly counts: AppenderStats = { added: 0, stored: 0, duplicates: 0, erased: 0, lost: 0 };
  private readonly givenUp = new AbortController();
  private waiting: Event[] = [];
  private settled = 0; // of those added, how many are dealt with
  private urgent = 0; // somebody waits for so many
  private closed = false;
  private sending: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private watchers: (() => void)[] = []; // told when settled grows or the appender is closed

  constructor(
    private readonly client: Client,
    options: AppenderOptions,
  ) {
    this.batch = inRange("batch", options.batch, messageEvents, messageEvents);
    this.queue = inRange("queue", options.queue, 10 * messageEvents, 10_000_000);
    this.intervalMs = inRange("intervalMs", options.intervalMs, 200, 2 ** 31 - 1);
    this.lost = options.lost;
  }

  /** Hands over an event; resolves at once unless the queue is full. Rejects with a ClosedError, or a RangeError for one that is too large. */
  async add(event: Event): Promise<void> {
    cut([event]);
    while (!this.closed && this.counts.added - this.settled >= this.queue) {
      await this.change();
    }
    if (this.closed) {
      throw new ClosedError("the appender is closed");
    }
    this.waiting.push(event);
    this.counts.added++;
    this.look();
  }

  /** Sends what waits, and resolves when all events added before are dealt with, to whether none has been lost so far. */
  async flush(): Promise<boolean> {
    const target = this.counts.added;
    this.urgent = Math.max(this.urgent, target);
    this.look();
    while (this.settled < target) {
      await this.change();
    }
    return this.counts.lost === 0;
  }

  /**
   * Takes no more events, sends what waits, and resolves when all is dealt with, to whether none was lost. When the signal aborts, the rest is
   * given up and lost.
   */
  async close(signal?: AbortSignal): Promise<boolean> {
    this.closed = true;
    const giveUp = () => this.givenUp.abort(new ClosedError("the appender was closed before the event was stored"));
    signal?.addEventListener("abort", giveUp, { once: true });
    if (signal?.aborted) {
      giveUp();
    }
    this.tell();
    this.look();
    while (this.settled < this.counts.added) {
      await this.change();
    }
    signal?.removeEventListener("abort", giveUp);
    return this.counts.lost === 0;
  }

  /** The counts so far. */
  stats(): AppenderStats {
    return { ...this.counts };
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.watchers.push(resolve));
  }

  private tell(): void {
    const watchers = this.watchers;
    this.watchers = [];
    for (const w of watchers) {
      w();
    }
  }

  /** Sends if it is time to, or sees to it that it will be. One batch is on its way at a time, so that events keep their order. */
  private look(late = false): void {
    if (this.sending !== undefined || this.waiting.length === 0) {
      return;
    }
    if (!late && !this.closed && this.settled >= this.urgent && this.waiting.length < this.batch) {
      this.timer ??= setTimeout(() => {
        this.timer = undefined;
        this.look(true);
      }, this.intervalMs);
      return;
    }
    clearTimeout(this.timer);
    this.timer = undefined;
    const batch = this.waiting.splice(0, this.batch);
    this.sending = this.send(batch).then(() => {
      this.sending = undefined;
      this.settled += batch.length;
      this.tell();
      this.look();
    });
  }

  /** Stores a batch and tells what was lost. */
  private async send(batch: Event[]): Promise<void> {
    const counts: Appended = { stored: 0, duplicates: 0, erased: 0, rejected: [] };
    const refused = new Map<number, Rejection | Error>();
    try {
      this.givenUp.signal.throwIfAborted();
      await this.client.appendTo(counts, batch, { signal: this.givenUp.signal });
    } catch (e) {
      const done = counts.stored + counts.duplicates + counts.erased + counts.rejected.length; // those of the messages before
      for (let i = done; i < batch.length; i++) {
        refused.set(i, e instanceof Error ? e : new Error(String(e)));
      }
    }
    for (const r of counts.rejected) {
      refused.set(r.index, r);
    }
    batch.forEach((e, i) => {
      const why = refused.get(i);
      if (why !== undefined) {
        this.lost?.(e, why);
      }
    });
    this.counts.stored += counts.stored;
    this.counts.duplicates += counts.duplicates;
    this.counts.erased += counts.erased;
    this.counts.lost += refused.size;
  }
}

function inRange(name: string, value: number | undefined, standard: number, most: number): number {
  if (value !== undefined && !(value >= 1 && value <= most)) {
    throw new RangeError(`${name} of the appender is ${value}; want 1 to ${most}`);
  }
  return value ?? standard;
}
