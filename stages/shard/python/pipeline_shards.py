"""Reads the HDF5 shards of one stage with h5py and numpy; nothing else is needed, and this file may be copied.

    shards = Shards("work/encode-clip")
    shards["airport-lisbon-1000-40000"]["embedding"]     # array [N, D]
    for id, arrays in shards:                            # in the order of the manifest, failed items left out
        ...
    shards.failures()                                    # [(id, cause, message), ...]

The layout is described in LAYOUT.md. Files are opened when they are first needed, once in every process, so an object
that was made before a data loader forked its workers is safe in them, and it pickles.
"""

import collections
import os
import re

import h5py
import numpy as np

NAME = re.compile(r"(\d+)-of-(\d+)\.h5")
SCHEMA = "pipeline-shard"
SCHEMA_VERSION = 1
OPEN_FILES = 64


class ShardsError(Exception):
    """A shard is missing, is no shard, or does not belong to the others."""


class ItemFailed(KeyError):
    """The item is there, but it has no value: see ``cause`` and ``message``."""

    def __init__(self, id, cause, message):
        super().__init__(id, cause, message)
        self.id, self.cause, self.message = id, cause, message

    def __str__(self):
        return f"item {self.id!r} failed: {self.cause}: {self.message}"


class Shards:
    """All shards of a stage as one sequence of items.

    ``folder`` holds ``00000-of-00048.h5`` and so on, or is a single file, e.g. a merged one. A missing shard is an error.
    """

    def __init__(self, folder):
        self.folder = os.fspath(folder)
        self._paths = [self.folder] if os.path.isfile(self.folder) else _shards_in(self.folder)
        self._files, self._pid = collections.OrderedDict(), None
        self.ids, self._place, self._failures = [], [], {}
        self.columns, self.attributes = None, None
        for number, path in enumerate(self._paths):
            with _open(path) as file:
                self._read_items(number, path, file)
        self._index = {id: index for index, id in enumerate(self.ids)}
        if len(self._index) != len(self.ids):
            raise ShardsError(f"{self.folder}: an item is in two shards; delete the folder's shards and run again")

    def __len__(self):
        """Number of items, failed ones included."""
        return len(self.ids)

    def __contains__(self, id):
        return id in self._index

    def __getitem__(self, item):
        """The arrays of an item by column, given its number or its id. Raises ItemFailed if it has none."""
        index = self._index[item] if isinstance(item, str) else range(len(self.ids))[item]
        if index in self._failures:
            raise ItemFailed(*self._failures[index])
        number, start, end = self._place[index]
        return {name: dataset[start:end] for name, dataset in self._datasets(number).items()}

    def __iter__(self):
        """``(id, arrays)`` for every item that has a value, in order."""
        for index, id in enumerate(self.ids):
            if index not in self._failures:
                yield id, self[index]

    def failures(self):
        """``(id, cause, message)`` for every item without a value, in order."""
        return [self._failures[index] for index in sorted(self._failures)]

    def succeeded(self):
        """Ids of the items that have a value, in order."""
        return [id for index, id in enumerate(self.ids) if index not in self._failures]

    def close(self):
        """Closes all files; they are opened again when needed."""
        for file, _ in self._files.values():
            file.close()
        self._files, self._pid = collections.OrderedDict(), None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getstate__(self):
        return {**self.__dict__, "_files": collections.OrderedDict(), "_pid": None}

    def _datasets(self, number):
        """The columns of a shard, by name."""
        if self._pid != os.getpid():
            # In a forked child the parent's files are closed first: while they are open, libhdf5 would take the same
            # file for the same handle and share its position with the parent (pytorch#11929).
            self.close()
            self._pid = os.getpid()
        if number not in self._files:
            while len(self._files) >= OPEN_FILES:
                self._files.popitem(last=False)[1][0].close()
            file = _open(self._paths[number])
            self._files[number] = file, {name: file[name] for name in self.columns}
        self._files.move_to_end(number)
        return self._files[number][1]

    def _read_items(self, number, path, file):
        attributes = {name: _text(value) for name, value in file.attrs.items()}
        if len(self._paths) > 1 and attributes.get("shard_index") != number:
            raise ShardsError(f"{path}: it says that it is shard {attributes.get('shard_index')}; was it renamed?")
        for name in ("shard_index", "shard_count"):
            attributes.pop(name, None)
        if self.attributes is None:
            self.attributes, self.columns = attributes, attributes["columns"].split(",")
        elif attributes != self.attributes:
            names = {n for n in {*attributes, *self.attributes} if attributes.get(n) != self.attributes.get(n)}
            raise ShardsError(f"{path}: it differs from the first shard in {', '.join(sorted(names))}; run the stage again")
        item = file["item"]
        legend = _text(item["status"].attrs["codes"])
        causes = {int(code): name for code, name in (part.split(" ", 1) for part in legend.split(", "))}
        ids, messages = (item[name].asstr()[:] for name in ("id", "message"))
        status, offset = item["status"][:], item["offset"][:]
        for i, id in enumerate(ids):
            if status[i] != 0:
                self._failures[len(self.ids)] = (id, causes[int(status[i])], messages[i])
            self._place.append((number, int(offset[i]), int(offset[i + 1])))
            self.ids.append(id)


def _shards_in(folder):
    found = {}
    for name in os.listdir(folder):
        if match := NAME.fullmatch(name):
            found.setdefault(int(match[2]), {})[int(match[1])] = os.path.join(folder, name)
    if not found:
        raise ShardsError(f"{folder}: there are no shards; run the stage first")
    if len(found) > 1:
        raise ShardsError(f"{folder}: shards of {len(found)} divisions ({sorted(found)} files); run the stage again")
    [(count, paths)] = found.items()
    missing = [number for number in range(count) if number not in paths]
    if missing:
        names = ", ".join(f"{number:05}-of-{count:05}.h5" for number in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ShardsError(f"{folder}: {len(missing)} of {count} shards are missing ({names}{more}); finish the run first")
    return [paths[number] for number in range(count)]


def _open(path):
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise ShardsError(f"{path}: cannot be opened: {error}") from error
    found = _text(file.attrs.get("schema", "")), int(file.attrs.get("schema_version", 0))
    if found != (SCHEMA, SCHEMA_VERSION):
        file.close()
        raise ShardsError(f"{path}: schema {found}, this reader knows {(SCHEMA, SCHEMA_VERSION)}")
    return file


def _text(value):
    """Attributes are fixed-length UTF-8, which h5py hands out as bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.item() if isinstance(value, np.generic) else value
