"""Compare two files of neighbor lists (Parquet: item, neighbor, rank, score).

    python agree.py A.parquet B.parquet -k K [--tolerance 1e-5]

The lists agree if every item has the same scores by rank, within the tolerance, and the same neighbors up to ties: what
scores more than the tolerance above the last of its list must be in the other list too. In a list that is not full the
last score counts as 0. Prints the differences as JSON; the exit code is 1 if there are any.
"""

import argparse
import json
import sys

import numpy as np
import pyarrow.parquet as pq


class Lists:
    """Lists as arrays of items x k: neighbors, -1 where there is none, and scores."""

    def __init__(self, path, k, numbers):
        """numbers gives each key its number; keys that are new to it are added."""
        table = pq.read_table(path, columns=["item", "neighbor", "rank", "score"])
        item, neighbor = (self._numbered(table[c], numbers) for c in ("item", "neighbor"))
        rank = table["rank"].to_numpy() - 1
        self.rows = len(rank)
        if self.rows and rank.max() >= k:
            raise SystemExit(f"{path}: a list has {rank.max() + 1} neighbors; want at most {k}")
        self.neighbors = np.full((len(numbers), k), -1, dtype=np.int64)
        self.scores = np.zeros((len(numbers), k))
        self.neighbors[item, rank] = neighbor
        self.scores[item, rank] = table["score"].to_numpy()

    @staticmethod
    def _numbered(column, numbers):
        if not hasattr(column.chunk(0) if column.num_chunks else column, "dictionary"):
            column = column.dictionary_encode()
        encoded = column.unify_dictionaries().combine_chunks()
        known = [numbers.setdefault(str(key), len(numbers)) for key in encoded.dictionary.to_pylist()]
        return np.array(known, dtype=np.int64)[encoded.indices.to_numpy()]

    def grow(self, n):
        """Makes room for items that only the other file has."""
        more = n - len(self.scores)
        self.neighbors = np.pad(self.neighbors, ((0, more), (0, 0)), constant_values=-1)
        self.scores = np.pad(self.scores, ((0, more), (0, 0)))

    def pairs(self, where):
        """Returns each entry where is true of, as one number."""
        return (np.arange(len(self.scores))[:, None] * len(self.scores) + self.neighbors)[where]

    def missing(self, other, tolerance):
        """Counts entries clearly above the last of their list that the other lists do not have."""
        last = self.scores[:, -1:]
        clear = (self.neighbors >= 0) & (self.scores > last + tolerance)
        return int(np.isin(self.pairs(clear), other.pairs(other.neighbors >= 0), invert=True).sum())


def compare(a_path, b_path, k, tolerance):
    numbers = {}
    a, b = Lists(a_path, k, numbers), Lists(b_path, k, numbers)
    a.grow(len(numbers))
    b.grow(len(numbers))
    tolerance *= max(1, float(a.scores.max(initial=0)))  # scores of bm25 have no bound
    difference = np.abs(a.scores - b.scores)
    result = {
        "items": len(numbers),
        "neighbors": [a.rows, b.rows],
        "tolerance": tolerance,
        "largest_difference": float(difference.max(initial=0)),
        "other_scores": int((difference > tolerance).sum()),
        "missing": a.missing(b, tolerance) + b.missing(a, tolerance),
    }
    result["agree"] = a.rows > 0 and result["other_scores"] == 0 and result["missing"] == 0
    return result


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("a")
    p.add_argument("b")
    p.add_argument("-k", type=int, required=True)
    p.add_argument("--tolerance", type=float, default=1e-5)
    a = p.parse_args()
    result = compare(a.a, a.b, a.k, a.tolerance)
    print(json.dumps(result))
    sys.exit(not result["agree"])


if __name__ == "__main__":
    main()
