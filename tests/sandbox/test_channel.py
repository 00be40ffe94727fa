"""Messages cross whole, and a hostile sender gets a ProtocolError, never memory or code of ours."""

from __future__ import annotations

import json
import os
import socket
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelwright.errors import ProtocolError
from kernelwright.sandbox.channel import Channel, ChannelClosed, ChannelTimeout, Regions
from kernelwright.sandbox.tensor_memory import memory_file, row_bytes


@pytest.fixture
def pair():
    one, two = socket.socketpair()
    ends = Channel(one), Channel(two)
    yield ends
    for end in ends:
        end.close()


def exchange(pair, values, **options):
    sender, receiver = pair
    thread = threading.Thread(target=sender.send, args=({"op": "x"}, values))
    thread.start()
    message = receiver.receive(timeout=20, **options)
    thread.join()
    return message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
@settings(max_examples=50, deadline=None)
def test_plain_values_cross_unchanged(value):
    one, two = socket.socketpair()
    with one, two:
        Channel(one).send({"n": 1}, value)
        message = Channel(two).receive(timeout=20)
    assert message.values == value
    assert type(message.values) is type(value)
    assert message.body == {"n": 1}


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4),
        torch.arange(12).reshape(3, 4).t(),
        torch.arange(24.0)[::2],
        torch.tensor(3.5, dtype=torch.bfloat16),
        torch.empty(0, 3),
        torch.ones(2, 1).expand(2, 5),
        torch.tensor([True, False]),
        torch.tensor([1 + 2j]),
    ],
    ids=str,
)
@pytest.mark.parametrize("copy", [True, False])
def test_tensors_cross_with_shape_stride_and_dtype(pair, tensor, copy):
    message = exchange(pair, {"a": [tensor]}, copy=copy)
    got = message.values["a"][0]
    assert got.dtype == tensor.dtype
    assert got.shape == tensor.shape
    assert got.stride() == tensor.stride()
    assert torch.equal(got, tensor)


def test_shared_memory_can_be_written_by_a_receiver_and_shortened_by_nobody(pair):
    sender, receiver = pair
    shared = sender.share([torch.zeros(4), torch.ones(3)])
    sender.send_shared({"op": "call"}, shared)
    receiver.receive(copy=False, timeout=20).values[1][2] = 7
    tree, layout, fd = shared
    assert tree == {"l": [{"t": 0}, {"t": 1}]}
    assert os.pread(fd, 12, layout[1]["offset"]) == torch.tensor([1.0, 1.0, 7.0]).numpy().tobytes()
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(fd, 0)  # sealed: a receiver can't take the memory away under the reader
    os.close(fd)


def test_regions_of_memory_arrive_as_tensors(pair):
    sender, receiver = pair
    own = torch.arange(12, dtype=torch.int32).reshape(3, 4)
    rows = [{"dtype": "int32", "shape": [4, 3], "stride": [1, 4]}, {"dtype": "float32", "shape": [0], "stride": [1]}]
    sender.send_regions({"op": "x"}, Regions({"l": [{"t": 0}, {"t": 1}]}, rows, [own.data_ptr(), 0]))
    turned, empty = receiver.receive(timeout=20).values
    assert torch.equal(turned, own.t())
    assert empty.shape == (0,)


def test_a_descriptor_is_handed_over_only_to_one_who_expects_it(pair):
    sender, receiver = pair
    fd = memory_file(8)
    sender.send_descriptor({"op": "take"}, fd)
    message = receiver.receive(timeout=20, descriptors=True)
    assert message.body == {"op": "take"}
    os.pwrite(message.descriptor, b"12345678", 0)
    os.close(message.descriptor)
    assert os.pread(fd, 8, 0) == b"12345678"
    sender.send_descriptor({"op": "take"}, fd)
    assert receiver.receive(timeout=20).descriptor is None
    os.close(fd)


