"""Bytes that the kernels of a program compiled by XLA read and write, from its text.

XLA's own count knows nothing of calls into libraries, which on a GPU are the convolutions and products of matrices.
"""

from __future__ import annotations

import re
from math import prod

COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?[\])}]) ([a-z][a-z0-9\-]*)\((.*)$")
ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")
NAME = re.compile(r"%([\w.\-]+)")
CALLED = re.compile(r"\b(?:to_apply|calls|body)=%?([\w.\-]+)")
NO_KERNEL = frozenset(
    ["parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier", "partition-id"]
)
RUNS_OTHERS = frozenset(["call", "while", "async-start"])


def program_bytes(text: str) -> int:
    """Bytes of all kernels, operands and results; the body of a loop once.

    What a kernel reads of an operand in part alone, as rows, counts whole; a library's scratch memory does not count.

    Args:
        text: `as_text()` of a compiled program.
    """
    computations: dict[str, list[re.Match[str]]] = {}
    entry = ""
    for line in text.splitlines():
        if begins := COMPUTATION.match(line):
            name = begins[2]
            computations[name] = own = []
            entry = name if begins[1] else entry
        elif found := INSTRUCTION.match(line):
            own.append(found)
    return _computation_bytes(entry, computations)


def _computation_bytes(name: str, computations: dict[str, list[re.Match[str]]]) -> int:
    sizes: dict[str, int] = {}
    total = 0
    for own, shape, kind, rest in (found.groups() for found in computations[name]):
        sizes[own] = _shape_bytes(shape, scratch=kind == "custom-call")
        if kind in RUNS_OTHERS:
            total += sum(_computation_bytes(called, computations) for called in CALLED.findall(rest))
        elif kind not in NO_KERNEL and not kind.endswith("-done"):
            total += sizes[own] + sum(sizes.get(operand, 0) for operand in NAME.findall(_operands(rest)))
    return total


def _operands(rest: str) -> str:
    """What stands before the bracket that closes the operands."""
    depth = 1
    for place, sign in enumerate(rest):
        depth += (sign == "(") - (sign == ")")
        if not depth:
            return rest[:place]
    return rest


def _shape_bytes(shape: str, scratch: bool) -> int:
    """Of an array, or of all arrays of a tuple; with `scratch`, a tuple's arrays of single bytes do not count."""
    arrays = ARRAY.findall(shape)
    if scratch and len(arrays) > 1:
        arrays = [array for array in arrays if array[0] not in ("u8", "s8")]
    return sum(
        prod(map(int, sides.split(","))) * (int(bits or 8) // 8) if sides else int(bits or 8) // 8
        for _, bits, sides in arrays
    )
