#!/usr/bin/env python3
"""tree-facts.py DIRECTORY: all that can be told of each inode in it, a line each, in the order of the names. Names of one inode are told by the first of them."""
import hashlib, os, stat, sys

root = os.fsencode(sys.argv[1])
first = {}


def facts(path):
    found = os.lstat(path)
    name = os.path.relpath(path, root)
    same = first.setdefault((found.st_dev, found.st_ino), name)
    told = [name, oct(found.st_mode), found.st_uid, found.st_gid, int(found.st_mtime)]
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as file:
            told += [found.st_size, hashlib.sha256(file.read()).hexdigest()]
            # Whether it has a hole, not how many blocks: that is the file system's.
            told.append(found.st_size > 0 and os.lseek(file.fileno(), 0, os.SEEK_HOLE) < found.st_size and "sparse")
    if stat.S_ISLNK(found.st_mode):
        told.append(os.readlink(path))
    if stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode):
        told.append((os.major(found.st_rdev), os.minor(found.st_rdev)))
    if not stat.S_ISDIR(found.st_mode):
        told.append(same)
    told += sorted((key, os.getxattr(path, key, follow_symlinks=False)) for key in os.listxattr(path, follow_symlinks=False))
    print(*map(repr, told))


for directory, directories, files in sorted(os.walk(root)):
    facts(directory)
    for name in sorted(files + [one for one in directories if os.path.islink(os.path.join(directory, one))]):
        facts(os.path.join(directory, name))