@pytest.mark.parametrize(
    "row",
    [
        {}, {"dtype": "float32", "shape": [2], "stride": []}, {"dtype": "object", "shape": [2], "stride": [1]},
        {"dtype": "float32", "shape": [-1], "stride": [1]}, {"dtype": "float32", "shape": "ab", "stride": [1, 1]},
    ],
)  # fmt: skip
def test_a_bad_description_of_a_tensor_is_refused(row):
    with pytest.raises(ProtocolError):
        row_bytes(row)


def test_a_copied_message_does_not_change_afterwards(pair):
    sender, receiver = pair
    shared = sender.share(torch.zeros(4))
    sender.send_shared({}, shared)
    got = receiver.receive(timeout=20).values
    os.pwrite(shared[2], b"\xff" * 16, shared[1][0]["offset"])
    assert got.tolist() == [0, 0, 0, 0]
    os.close(shared[2])


def test_the_end_of_the_other_side_and_silence_are_told_apart(pair):
    sender, receiver = pair
    with pytest.raises(ChannelTimeout):
        receiver.receive(timeout=0)
    sender.close()
    with pytest.raises(ChannelClosed):
        receiver.receive(timeout=20)


def raw(frame: object, *, fds=(), length=None, count=None) -> ProtocolError:
    one, two = socket.socketpair()
    text = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    head = (len(text) if length is None else length).to_bytes(4, "little") + bytes(
        [len(fds) if count is None else count]
    )
    with one, two:
        socket.send_fds(one, [head], list(fds)) if fds else one.sendall(head)
        one.sendall(text)
        with pytest.raises(ProtocolError) as caught:
            Channel(two).receive(timeout=20, max_bytes=1 << 20)
    return caught.value


def tensor_frame(**changes):
    row = {"dtype": "float32", "shape": [4], "stride": [1], "offset": 0, "nbytes": 16} | changes
    return {"body": {}, "tree": {"t": 0}, "tensors": [row]}


@pytest.mark.parametrize(
    "frame",
    [
        b"not json",
        b"[1]",
        {"body": 3, "tree": {"v": 1}, "tensors": []},
        {"body": {}, "tree": {"v": {}}, "tensors": []},
        {"body": {}, "tree": {"t": 0}, "tensors": []},
        {"body": {}, "tree": {"x": 0}, "tensors": []},
        {"body": {}, "tree": {}, "tensors": []},
        {"body": {}, "tree": 5, "tensors": []},
        {"body": {}, "tree": {"u": 5}, "tensors": []},
    ],
)
def test_nonsense_is_refused(frame):
    raw(frame)


def test_an_announced_length_beyond_the_limit_is_refused_unread():
    assert "bytes" in str(raw(b"", length=2**32 - 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "object"},
        {"dtype": "__class__"},
        {"shape": [-1]},
        {"shape": [1 << 40]},
        {"shape": [1 << 40], "nbytes": 1 << 42},
        {"stride": [1 << 30]},
        {"stride": [-1]},
        {"stride": []},
        {"offset": -8},
        {"offset": 1 << 50},
        {"offset": 4080},
        {"nbytes": 8},
        {"nbytes": "many"},
        {"shape": [1 << 19], "nbytes": 1 << 21},
    ],
    ids=str,
)
def test_a_tensor_that_its_memory_does_not_hold_is_refused(changes):
    fd = os.memfd_create("hostile")
    os.ftruncate(fd, 4088 if "offset" in changes else 1 << 22)
    try:
        raw(tensor_frame(**changes), fds=[fd])
    finally:
        os.close(fd)


def test_tensors_without_memory_are_refused():
    raw(tensor_frame())


def test_what_is_no_plain_value_is_not_sent(pair):
    with pytest.raises(ProtocolError, match="type object"):
        pair[0].send({}, [object()])
    with pytest.raises(ProtocolError, match="sparse"):
        pair[0].send({}, torch.eye(2).to_sparse())
