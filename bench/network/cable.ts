/** What a cable between the node and one member does, whoever provides it. */

export interface LinkSettings {
  /** Rate of each direction, Mbit/s, of whole Ethernet frames. */
  megabits: number;
  /** Round trip of an empty link, half of it each way. */
  rttMs: number;
  /** Share of the frames that are lost at random, each way; 0 unless said otherwise. */
  loss?: number;
  /** Longest that a frame waits before the bottleneck; what comes on top is dropped. 30 ms unless said otherwise: a switch's buffer. */
  queueMs?: number;
}

/** Of one direction, since the beginning. */
export interface WireCounters {
  /** Frames that entered the wire, with their Ethernet headers. */
  bytes: number;
  frames: number;
  /** Frames that a full queue, the line, or a black hole swallowed. */
  lost: number;
}

export interface Cable {
  /** Network device in the node's namespace. */
  readonly nodeDevice: string;
  /** The other end, in the member's. */
  readonly memberDevice: string;
  /** The member's network namespace, as a path. */
  readonly namespace: string;
  /** Holds for what is sent from now on. */
  set(settings: Required<LinkSettings>): Promise<void>;
  /** A black hole: nothing passes, and nobody is told. */
  silence(on: boolean): Promise<void>;
  counters(): Promise<{ toMember: WireCounters; fromMember: WireCounters }>;
  /** Takes both devices away. */
  close(): Promise<void>;
}

/** Makes the cable of member `number` (1, 2, …), as yet without settings. */
export type MakeCable = (number: number) => Promise<Cable>;
