export {
  type BootSettings,
  bootFile,
  decryptions,
  readBootSettings,
  type ZramSettings,
} from './boot-settings.ts';
export { imageMethodArgument, imageMethodOfCommandLine } from './command-line.ts';
export { type ImageMethod, imageMethodWords, type SaidMethod } from './image-method.ts';
export { imageMethodOf, kernelArgsOf, largestProfileSize } from './profile-yaml.ts';
