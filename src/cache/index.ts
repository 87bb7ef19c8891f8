export { ChunkLoader, type ChunkLoaderParts } from './chunk-loader.ts';
export { Filler } from './filler.ts';
export { BackgroundPace, fullPace, type Pace, type Pause } from './pace.ts';
export { cut } from './spans.ts';
export { TraceReplay } from './trace-replay.ts';
