"""A PyTorch data set over the shards of one stage. See pipeline_shards.py, which lies beside it.

    data = ShardDataset("work/log-mel", labels={"airport-lisbon-1000-40000": 0, ...})
    loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=2)
"""

import numpy as np
import torch

from pipeline_shards import Shards


class ShardDataset(torch.utils.data.Dataset):
    """One item per clip that has a value: ``(tensors by column, label)``, or only the tensors without ``labels``.

    ``labels`` maps ids to labels; an item with a value and without a label is an error, since it would vanish in silence.
    ``column`` hands out that column's tensor instead of a dict. ``transform`` is applied to what is handed out.
    """

    def __init__(self, folder, labels=None, column=None, transform=None):
        self.shards = Shards(folder)
        self.ids = self.shards.succeeded()
        self.labels, self.column, self.transform = labels, column, transform
        if column is not None and column not in self.shards.columns:
            raise ValueError(f"no column {column!r}; there are: {', '.join(self.shards.columns)}")
        if labels is not None:
            without = [id for id in self.ids if id not in labels]
            if without:
                raise ValueError(f"{len(without)} items have no label, the first is {without[0]!r}")

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        id = self.ids[index]
        arrays = self.shards[id]
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        value = tensors if self.column is None else tensors[self.column]
        if self.transform is not None:
            value = self.transform(value)
        return value if self.labels is None else (value, self.labels[id])
