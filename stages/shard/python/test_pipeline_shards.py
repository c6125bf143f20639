"""Tests of the Python readers on shards that the Rust writer made.

Run by `cargo test -p shard`, which writes the shards and names their folder in SHARD_TEST_FOLDER: a sub-folder `stage` of
four shards with the items that expected.json lists, `all.h5` with the same items in one file, and `types.h5`.
"""

import json
import os
import pathlib
import pickle
import re
import shutil
import sys
import tempfile
import unittest

import h5py
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pipeline_shards import ItemFailed, Shards, ShardsError

FOLDER = pathlib.Path(os.environ["SHARD_TEST_FOLDER"])
STAGE = FOLDER / "stage"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


def embedding(expected):
    return np.array(expected["embedding"], np.float32).reshape(-1, 4)


class ReadsWhatRustWrote(unittest.TestCase):
    def setUp(self):
        self.shards = Shards(STAGE)
        self.addCleanup(self.shards.close)

    def test_items_in_order(self):
        self.assertEqual(len(self.shards), len(EXPECTED))
        self.assertEqual(self.shards.ids, [e["id"] for e in EXPECTED])
        good = [e for e in EXPECTED if "embedding" in e]
        pairs = list(self.shards)
        self.assertEqual([id for id, _ in pairs], [e["id"] for e in good])
        self.assertEqual(self.shards.succeeded(), [e["id"] for e in good])
        for (_, arrays), e in zip(pairs, good):
            self.assertEqual(list(arrays), ["embedding", "time"])
            self.assertEqual(arrays["embedding"].dtype, np.float32)
            np.testing.assert_array_equal(arrays["embedding"], embedding(e))
            np.testing.assert_array_equal(arrays["time"], np.arange(len(embedding(e))) + 0.5)

    def test_by_number_and_by_id(self):
        for index, e in enumerate(EXPECTED):
            for name in (index, index - len(EXPECTED), e["id"]):
                if "embedding" in e:
                    np.testing.assert_array_equal(self.shards[name]["embedding"], embedding(e))
                else:
                    with self.assertRaises(ItemFailed) as caught:
                        self.shards[name]
                    self.assertEqual((caught.exception.cause, caught.exception.message), (e["cause"], e["message"]))
        self.assertIn(EXPECTED[0]["id"], self.shards)
        self.assertNotIn("absent", self.shards)
        with self.assertRaises(IndexError):
            self.shards[len(EXPECTED)]
        with self.assertRaises(KeyError):
            self.shards["absent"]

    def test_failures(self):
        failed = [(e["id"], e["cause"], e["message"]) for e in EXPECTED if "cause" in e]
        self.assertGreater(len(failed), 3)
        self.assertEqual(self.shards.failures(), failed)

    def test_attributes(self):
        self.assertEqual(self.shards.attributes["tool"], "pipeline 0.1.0 (é)")
        self.assertEqual(json.loads(self.shards.attributes["params"]), {"precision": "f32"})
        self.assertEqual(self.shards.attributes["stage_version"], 3)

    def test_pickles_and_forks(self):
        self.shards[0]
        copy = pickle.loads(pickle.dumps(self.shards))
        np.testing.assert_array_equal(copy[0]["embedding"], embedding(EXPECTED[0]))
        copy.close()
        child = os.fork()
        if child == 0:  # the parent's files are open; the child opens its own
            good = [np.array_equal(a["embedding"], embedding(EXPECTED[self.shards.ids.index(i)])) for i, a in self.shards]
            os._exit(0 if all(good) and len(good) > 3 else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        np.testing.assert_array_equal(self.shards[0]["embedding"], embedding(EXPECTED[0]))

    def test_few_files_are_open(self):
        import pipeline_shards

        before, pipeline_shards.OPEN_FILES = pipeline_shards.OPEN_FILES, 2
        try:
            self.assertEqual(len(list(self.shards)), len(self.shards.succeeded()))
            self.assertEqual(len(self.shards._files), 2)
        finally:
            pipeline_shards.OPEN_FILES = before

    def test_a_single_file(self):
        with Shards(FOLDER / "all.h5") as merged:
            self.assertEqual(merged.ids, self.shards.ids)
            self.assertEqual(merged.failures(), self.shards.failures())

    def test_element_types(self):
        with h5py.File(FOLDER / "types.h5", "r", locking=False) as file:
            self.assertEqual({n: file[n].dtype.str for n in "abcde"},
                             {"a": "|u1", "b": "<i8", "c": "<f2", "d": "<f4", "e": "<f8"})
            np.testing.assert_array_equal(file["a"][:], [[0, 127, 255], [1, 2, 3]])
            np.testing.assert_array_equal(file["b"][:], [-(2**63), 2**63 - 1])
            np.testing.assert_array_equal(file["c"][:], np.array([[0.5], [-65504]], np.float16))
            self.assertEqual(file["d"].attrs["unit"].decode(), "µV²/Hz")

    def test_every_dataset_is_as_documented(self):
        def visit(name, thing):
            if isinstance(thing, h5py.Dataset):
                seen.append(name)
                self.assertTrue(thing.fletcher32, name)
                self.assertIsNone(thing.compression, name)
                self.assertIn("unit", thing.attrs, name)
                self.assertEqual(thing.chunks[1:], thing.shape[1:], name)
                self.assertIsNone(h5py.check_vlen_dtype(thing.dtype), name)

        seen = []
        with h5py.File(STAGE / "00001-of-00004.h5", "r", locking=False) as file:
            file.visititems(visit)
            self.assertEqual((file.attrs["shard_index"], file.attrs["shard_count"]), (1, 4))
        layout = (pathlib.Path(__file__).parent.parent / "LAYOUT.md").read_text(encoding="utf-8")
        for name in seen:
            self.assertIn(f"`{name}`", layout)
        self.assertEqual(len(seen), 9)

    def test_the_example_of_the_documentation(self):
        layout = (pathlib.Path(__file__).parent.parent / "LAYOUT.md").read_text(encoding="utf-8")
        [example] = re.findall(r"```python\n(.*?)```", layout, re.S)
        names = {"path": FOLDER / "all.h5"}
        exec(example, names)
        good = {e["id"]: e for e in EXPECTED if "embedding" in e}
        self.assertEqual(list(names["per_item"]), list(good))
        for id, values in names["per_item"].items():
            np.testing.assert_array_equal(values, embedding(good[id]))
        self.assertEqual(names["failed"], {e["id"]: e["message"] for e in EXPECTED if "cause" in e})


class RefusesWhatIsNotWhole(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copytree(STAGE, self.folder, dirs_exist_ok=True)

    def refused(self):
        with self.assertRaises(ShardsError) as caught:
            Shards(self.folder)
        return str(caught.exception).replace(str(self.folder), "stage")

    def test_a_missing_shard(self):
        (self.folder / "00002-of-00004.h5").unlink()
        self.assertEqual(self.refused(),
                         "stage: 1 of 4 shards are missing (00002-of-00004.h5); finish the run first")

    def test_no_shards(self):
        for path in self.folder.iterdir():
            path.unlink()
        self.assertEqual(self.refused(), "stage: there are no shards; run the stage first")

    def test_two_divisions(self):
        shutil.copy(STAGE / "00001-of-00004.h5", self.folder / "00001-of-00009.h5")
        self.assertIn("shards of 2 divisions", self.refused())

    def test_a_renamed_shard(self):
        shutil.copy(STAGE / "00001-of-00004.h5", self.folder / "00002-of-00004.h5")
        self.assertEqual(self.refused(), "stage/00002-of-00004.h5: it says that it is shard 1; was it renamed?")

    def test_a_truncated_shard(self):
        path = self.folder / "00001-of-00004.h5"
        path.write_bytes(path.read_bytes()[:5000])
        self.assertIn("stage/00001-of-00004.h5: cannot be opened", self.refused())

    def test_other_hdf5(self):
        with h5py.File(self.folder / "00003-of-00004.h5", "w") as file:
            file["x"] = 1
        self.assertIn("this reader knows", self.refused())

    def test_other_parameters(self):
        with h5py.File(self.folder / "00003-of-00004.h5", "r+", locking=False) as file:
            file.attrs["params"] = "{}"
        self.assertIn("it differs from the first shard in params", self.refused())


class TorchDataset(unittest.TestCase):
    def setUp(self):
        try:
            import torch
        except ImportError:
            self.skipTest("torch not installed")
        from pipeline_torch import ShardDataset

        self.torch, self.ShardDataset = torch, ShardDataset

    def test_two_workers(self):
        labels = {e["id"]: index for index, e in enumerate(EXPECTED)}
        data = self.ShardDataset(STAGE, labels)
        data[0]  # opens a file before the workers fork (pytorch#11929)
        loader = self.torch.utils.data.DataLoader(data, batch_size=None, num_workers=2)
        good = [(index, e) for index, e in enumerate(EXPECTED) if "embedding" in e]
        self.assertEqual(len(data), len(good))
        seen = list(loader)
        self.assertEqual(len(seen), len(good))
        for (tensors, label), (index, e) in zip(seen, good):
            self.assertEqual(label, index)
            np.testing.assert_array_equal(tensors["embedding"].numpy(), embedding(e))

    def test_a_column_and_a_transform(self):
        data = self.ShardDataset(STAGE, column="embedding", transform=lambda t: t.sum(dim=0))
        self.assertEqual(tuple(data[0].shape), (4,))
        with self.assertRaisesRegex(ValueError, "no column 'colour'; there are: embedding, time"):
            self.ShardDataset(STAGE, column="colour")

    def test_a_missing_label(self):
        with self.assertRaisesRegex(ValueError, "items have no label"):
            self.ShardDataset(STAGE, {EXPECTED[0]["id"]: 0})


if __name__ == "__main__":
    unittest.main(verbosity=2)
