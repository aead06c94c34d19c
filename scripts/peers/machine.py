"""What the peers need of the machine: a Python with PyTorch, a fast BLAS, facts to print."""

import ctypes
import os
import shutil
import subprocess
import sys

INSTALL = ("install Debian's python3-torch and libopenblas0-pthread "
           "(scripts/install_deps.sh --dev)")
_RESTARTED = "SLUICE_PEERS_RESTARTED"
# OpenBLAS takes its oldest kernels where it does not know a newer CPU by its number.
_OLD_KERNELS = {b"Prescott", b"Core2", b"Penryn", b"Dunnington", b"Nehalem", b"Atom", b"generic"}


def _has_torch(python):
    return subprocess.run([python, "-c", "import torch"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


def find_python(named=None):
    """An interpreter with PyTorch: the named one, else this one, PATH's, the system's. Exits with
    what to install where none has it."""
    candidates = [named] if named else [sys.executable, shutil.which("python3"), "/usr/bin/python3"]
    tried = []
    for python in candidates:
        if python and python not in tried and shutil.which(python):
            if _has_torch(python):
                return python
            tried.append(python)
    where = ", ".join(tried) or (named or "no Python found")
    sys.exit(f"error: no Python with PyTorch (tried {where}); {INSTALL}, or name one by --python")


def restart_with_torch():
    """Goes on in an interpreter that has PyTorch. Returns where this one has."""
    try:
        import torch  # pylint: disable=import-outside-toplevel,unused-import
    except ImportError:
        python = find_python()
        os.execv(python, [python, *sys.argv])


def cpu_flags():
    return set(_cpuinfo("flags").split())


def cpu_model():
    return _cpuinfo("model name") or os.uname().machine


def _cpuinfo(key):
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == key:
                    return value.strip()
    except OSError:
        pass
    return ""


def blas_in_use():
    """Paths of the BLAS libraries that this process has loaded."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "/" in line}
    names = ("blas", "mkl", "blis", "atlas")
    return sorted(p for p in paths if any(n in os.path.basename(p) for n in names))


def openblas_kernels():
    """Which CPU's kernels the OpenBLAS loaded here takes; None without one."""
    for path in blas_in_use():
        if "openblas" in os.path.basename(path):
            library = ctypes.CDLL(path)
            library.openblas_get_corename.restype = ctypes.c_char_p
            return library.openblas_get_corename()
    return None


def better_kernels(kernels, flags):
    """The name to give OpenBLAS by OPENBLAS_CORETYPE; None where its own choice stands."""
    if kernels not in _OLD_KERNELS:
        return None
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        return "SkylakeX"
    return "Haswell" if {"avx2", "fma"} <= flags else None


def restart_with_fast_blas(threads):
    """Before PyTorch is imported: one number of threads for all libraries, and OpenBLAS with the
    widest kernels the CPU can run. Both are read when the library loads, hence the restart."""
    if os.environ.get(_RESTARTED):
        return
    number = str(threads)
    wanted = {_RESTARTED: "1", "OMP_NUM_THREADS": number, "OPENBLAS_NUM_THREADS": number}
    if "OPENBLAS_CORETYPE" not in os.environ:
        try:
            ctypes.CDLL("libblas.so.3")
            kernels = better_kernels(openblas_kernels(), cpu_flags())
        except OSError:
            kernels = None
        if kernels:
            wanted["OPENBLAS_CORETYPE"] = kernels
    os.environ.update(wanted)
    os.execv(sys.executable, [sys.executable, *sys.argv])


def require_fast_blas(build):
    """After PyTorch's import: what BLAS it uses. Exits on the reference BLAS. build:
    torch.__config__.show(), which tells a BLAS that is linked in."""
    names = [os.path.basename(path) for path in blas_in_use()]
    fast = [name for name in names if any(b in name for b in ("openblas", "mkl", "blis"))]
    if not fast and "BLAS_INFO=mkl" in build:
        fast = ["MKL"]
    if not fast:
        sys.exit("error: PyTorch runs on the reference BLAS, which is many times slower "
                 f"({', '.join(names) or 'none found'}); {INSTALL}")
    kernels = openblas_kernels()
    return fast[-1] + (f" ({kernels.decode()} kernels)" if kernels else "")
