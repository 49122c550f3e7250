# SPDX-License-Identifier: Apache-2.0
"""Heat maps of what experts cost in each other's places beside those of co-activation, and how well their ranks agree.

    python3 error_maps.py profile.safetensors maps.svg        # the text goes to stdout

The error is relative: what is left of an expert's output when another, scaled by least squares, computes in its place;
1 is what leaving it out costs. Needs numpy and matplotlib.
"""

import json
import sys

import matplotlib
import numpy

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "buddy"  # equal input, equal file
import matplotlib.pyplot as plt  # noqa: E402  (the backend comes first)


def read_tensors(path, names):
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    kinds = {"F32": "<f4", "U32": "<u4", "U64": "<u8"}
    tensors = []
    for name in names:
        if name not in header:
            raise SystemExit(f"{path}: has no '{name}': profile --expected-errors measures it")
        begin, end = (8 + length + x for x in header[name]["data_offsets"])
        kind = kinds[header[name]["dtype"]]
        tensors.append(numpy.frombuffer(data[begin:end], kind).reshape(header[name]["shape"]).astype(float))
    return tensors


def ranks_of(values):
    """Ranks from 0; equal values share their mean rank."""
    _, places, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    first = numpy.cumsum(counts) - counts
    return first[places] + (counts[places] - 1) / 2


def rank_correlation(a, b):
    """Spearman's: the correlation of the ranks."""
    return numpy.corrcoef(ranks_of(a), ranks_of(b))[0, 1]


def row_correlations(errors, counts, samples):
    """For each expert that was seen, how well its company foretells who costs little in its place."""
    found = []
    for i, row in enumerate(errors):
        if samples[i] == 0:
            continue
        others = numpy.arange(len(row)) != i
        if len(set(row[others])) > 1 and len(set(counts[i][others])) > 1:
            found.append(rank_correlation(-row[others], counts[i][others]))
    return numpy.array(found)


def main():
    profile, picture = sys.argv[1:3]
    errors, own, counts, samples = read_tensors(
        profile, ["buddy_errors", "stand_ins.0.errors", "coactivations", "output_samples"])
    relative = errors / numpy.maximum(own, 1e-30)[:, :, None]
    layers = len(relative)
    figure, axes = plt.subplots(2, layers, figsize=(3 * layers, 6.2), squeeze=False)
    print("| layer | median of the best pair's error | mean of all pairs | rank correlation with co-activation, mean of "
          "experts | 5 % to 95 % of experts |")
    print("|---|---|---|---|---|")
    for layer in range(layers):
        seen = samples[layer] > 0
        off = relative[layer].copy()
        numpy.fill_diagonal(off, numpy.nan)
        company = counts[layer] / numpy.maximum(counts[layer].sum(axis=1, keepdims=True), 1)
        correlations = row_correlations(relative[layer], counts[layer], samples[layer])
        best = numpy.nanmin(off[seen], axis=1)
        low, high = numpy.percentile(correlations, [5, 95])
        print(f"| {layer} | {numpy.median(best):.3f} | {numpy.nanmean(off[seen]):.3f} | {correlations.mean():+.3f} | "
              f"{low:+.2f} to {high:+.2f} |")
        errors_image = axes[0][layer].imshow(off, cmap="magma_r", vmin=0.8, vmax=1, interpolation="nearest",
                                             rasterized=True)
        company_image = axes[1][layer].imshow(company, cmap="magma", vmin=0, vmax=numpy.percentile(company, 99.5),
                                              interpolation="nearest", rasterized=True)
        axes[0][layer].set_title(f"layer {layer}: error in i's place", fontsize=9)
        axes[1][layer].set_title(f"rank correlation {correlations.mean():+.2f}", fontsize=9)
        for axis in (axes[0][layer], axes[1][layer]):
            axis.tick_params(labelsize=7)
    figure.colorbar(errors_image, ax=list(axes[0]), shrink=0.8, label="relative error")
    figure.colorbar(company_image, ax=list(axes[1]), shrink=0.8, label="share of i's company")
    figure.savefig(picture, format="svg", dpi=110, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
