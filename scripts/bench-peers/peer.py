"""One run of one peer, in a process of its own: read a matrix, compute the neighbor lists, write them. run.py calls it.

    python peer.py PEER MATRIX.parquet LISTS.parquet -k K --threads T [--measure cosine]

It prints as JSON the seconds of the fit alone: from the matrix in memory (CSR, users x items) to the lists of all items.
"""

import argparse
import importlib.metadata
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

# Items of a product of sparse matrices: it bounds the memory.
CHUNK = 256


def read(path):
    """Returns the matrix (users x items) and the keys of the items, None if they are numbers and stand for themselves."""
    have = pq.read_schema(path).names
    table = pq.read_table(path, columns=[c for c in ("user", "item", "weight") if c in have])
    numbers, keys = {}, None
    for name in ("user", "item"):
        column = table[name]
        if pa.types.is_integer(column.type):
            numbers[name] = column.to_numpy()
            continue
        encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
        numbers[name] = encoded.indices.to_numpy()
        if name == "item":
            keys = encoded.dictionary
    weights = table["weight"].to_numpy() if "weight" in have else np.ones(len(table))
    return sp.csr_matrix((weights.astype(np.float32), (numbers["user"], numbers["item"]))), keys


def fit_implicit(matrix, k, threads, measure):
    from implicit import nearest_neighbours as nn

    kind = {"cosine": nn.CosineRecommender, "tf-idf": nn.TFIDFRecommender, "bm25": nn.BM25Recommender}[measure]
    model = kind(K=k + 1, num_threads=threads)
    model.fit(matrix, show_progress=False)
    return model.similarity


def normalized(matrix):
    """Returns the items x users matrix with rows of length 1."""
    items = matrix.T.tocsr()
    length = np.sqrt(np.asarray(items.multiply(items).sum(axis=1)).ravel())
    length[length == 0] = 1
    return (sp.diags((1 / length).astype(np.float32)) @ items).tocsr()


def fit_scipy(matrix, k, threads, _):
    items = normalized(matrix)
    users = items.T.tocsr()

    def chunk(lo):
        product = items[lo : lo + CHUNK] @ users
        ids, scores, start = [], [], [0]
        for a, b in zip(product.indptr, product.indptr[1:]):
            row = product.data[a:b]
            best = np.argpartition(row, -k - 1)[-k - 1 :] if len(row) > k + 1 else np.arange(len(row))
            ids.append(product.indices[a:b][best])
            scores.append(row[best])
            start.append(start[-1] + len(best))
        shape = (len(start) - 1, items.shape[0])
        return sp.csr_matrix((np.concatenate(scores), np.concatenate(ids), start), shape=shape)

    with ThreadPoolExecutor(threads) as pool:
        return sp.vstack(list(pool.map(chunk, range(0, items.shape[0], CHUNK))), format="csr")


def fit_sparse_dot_topn(matrix, k, threads, _):
    from sparse_dot_topn import sp_matmul_topn

    items = normalized(matrix)
    return sp_matmul_topn(items, items.T.tocsr(), top_n=k + 1, sort=True, n_threads=threads)


# The function and the distribution of each peer.
PEERS = {
    "implicit": (fit_implicit, "implicit"),
    "scipy": (fit_scipy, "scipy"),
    "sparse_dot_topn": (fit_sparse_dot_topn, "sparse-dot-topn"),
}


def write(path, lists, k, keys):
    """Writes lists (items x items, k+1 a row, with the item itself) as kith does: item, neighbor, rank, score."""
    item = np.repeat(np.arange(lists.shape[0]), np.diff(lists.indptr))
    order = np.lexsort((lists.indices, -lists.data, item))
    item, neighbor, score = item[order], lists.indices[order], lists.data[order]
    other = (item != neighbor) & (score != 0)
    item, neighbor, score = item[other], neighbor[other], score[other]
    first = np.searchsorted(item, np.arange(lists.shape[0]))
    rank = np.arange(len(item)) - first[item] + 1
    kept = rank <= k
    columns = {"item": item[kept].astype(np.int32), "neighbor": neighbor[kept].astype(np.int32)}
    if keys is not None:
        columns = {name: pa.DictionaryArray.from_arrays(ids, keys) for name, ids in columns.items()}
    columns |= {"rank": rank[kept].astype(np.int32), "score": score[kept].astype(np.float32)}
    pq.write_table(pa.table(columns), path, compression="snappy")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("peer", choices=PEERS)
    p.add_argument("matrix")
    p.add_argument("lists")
    p.add_argument("-k", type=int, required=True)
    p.add_argument("--threads", type=int, required=True)
    p.add_argument("--measure", default="cosine")
    a = p.parse_args()
    pa.set_cpu_count(a.threads)
    fit, distribution = PEERS[a.peer]
    matrix, keys = read(a.matrix)
    began = time.perf_counter()
    lists = fit(matrix, a.k, a.threads, a.measure)
    took = time.perf_counter() - began
    write(a.lists, lists, a.k, keys)
    print(json.dumps({"fit_seconds": took, "version": importlib.metadata.version(distribution)}))


if __name__ == "__main__":
    main()
