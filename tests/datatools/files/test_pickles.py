"""Other people's pickles are read, never run."""

from __future__ import annotations

import builtins
import datetime
import os
import pickle
import subprocess
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datatools.errors import DataToolsError
from datatools.files import pickles
from datatools.files.pickles import load_pickle
from tests.support.cifar_files import python2_pickle
from tests.support.pickled import ARRAY, DTYPE, GOOD, PIXELS, dictionary_of, refusal


@pytest.mark.parametrize("data", GOOD, ids=["python 2", "python 3"])
def test_an_official_batch_is_read(data: bytes) -> None:
    batch = load_pickle(data, "data_batch_1")
    assert list(batch) == ["batch_label", "labels", "data"]
    assert batch["labels"] == [3, 300]
    assert batch["data"].dtype == np.uint8
    np.testing.assert_array_equal(batch["data"], PIXELS)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL))
@pytest.mark.parametrize(
    "array",
    [
        PIXELS,
        np.asfortranarray(PIXELS),
        np.arange(4, dtype=">i4"),
        np.linspace(0, 1, 5),
        np.array([True, False]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_numbers_come_back_equal(array: np.ndarray, protocol: int) -> None:
    found = load_pickle(pickle.dumps({"data": array}, protocol=protocol), "x")["data"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_our_own_python_2_pickle_is_one() -> None:
    assert python2_pickle({"a": [1]}).startswith(b"\x80\x02}q\x01(U\x01a](K\x01e")
    assert pickle.loads(python2_pickle({"a": [1, 300], "b": "x"}), encoding="bytes") == {  # noqa: S301 - our own
        b"a": [1, 300],
        b"b": b"x",
    }


# --- what is refused -------------------------------------------------------------------------------------------------


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


def payloads(sentinel: str) -> dict[str, bytes]:
    """Pickles that, loaded by the ordinary `pickle`, would make the file `sentinel`."""
    write = f"open({sentinel!r}, 'w').close()"
    calls = {
        "os.system": Call(os.system, f"touch {sentinel}"),
        "subprocess": Call(subprocess.check_call, ["touch", sentinel]),
        "exec": Call(builtins.exec, write),
        "eval": Call(builtins.eval, write),
        "open": Call(builtins.open, sentinel, "w"),
        "getattr chain": Call(getattr, Call(builtins.__import__, "os"), "system"),
        "in an object array": np.array([Call(os.system, f"touch {sentinel}")], object),
    }
    made = {
        f"{name}, protocol {protocol}": pickle.dumps({"data": call}, protocol=protocol)
        for name, call in calls.items()
        for protocol in (0, 2, 4)
    }
    touch = f"touch {sentinel}\n".encode()
    made["INST opcode"] = b"(S'" + touch.strip() + b"'\nios\nsystem\n."
    made["OBJ opcode"] = b"(cos\nsystem\nS'" + touch.strip() + b"'\no."
    made["after a good one"] = GOOD[0][:-1] + b"0" + b"cos\nsystem\n(S'" + touch.strip() + b"'\ntR."
    made["dotted name"] = pickle.PROTO + b"\x04\x8c\x05numpy\x8c\x0cdtype.__init\x93."
    return made


@pytest.mark.parametrize("name", sorted(payloads("/nowhere/sentinel")))
def test_a_payload_is_refused_and_does_not_run(tmp_path: Path, name: str) -> None:
    sentinel = tmp_path / "sentinel"
    message = refusal(payloads(str(sentinel))[name])
    assert not sentinel.exists()
    assert "fetch" in message


def test_the_payloads_would_have_run(tmp_path: Path) -> None:
    # else the test above could not fail
    sentinel = tmp_path / "sentinel"
    pickle.loads(payloads(str(sentinel))["os.system, protocol 2"])  # noqa: S301 - that it runs is the point
    assert sentinel.exists()


@pytest.mark.parametrize(
    "value",
    [
        datetime.date(2020, 1, 1),
        OrderedDict(a=1),
        np.float64(1.5),
        np.array(["text"]),
        np.array([object()], object),
        np.array([(1, 2.0)], [("a", "u1"), ("b", "f4")]),
        np.array(["2020-01-01"], "M8[D]"),
        np.ma.masked_array([1]),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_objects_that_no_data_file_needs_are_refused(value: object, protocol: int) -> None:
    refusal(pickle.dumps({"data": value}, protocol=protocol))


TRICKS = {
    "persistent id": dictionary_of(b"U\x02idQ"),
    "persistent id, text": dictionary_of(b"Pid\n"),
    "a function as value": dictionary_of(b"cnumpy\ndtype\n"),
    "a function in a list": dictionary_of(b"]cnumpy\ndtype\na"),
    "an array that was never filled": dictionary_of(ARRAY),
    "an array that was never filled, in a list": dictionary_of(b"]" + ARRAY + b"a"),
    "a dtype as value": dictionary_of(DTYPE),
    "BUILD on a function": dictionary_of(b"cnumpy\ndtype\n}U\x04evilK\x01sb"),
    "BUILD on a function, slots": dictionary_of(b"cnumpy\ndtype\nN}U\x08__code__K\x01s\x86b"),
    "BUILD of a dtype with another byte order": dictionary_of(DTYPE + b"(K\x03U\x01?NNNtb"),
    "BUILD of an array with a dictionary": dictionary_of(ARRAY + b"}U\x05valueK\x01sb"),
    "an array of negative shape": dictionary_of(ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + DTYPE + b"\x89U\x00tb"),
    "an array shorter than its shape": dictionary_of(ARRAY + b"(K\x01K\x09\x85" + DTYPE + b"\x89U\x01atb"),
    "an array of huge shape": dictionary_of(ARRAY + b"(K\x01\x8a\x06\0\0\0\0\0\x7f\x85" + DTYPE + b"\x89U\x01atb"),
    "NEWOBJ of an array": dictionary_of(b"cnumpy\nndarray\n)\x81"),
    "an extension code": dictionary_of(b"\x82\x01"),
    "text of another encoding": dictionary_of(b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR"),
    "a list": b"\x80\x02].",
    "None": b"N.",
    "nothing": b"",
    "only a stop": b".",
    "no stop": b"\x80\x02}",
    "a protocol to come": b"\x80\x7f}.",
    "a huge memo index": b"\x80\x02}r\xff\xff\xff\x7f.",
    "a huge memo index, text": b"}p2147483647\n.",
    "a memo index that is not there": b"\x80\x02j\xff\xff\xff\x7f.",
    "bytes that are not there": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "a byte array that is not there": b"\x80\x05\x96\x00\x00\x00\x00\x10\x00\x00\x00.",
    "text that is not there": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "a frame that is not there": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.",
    "a number of too many digits": b"I" + b"9" * 10_000 + b"\n.",
    "a dictionary in itself": b"\x80\x02}q\x00U\x01ah\x00s.",
    "a dictionary nested deeply": b"\x80\x02" + b"}U\x01a" * 100_000 + b"N" + b"s" * 100_000 + b".",
    "a key that is not hashable": b"\x80\x02}]Ns.",
}  # fmt: skip


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_is_refused(name: str) -> None:
    refusal(TRICKS[name])


def test_a_list_in_itself_is_read_or_refused() -> None:
    data = dictionary_of(b"]q\x00h\x00a")
    try:
        value = load_pickle(data, "x")
    except DataToolsError:
        return
    assert value["data"][0] is value["data"]


def test_nothing_of_a_refused_pickle_stays_behind() -> None:
    refusal(TRICKS["BUILD on a function"])
    functions = [item for item in vars(pickles._DataUnpickler).values() if hasattr(item, "__dict__")]
    assert [vars(item) for item in functions if vars(item)] == []
