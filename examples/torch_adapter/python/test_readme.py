# SPDX-License-Identifier: Apache-2.0
"""test_readme.py <root of buddy> <folder of the built adapter>: what the README shows, as pasted."""
import pathlib
import re
import subprocess
import sys

BUILT = "build/torch/examples/torch_adapter"


def blocks(readme, language):
    found = re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)
    assert found, f"the README has no block of {language}"
    return found


def squeezed(text):
    return re.sub(r"\s+", "", text)


def main(root, built):
    root = pathlib.Path(root)
    readme = (root / "examples/torch_adapter/README.md").read_text()
    for block in blocks(readme, "python"):
        exec(compile(block.replace(BUILT, built), "README.md", "exec"), {})
        print("passed: the block of Python")
    source = squeezed((root / "examples/torch_adapter/cpp/01_drop_in.cpp").read_text())
    for block in blocks(readme, "cpp"):
        assert squeezed(block) in source, f"not in 01_drop_in.cpp, which is compiled:\n{block}"
        print("passed: a block of C++ is part of 01_drop_in.cpp")
    rendezvous = pathlib.Path("/tmp/rendezvous")
    for block in blocks(readme, "sh"):
        rendezvous.unlink(missing_ok=True)
        script = "export OMP_NUM_THREADS=1\n" + block.replace(BUILT, built)
        done = subprocess.run(["bash", "-c", script], cwd=root, timeout=200, capture_output=True, text=True)
        rendezvous.unlink(missing_ok=True)
        assert done.stdout.count('"rank"') == 4, done.stdout + done.stderr
        print("passed: the block of shell, four ranks")


if __name__ == "__main__":
    main(*sys.argv[1:3])
