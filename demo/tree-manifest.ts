/**
 * What is in a directory tree, one line an entry: path, type, mode, owner, size, time, and the SHA-256 of a file's bytes or the
 * target of a link. Two trees are the same when their manifests are. Every system call that may wait for the tree's bytes is
 * timed, so that a reader knows its own longest wait.
 *
 *     node tree-manifest.ts DIRECTORY    the manifest on standard output, the reader's figures as JSON on standard error
 */
import { createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type Stats, writeSync } from 'node:fs';
import { join } from 'node:path';

/** What the reader saw of its own waits; times in ms. */
export interface ReaderFigures {
  files: number;
  bytes: number;
  calls: number;
  longestWaitMs: number;
  longestWaitAt: string;
  totalMs: number;
}

const bufferSize = 128 * 1024;

/** Calls back for each entry below `root`, depth first, names in byte order. */
export function readTree(root: string, onLine: (line: string) => void): ReaderFigures {
  const figures: ReaderFigures = { files: 0, bytes: 0, calls: 0, longestWaitMs: 0, longestWaitAt: '', totalMs: 0 };
  const buffer = Buffer.allocUnsafe(bufferSize);
  const started = performance.now();

  function timed<T>(path: string, call: () => T): T {
    const before = performance.now();
    const result = call();
    const waited = performance.now() - before;
    figures.calls++;
    if (waited > figures.longestWaitMs) {
      figures.longestWaitMs = waited;
      figures.longestWaitAt = path;
    }
    return result;
  }

  function digest(path: string, full: string): string {
    const hash = createHash('sha256');
    const file = timed(path, () => openSync(full, 'r'));
    try {
      for (;;) {
        const length = timed(path, () => readSync(file, buffer, 0, bufferSize, null));
        if (length === 0) return hash.digest('hex');
        figures.bytes += length;
        hash.update(buffer.subarray(0, length));
      }
    } finally {
      closeSync(file);
    }
  }

  function visit(path: string): void {
    const full = join(root, path);
    const status = timed(path, () => lstatSync(full));
    onLine(`${path || '/'}\t${describe(status)}\t${content(path, full, status)}`);
    if (!status.isDirectory()) return;
    const names = timed(path, () => readdirSync(full)).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    for (const name of names) visit(`${path}/${name}`);
  }

  function content(path: string, full: string, status: Stats): string {
    if (status.isSymbolicLink()) return timed(path, () => readlinkSync(full));
    if (!status.isFile()) return String(status.rdev);
    figures.files++;
    return digest(path, full);
  }

  visit('');
  figures.totalMs = performance.now() - started;
  return figures;
}

/** A directory's size is the filesystem's own affair; so is a tree's root as a mountpoint. */
function describe(status: Stats): string {
  const size = status.isDirectory() ? '-' : status.size;
  return `${status.mode.toString(8)}\t${status.uid}:${status.gid}\t${size}\t${Math.floor(status.mtimeMs / 1000)}`;
}

if (import.meta.main) {
  const lines: string[] = [];
  const figures = readTree(process.argv[2] ?? '.', (line) => lines.push(line));
  writeAll(1, `${lines.join('\n')}\n`);
  writeAll(2, `${JSON.stringify(figures)}\n`);
}

/** A pipe takes less than all at once. */
function writeAll(file: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(file, bytes, done);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    }
  }
}
