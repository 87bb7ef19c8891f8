/** An initramfs archive (cpio, "newc": the kernel's Documentation/driver-api/early-userspace/buffer-format.rst), to be put behind another. */

/** Archives begin on such a border. */
const alignment = 4;

/** A file, or a symbolic link to what it names. */
export type Content = Uint8Array | { link: string };

/** @param files path from `/` without it -> content, mode 0600 unless said otherwise; the directories of a path are made, mode 0755. */
export function cpioArchive(files: Readonly<Record<string, Content>>, mode = 0o600): Buffer {
  const parts: Buffer[] = [];
  const made = new Set<string>();
  for (const [path, content] of Object.entries(files)) {
    const names = path.split('/').slice(0, -1);
    for (const depth of names.keys()) {
      const directory = names.slice(0, depth + 1).join('/');
      if (!made.has(directory)) parts.push(entry(directory, 0o40755));
      made.add(directory);
    }
    if (content instanceof Uint8Array) parts.push(entry(path, 0o100000 | mode, content));
    else parts.push(entry(path, 0o120777, Buffer.from(content.link)));
  }
  parts.push(entry('TRAILER!!!', 0));
  return Buffer.concat(parts);
}

/** `bytes` as an archive must be for another to stand behind it. */
export function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & (alignment - 1))]);
}

function entry(name: string, mode: number, content: Uint8Array = new Uint8Array()): Buffer {
  const path = Buffer.from(`${name}\0`);
  const fields = [0, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, path.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(header), path])), padded(content)]);
}
