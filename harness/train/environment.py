# SPDX-License-Identifier: Apache-2.0
"""Settings that a process must have before its first library is loaded; import this module first.

- One BLAS and OpenMP thread per process: training runs one process per core, and the order of sums stays fixed.
- The allocator keeps freed buffers instead of giving them back. Otherwise each step pays page faults for the same
  few hundred megabytes again (measured: 37 % more bytes per second with these two).
- OpenBLAS 0.3.21 does not know some newer processors and then takes its slowest kernels (5x slower), so the kernels
  are named by what the processor can do.
"""

import os
import sys


def _blas_core():
    """The best OpenBLAS kernel set for this processor, or None to leave the choice to OpenBLAS."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
            flags = next((line for line in info if line.startswith("flags")), "").split()
    except OSError:
        return None
    if {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"} <= set(flags):
        return "SkylakeX"
    if {"avx2", "fma"} <= set(flags):
        return "Haswell"
    return None


def _wanted():
    settings = {
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    }
    core = _blas_core()
    if core:
        settings["OPENBLAS_CORETYPE"] = core
    return settings


def _restart_with_settings():
    """Starts the same program again with the settings; what the user has set already is kept."""
    missing = {name: value for name, value in _wanted().items() if name not in os.environ}
    if missing:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})


_restart_with_settings()
