// Plays several videos by one clock. Outside of React: a running clock redraws only who listens.
import {
  type Clip,
  type Clock,
  change,
  correction,
  FALLBACK_FPS,
  frameAt,
  frameOf,
  hasEnded,
  pause,
  play,
  restOf,
  STILL,
  spanOf,
  stepped,
  timeAt,
} from "@/views/compare/logic/clock";

export interface Playing {
  isPlaying: boolean;
  /** It wants to run, but a video has not loaded enough yet. */
  isWaiting: boolean;
  at_s: number;
  span_s: number;
  frame_s: number;
  speed: number;
  isLooped: boolean;
}

interface Track {
  video: HTMLVideoElement;
  fps: number;
}

const HAS_FUTURE = 3; // HTMLMediaElement.HAVE_FUTURE_DATA
const SHOWN_WITHIN_MS = 200;

export class Player {
  private readonly tracks = new Map<string, Track>();
  private readonly listeners = new Set<() => void>();
  private clock: Clock = STILL;
  private isWanted = false;
  private request = 0;
  private pending = 0;
  private playing: Playing = {
    isPlaying: false,
    isWaiting: false,
    at_s: 0,
    span_s: 0,
    frame_s: 1 / FALLBACK_FPS,
    speed: 1,
    isLooped: true,
  };

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = (): Playing => this.playing;

  /** Take a video under the clock; returns how to let it go. */
  attach(key: string, video: HTMLVideoElement, fps: number | null): () => void {
    this.tracks.set(key, { video, fps: fps ?? FALLBACK_FPS });
    const ready = () => {
      if (!this.isWanted) this.rest();
      this.tell();
    };
    video.muted = true;
    video.addEventListener("loadedmetadata", ready);
    if (video.readyState > 0) ready();
    return () => {
      video.removeEventListener("loadedmetadata", ready);
      video.pause();
      if (this.tracks.get(key)?.video === video) this.tracks.delete(key);
      if (this.tracks.size === 0) this.stop();
      this.tell();
    };
  }

  /** Which frame a video shows, counted from 0. */
  frameOf(key: string): number | null {
    const track = this.tracks.get(key);
    return track && track.video.readyState > 0 ? frameAt(clipOf(track), this.playing.at_s) : null;
  }

  play = (): void => {
    if (this.isWanted || this.span() === 0) return;
    this.isWanted = true;
    this.clock = play(this.clock, this.span(), performance.now());
    this.tick();
  };

  pause = (): void => {
    this.stop();
    this.clock = pause(this.clock, this.span(), performance.now());
    this.rest();
    this.tell();
  };

  toggle = (): void => (this.isWanted ? this.pause() : this.play());

  seek = (at_s: number): void => {
    this.set({ at_s: Math.min(this.span(), Math.max(0, at_s)) });
    if (!this.isWanted) this.rest();
  };

  /** Frames on or back; waits until the last step is on screen, so that held keys don't outrun it. */
  step = (by: number): void => {
    if (this.isWanted) this.pause();
    if (this.pending > 0) return;
    this.clock = { ...this.clock, at_s: stepped(this.clock.at_s, by, this.clips()) };
    this.rest();
    this.tell();
  };

  setSpeed = (speed: number): void => this.set({ speed });
  setLooped = (isLooped: boolean): void => this.set({ isLooped });

  private set(to: Partial<Pick<Clock, "at_s" | "speed" | "isLooped">>): void {
    this.clock = change(this.clock, this.span(), performance.now(), to);
    this.tell();
  }

  private clips(): Clip[] {
    return [...this.tracks.values()].filter(({ video }) => video.readyState > 0).map(clipOf);
  }

  private span(): number {
    return spanOf(this.clips());
  }

  private stop(): void {
    this.isWanted = false;
    cancelAnimationFrame(this.request);
    for (const { video } of this.tracks.values()) video.pause();
  }

  private tick = (): void => {
    if (!this.isWanted) return;
    const now = performance.now();
    const span = this.span();
    const isReady = [...this.tracks.values()].every(({ video }) => isFed(video));
    if (!isReady) this.clock = pause(this.clock, span, now);
    else if (this.clock.since_ms === null) this.clock = play(this.clock, span, now);
    if (hasEnded(this.clock, span, now)) {
      this.pause();
      return;
    }
    const at = timeAt(this.clock, span, now);
    for (const track of this.tracks.values()) follow(track, at, this.clock.speed, isReady);
    this.tell();
    this.request = requestAnimationFrame(this.tick);
  };

  /** Put every video on the frame of the time at which the clock stands. */
  private rest(): void {
    const at = timeAt(this.clock, this.span(), performance.now());
    for (const track of this.tracks.values()) {
      const { video } = track;
      if (video.readyState === 0) continue;
      const to = restOf(clipOf(track), at);
      if (Math.abs(video.currentTime - to) < 0.001) continue;
      this.pending += 1;
      onceShown(video, () => {
        this.pending -= 1;
      });
      video.currentTime = to;
    }
  }

  private tell(): void {
    const clips = this.clips();
    const span_s = spanOf(clips);
    this.playing = {
      isPlaying: this.isWanted,
      isWaiting: this.isWanted && this.clock.since_ms === null,
      at_s: timeAt(this.clock, span_s, performance.now()),
      span_s,
      frame_s: frameOf(clips),
      speed: this.clock.speed,
      isLooped: this.clock.isLooped,
    };
    for (const listener of this.listeners) listener();
  }
}

function clipOf({ video, fps }: Track): Clip {
  return { duration_s: video.duration, fps };
}

/** It has what comes next, or is over, or can never be played. */
function isFed(video: HTMLVideoElement): boolean {
  return video.error !== null || video.ended || video.seeking || video.readyState >= HAS_FUTURE;
}

function follow(track: Track, at_s: number, speed: number, isReady: boolean): void {
  const { video } = track;
  if (video.error || video.readyState === 0 || video.seeking) return;
  if (!isReady) {
    video.pause();
    return;
  }
  const found = correction(clipOf(track), video.currentTime, at_s, speed);
  if (found.kind === "rest") {
    if (!video.paused) video.pause();
    if (Math.abs(video.currentTime - found.to_s) > 0.5 / track.fps) video.currentTime = found.to_s;
    return;
  }
  if (found.kind === "seek") video.currentTime = found.to_s;
  else if (video.playbackRate !== found.rate) video.playbackRate = found.rate;
  if (video.paused) void video.play().catch(() => undefined); // refused: it is sought instead
}

/** Call back when the sought frame is on screen, or could be, once. */
function onceShown(video: HTMLVideoElement, done: () => void): void {
  let isDone = false;
  const finish = () => {
    if (isDone) return;
    isDone = true;
    done();
  };
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(finish);
  else (video as HTMLVideoElement).addEventListener("seeked", finish, { once: true });
  setTimeout(finish, SHOWN_WITHIN_MS); // a hidden page shows no frames
}
