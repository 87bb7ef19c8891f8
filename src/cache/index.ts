export { ChunkLoader, type ChunkLoaderParts } from './chunk-loader.ts';
