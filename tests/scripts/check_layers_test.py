#!/usr/bin/env python3
"""Tests of scripts/check_layers.py: small trees with one thing wrong, and what must be said."""

import importlib.util
import os
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
spec = importlib.util.spec_from_file_location(
    "check_layers", os.path.join(ROOT, "scripts", "check_layers.py"))
check_layers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_layers)

CLEAN = {
    "include/sluice/base/error.h": "#include <string>\n",
    "include/sluice/kernels/backend.h": '#include "sluice/base/error.h"\n',
    "include/sluice/nn/parameter.h": '#include "sluice/kernels/backend.h"\n',
    "include/sluice/nn/softmax.h": "",
    "include/sluice/optim/clip.h": '#include "sluice/nn/parameter.h"\n',
    "include/sluice/train/trainer.h": '#include "sluice/optim/clip.h"\n',
    "include/sluice/formats/safetensors.h": "",
    "src/base/error.cc": '#include "sluice/base/error.h"\n',
    "tests/base/error_test.cc": "",
    "src/formats/safetensors.cc": "#include <nlohmann/json.hpp>\n",
    "tests/formats/safetensors_test.cc": "",
    "src/nn/parameter.cc": "",
    "tests/nn/parameter_f64_test.cc": "",
    "src/kernels/reference/products.h": "#include <Eigen/Core>\n",
    "src/kernels/reference/products.cc": '#include "products.h"\n',
    "src/cli/main.cc": '#include <CLI/CLI.hpp>\n#include "sluice/train/trainer.h"\n',
}


class CheckLayers(unittest.TestCase):
    def violations(self, **changes):
        """Violations of the clean tree with these files (path -> text; None removes) changed."""
        files = {**CLEAN, **changes.get("files", {})}
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                if text is None:
                    continue
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return check_layers.check(root)

    def expect(self, files, *wanted):
        self.assertEqual(self.violations(files=files), list(wanted))

    def test_clean_tree_and_this_tree_pass(self):
        self.expect({})
        self.assertEqual(check_layers.check(ROOT), [])

    def test_upward_include(self):
        self.expect({"include/sluice/base/error.h": '\n# include "sluice/train/trainer.h"\n'},
                    "include/sluice/base/error.h:2: "
                    "base must not include train (sluice/train/trainer.h)")
        self.expect({"src/formats/safetensors.cc": "#include <sluice/nn/softmax.h>\n"},
                    "src/formats/safetensors.cc:1: "
                    "formats must not include nn (sluice/nn/softmax.h)")

    def test_numeric_layers_stay_clear_of_formats(self):
        self.expect({"src/nn/parameter.cc": '#include "sluice/formats/safetensors.h"\n'},
                    "src/nn/parameter.cc:1: "
                    "nn must not include formats (sluice/formats/safetensors.h)")

    def test_optim_sees_only_parameters_of_nn(self):
        self.expect({"include/sluice/optim/clip.h": '#include "sluice/nn/softmax.h"\n'},
                    "include/sluice/optim/clip.h:1: optim must not include sluice/nn/softmax.h: "
                    "of nn it may see only sluice/nn/parameter.h")

    def test_private_files_stay_private(self):
        self.expect({"src/nn/parameter.cc": '#include "kernels/reference/products.h"\n'},
                    "src/nn/parameter.cc:1: nn includes kernels/reference/products.h, "
                    "which is private to kernels")
        self.expect({"include/sluice/kernels/backend.h":
                     '#include "kernels/reference/products.h"\n'},
                    "include/sluice/kernels/backend.h:1: "
                    "public header includes the private kernels/reference/products.h")

    def test_heavy_libraries(self):
        for header, name in [("nlohmann/json.hpp", "nlohmann/json"), ("CLI/CLI.hpp", "CLI11"),
                             ("mpi.h", "MPI"), ("spdlog/spdlog.h", "spdlog"),
                             ("Eigen/Core", "Eigen"), ("hwy/highway.h", "Highway"),
                             ("sentencepiece_processor.h", "SentencePiece"),
                             ("google/protobuf/message.h", "protobuf"), ("xxhash.h", "xxHash")]:
            self.expect({"include/sluice/nn/softmax.h": f"#include <{header}>\n"},
                        f"include/sluice/nn/softmax.h:1: {name} in a public header ({header})")
            if name != "Eigen":
                self.expect({"src/nn/parameter.cc": f"#include <{header}>\n"},
                            f"src/nn/parameter.cc:1: {name} must not be included here ({header})")

    def test_mpi_has_one_file(self):
        self.expect({"include/sluice/dist/other.h": "", "tests/dist/other_test.cc": "",
                     "src/dist/other.cc": "#include <mpi.h>\n"},
                    "src/dist/other.cc:1: MPI must not be included here (mpi.h)")

    def test_mirrors(self):
        self.expect({"include/sluice/base/error.h": None,
                     "include/sluice/kernels/backend.h": "", "src/base/error.cc": ""},
                    "src/base/error.cc:1: has no include/sluice/base/error.h and no src/base/error.h")
        self.expect({"src/base/parser.cc": "", "src/base/parser.h": "",
                     "tests/base/parser_test.cc": ""})
        self.expect({"tests/base/error_test.cc": None},
                    "src/base/error.cc:1: has no tests/base/error_test.cc or error_f64_test.cc")

    def test_unknown_layer_and_unknown_file(self):
        self.expect({"src/utils/text.cc": "", "include/sluice/utils/text.h": "",
                     "tests/utils/text_test.cc": ""},
                    "include/sluice/utils/text.h:1: lies in no known layer",
                    "src/utils/text.cc:1: lies in no known layer")
        self.expect({"src/base/error.cc": '#include "sluice/base/eror.h"\n'},
                    'src/base/error.cc:1: "sluice/base/eror.h" is no file of this tree; '
                    "libraries are included with <>")

    def test_length(self):
        self.expect({"src/base/error.cc": "\n" * 400})
        self.expect({"src/base/error.cc": "\n" * 401},
                    "src/base/error.cc:401: 401 lines, more than 400")


if __name__ == "__main__":
    unittest.main()
