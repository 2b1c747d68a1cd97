/** Polling for changes: often while one is expected, rarely otherwise. */

export interface Circumstances {
  /** Failures in a row. */
  readonly failures: number;
  /** The `Retry-After` of the last failure. */
  readonly retryAfterSeconds: number | null;
  /** Whether an answer is expected. */
  readonly isWaiting: boolean;
  /** The time since the person's last act. */
  readonly idleSeconds: number;
}

const QUICK_SECONDS = 4;
const CALM_SECONDS = 20;
const IDLE_AFTER_SECONDS = 300;
const MOST_SECONDS = 120;

/** Return the seconds until the next poll. *chance* (0 to 1) keeps pages out of step. */
export function nextDelay(now: Circumstances, chance: number): number {
  if (now.failures > 0) {
    const backoff = Math.min(QUICK_SECONDS * 2 ** (now.failures - 1), MOST_SECONDS);
    return Math.max(now.retryAfterSeconds ?? 0, backoff * (0.75 + chance / 2));
  }
  if (now.idleSeconds > IDLE_AFTER_SECONDS) return MOST_SECONDS;
  return now.isWaiting ? QUICK_SECONDS : CALM_SECONDS;
}

/** Runs *ask* repeatedly while the page is visible. *ask* returns whether it still waits. */
export class Poll {
  private timer = 0;
  private failures = 0;
  private retryAfterSeconds: number | null = null;
  private isWaiting = true;
  private isRunning = false;
  private isStopped = false;
  private actedAt = Date.now();

  constructor(
    private readonly ask: () => Promise<boolean>,
    private readonly onError: (error: unknown) => void,
    private readonly retryAfterOf: (error: unknown) => number | null,
  ) {}

  start(): () => void {
    const seen = () => (document.hidden ? this.pause() : this.now());
    const acted = () => {
      this.actedAt = Date.now();
    };
    const online = () => this.now();
    document.addEventListener("visibilitychange", seen);
    window.addEventListener("online", online);
    window.addEventListener("pointerdown", acted, { passive: true });
    window.addEventListener("keydown", acted, { passive: true });
    this.now();
    return () => {
      this.isStopped = true;
      this.pause();
      document.removeEventListener("visibilitychange", seen);
      window.removeEventListener("online", online);
      window.removeEventListener("pointerdown", acted);
      window.removeEventListener("keydown", acted);
    };
  }

  /** Poll at once. */
  now(): void {
    this.pause();
    this.actedAt = Date.now();
    void this.run();
  }

  private pause(): void {
    clearTimeout(this.timer);
  }

  private async run(): Promise<void> {
    if (this.isRunning || this.isStopped) return;
    this.isRunning = true;
    try {
      this.isWaiting = await this.ask();
      this.failures = 0;
      this.retryAfterSeconds = null;
    } catch (error) {
      this.failures += 1;
      this.retryAfterSeconds = this.retryAfterOf(error);
      this.onError(error);
    } finally {
      this.isRunning = false;
    }
    if (this.isStopped || document.hidden) return;
    const seconds = nextDelay(
      {
        failures: this.failures,
        retryAfterSeconds: this.retryAfterSeconds,
        isWaiting: this.isWaiting,
        idleSeconds: (Date.now() - this.actedAt) / 1000,
      },
      Math.random(),
    );
    this.pause();
    this.timer = window.setTimeout(() => void this.run(), seconds * 1000);
  }
}
