import { UsageError } from '../base/errors.ts';

/** The name of the file that a mount of these members shows. @throws UsageError when the first URL has none. */
export function imageFileName(urls: readonly string[]): string {
  const [first = ''] = urls;
  const [path = ''] = first.split(/[?#]/);
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (name === '' || !/^https?:\/\/[^/]+\//i.test(path)) {
    throw new UsageError(`${first}: a member is given as the URL of the image file, e.g. http://HOST/PATH/rootimg.sfs`);
  }
  return name;
}
