"""The Triton programs compile for a Hopper GPU, on any machine: Triton brings the assembler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton", reason="Triton has no package for this platform")

ROOT = Path(__file__).resolve().parents[2]
COMPILE = """
import json, subprocess, sys, tempfile
from pathlib import Path
import triton
from triton.backends.compiler import GPUTarget
from model import deform_kernel, deform_programs
tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
pointers = {"x", "offset", "mask", "kernel", "bias", "out", "grad"}, {"grad_x", "grad_offset", "grad_mask", "parts"}
found = []
for name in ("forward_program", "data_gradient_program", "weight_gradient_program"):
    for kind, blocks in (("bf16", deform_kernel.HALF), ("fp32", deform_kernel.FULL)):
        program = getattr(deform_programs, name)
        sides = dict(zip("MCN", blocks))
        types = {
            arg: "constexpr" if arg in sides else f"*{kind}" if arg in pointers[0] else "*fp32" if arg in pointers[1]
            else "i32" for arg in program.arg_names
        }
        aligned = [i for i, arg in enumerate(types) if "*" in types[arg] or arg in ("pitch", "channels", "outputs")]
        source = triton.compiler.ASTSource(
            program, types, {(program.arg_names.index(side),): size for side, size in sides.items()},
            {(i,): [["tt.divisibility", 16]] for i in aligned},
        )
        options = {"num_warps": blocks.warps}
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(made.asm["cubin"])
            file.flush()
            usage = subprocess.run(
                [tools / "cuobjdump", "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
            ).stdout
        ptx, shared = made.asm["ptx"], made.metadata.shared
        found.append({"name": name, "kind": kind, "ptx": ptx, "usage": usage, "shared": shared})
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Each program in bf16 and in fp32, compiled in a process in which Triton does not interpret."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("triton")), "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    programs: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    assert len(programs) == 6
    return programs


@pytest.mark.slow
def test_half_precision_runs_on_tensor_cores_and_fp32_is_not_rounded_to_tf32(compiled: list[dict[str, Any]]) -> None:
    on_tensor_cores = [program["kind"] for program in compiled if "wgmma.mma_async" in program["ptx"]]
    assert on_tensor_cores == ["bf16"] * 3
    assert [program["name"] for program in compiled if "tf32" in program["ptx"]] == []


@pytest.mark.slow
def test_nothing_is_spilled_and_shared_memory_suffices(compiled: list[dict[str, Any]]) -> None:
    assert [program["name"] for program in compiled if " STACK:0 " not in program["usage"]] == []
    assert max(program["shared"] for program in compiled) <= 227 << 10
