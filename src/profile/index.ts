export {
  type ApiSettings,
  type BootSettings,
  bootFile,
  readBootSettings,
  type ZramSettings,
} from './boot-settings.ts';
export { imageMethodArgument, imageMethodOfCommandLine } from './command-line.ts';
export { type ImageMethod, imageMethodWords, type SaidMethod } from './image-method.ts';
export { largestMembersFile, membersOfFile } from './members-file.ts';
export { isPrivateName, profileName } from './profile-name.ts';
export { imageMethodOf, kernelArgsOf, labelOf } from './profile-yaml.ts';
export { largestProfileSize, parseYaml } from './yaml.ts';
