export { imageMethodOfCommandLine } from './command-line.ts';
export { type ImageMethod, imageMethodWords, type SaidMethod } from './image-method.ts';
export { imageMethodOf, largestProfileSize } from './profile-yaml.ts';
