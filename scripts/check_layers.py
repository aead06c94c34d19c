#!/usr/bin/env python3
"""Checks the house rules of src/README.md that a compiler does not: which layer may include which,
where heavy libraries may appear, that header, source and test mirror each other, and file lengths.

Prints one line per violation, `path:line: what`, and exits 1 if there is any. Another tree than
this one can be given as the only argument.
"""

import os
import posixpath
import re
import sys

LONGEST_FILE = 400  # lines

# Layer -> the layers it may include, apart from itself. Numeric layers (kernels, nn, model, optim)
# stay clear of formats: the double twin is built without it.
GROUND = {"base", "formats"}
NETWORK = {"kernels", "nn", "model", "optim"}
BELOW_EVAL = GROUND | NETWORK | {"text", "dist"}
MAY_INCLUDE = {
    "base": set(),
    "formats": {"base"},
    "kernels": {"base"},
    "nn": {"base", "kernels"},
    "model": {"base", "kernels", "nn"},
    "optim": {"base", "kernels", "nn"},  # of nn only what ONLY_HEADERS names
    "text": GROUND,
    "dist": GROUND,
    "eval": BELOW_EVAL,
    "train": BELOW_EVAL | {"eval"},
    "config": BELOW_EVAL | {"eval", "train"},
    "exchange": BELOW_EVAL | {"eval", "train", "config"},
    "cli": BELOW_EVAL | {"eval", "train", "config", "exchange"},
}
# (layer, layer it includes) -> the only headers it may take from there.
ONLY_HEADERS = {("optim", "nn"): {"sluice/nn/parameter.h"}}

# Heavy libraries: pattern of the included path -> (name, where its include may stand). Never in a
# header under include/.
HEAVY = [
    (r"mpi\.h$", "MPI", r"src/dist/mpi_communicator\.cc"),
    (r"zlib\.h$", "zlib", r"src/text/.*\.cc"),
    (r"sentencepiece", "SentencePiece", r"src/text/.*\.cc"),
    (r"nlohmann/", "nlohmann/json", r"src/(formats|train|config|exchange|cli)/.*\.cc"),
    (r"CLI/", "CLI11", r"src/cli/.*"),
    (r"(google/protobuf|onnx)/", "protobuf", r"src/(formats|exchange)/.*\.cc"),
    (r"hwy/", "Highway", r"src/kernels/.*"),
    (r"spdlog/", "spdlog", r"src/(train|cli)/.*\.cc"),
    (r"xxhash\.h$", "xxHash", r"src/(base|formats|text)/.*\.cc"),
    (r"(unsupported/)?Eigen/", "Eigen", r"src/(kernels/.*|(nn|model|eval)/.*\.cc)"),
]

# Sources without the header or the test that mirrors them, and why.
NO_HEADER = {
    "formats/safetensors_json": "the parser behind safetensors_header.h",
}
NO_TEST = {
    "base/real": "two symbols that only the linker looks at",
}

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def sources(root, top):
    """Paths of the C++ files under root/top, relative to root, in a fixed order."""
    for folder, subfolders, names in os.walk(os.path.join(root, top)):
        subfolders.sort()
        for name in sorted(names):
            if name.endswith((".h", ".cc")):
                yield os.path.relpath(os.path.join(folder, name), root)


def layer_of(path):
    """Layer of src/L/... or include/sluice/L/...; None where the path lies in no known layer."""
    match = re.match(r"(?:src|include/sluice)/([^/]+)/", path)
    return match.group(1) if match and match.group(1) in MAY_INCLUDE else None


def resolve(root, path, target):
    """The file of this tree that an include names, or None (a library's header)."""
    candidates = ["include/" + target, posixpath.join(posixpath.dirname(path), target),
                  "src/" + target, target]
    for candidate in map(posixpath.normpath, candidates):
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    return None


def own_include(path, found, target):
    """What is wrong with including the own file `found`, or None."""
    layer, below = layer_of(path), layer_of(found)
    if below is None:
        return f"includes {target}, which belongs to no layer"
    if found.startswith("src/"):
        if path.startswith("include/"):
            return f"public header includes the private {target}"
        if below != layer:
            return f"{layer} includes {target}, which is private to {below}"
        return None
    if below != layer and below not in MAY_INCLUDE[layer]:
        return f"{layer} must not include {below} ({target})"
    if target not in ONLY_HEADERS.get((layer, below), {target}):
        return f"{layer} must not include {target}: of {below} it may see only " + ", ".join(
            sorted(ONLY_HEADERS[layer, below]))
    return None


def library_include(path, target):
    """What is wrong with including the library header `target`, or None."""
    for pattern, name, allowed in HEAVY:
        if re.match(pattern, target) and not re.fullmatch(allowed, path):
            if path.startswith("include/"):
                return f"{name} in a public header ({target})"
            return f"{name} must not be included here ({target})"
    return None


def check_file(root, path):
    """Violations in one file under src/ or include/, as (line, what)."""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        lines = file.read().splitlines()
    if len(lines) > LONGEST_FILE:
        yield LONGEST_FILE + 1, f"{len(lines)} lines, more than {LONGEST_FILE}"
    if layer_of(path) is None:
        yield 1, "lies in no known layer"
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, target = match.group(1) == '"', match.group(2)
        found = resolve(root, path, target)
        what = None
        if found and (quoted or target.startswith("sluice/")):
            what = own_include(path, found, target)
        elif target.startswith("sluice/") or quoted:
            what = f'"{target}" is no file of this tree; libraries are included with <>'
        else:
            what = library_include(path, target)
        if what:
            yield number, what


def check_mirrors(root, path):
    """Violations of header <-> source <-> test for one file under src/, as (line, what)."""
    match = re.fullmatch(r"src/(\w+/\w+)\.cc", path)  # deeper files are private to their layer
    if not match or path.startswith("src/cli/"):
        return
    stem = match.group(1)
    headers = [f"include/sluice/{stem}.h", f"src/{stem}.h"]  # public, or private to its layer
    if stem not in NO_HEADER and not any(os.path.isfile(os.path.join(root, h)) for h in headers):
        yield 1, f"has no {headers[0]} and no {headers[1]}"
    if not os.path.isfile(os.path.join(root, headers[0])):
        return  # private to its layer: tested through what the layer shows
    tests = [f"tests/{stem}_test.cc", f"tests/{stem}_f64_test.cc"]
    if stem not in NO_TEST and not any(os.path.isfile(os.path.join(root, t)) for t in tests):
        yield 1, f"has no {tests[0]} or {posixpath.basename(tests[1])}"


def check(root):
    """All violations of the tree at `root`, as lines of text."""
    found = []
    for top in ("include", "src"):
        for path in sources(root, top):
            for number, what in [*check_file(root, path), *check_mirrors(root, path)]:
                found.append(f"{path}:{number}: {what}")
    for stem in sorted({*NO_HEADER, *NO_TEST}):
        if os.path.isdir(os.path.join(root, "scripts")) and not os.path.isfile(
                os.path.join(root, "src", stem + ".cc")):
            found.append(f"scripts/check_layers.py:1: exception for {stem}, which does not exist")
    return found


def main():
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if len(sys.argv) > 2 or any(arg.startswith("-") for arg in sys.argv[1:]):
        print(__doc__ + "\nusage: scripts/check_layers.py [TREE]", file=sys.stderr)
        return 2
    found = check(sys.argv[1] if len(sys.argv) == 2 else here)
    print("\n".join(found) if found else "layers: no violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
