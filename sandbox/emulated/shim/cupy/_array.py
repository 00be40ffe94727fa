"""Arrays in the memory of the emulated GPU: a tensor with CuPy's names."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernelwright.sandbox.emulated.forwarding import at_home, to_device


class _Pointer:
    """`array.data`."""

    def __init__(self, address: int) -> None:
        self.ptr = address


def _torch_dtype(dtype: Any) -> torch.dtype:
    return torch.from_numpy(np.empty(0, np.dtype(dtype))).dtype


def _shape(shape: Any) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)


class ndarray:
    """An array; its values are the GPU's, and `get` copies them to the host."""

    def __init__(self, shape: Any, dtype: Any = float) -> None:
        self._tensor = torch.empty(_shape(shape), dtype=_torch_dtype(dtype))

    @classmethod
    def _of(cls, tensor: torch.Tensor) -> ndarray:
        made = cls.__new__(cls)
        made._tensor = to_device(tensor.detach())
        return made

    shape = property(lambda self: tuple(self._tensor.shape))
    ndim = property(lambda self: self._tensor.dim())
    size = property(lambda self: self._tensor.numel())
    itemsize = property(lambda self: self._tensor.element_size())
    nbytes = property(lambda self: self._tensor.numel() * self._tensor.element_size())
    strides = property(lambda self: tuple(n * self._tensor.element_size() for n in self._tensor.stride()))
    T = property(lambda self: ndarray._of(self._tensor.T))

    @property
    def dtype(self) -> Any:
        """NumPy's dtype."""
        with at_home():
            return torch.empty(0, dtype=self._tensor.dtype).numpy().dtype

    @property
    def data(self) -> _Pointer:
        """`data.ptr` is the address."""
        return _Pointer(self._tensor.data_ptr())

    def data_ptr(self) -> int:
        """The address."""
        return self._tensor.data_ptr()

    def get(self) -> Any:
        """A NumPy array with the values."""
        return np.array(self._tensor.numpy())

    def reshape(self, *shape: Any) -> ndarray:
        """The same values in another shape."""
        return ndarray._of(self._tensor.reshape(*shape))

    def ravel(self) -> ndarray:
        """In one dimension."""
        return ndarray._of(self._tensor.reshape(-1))

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        """Converted."""
        wanted = _torch_dtype(dtype)
        return ndarray._of(self._tensor.to(wanted, copy=copy))

    def copy(self) -> ndarray:
        """Other memory with the same values."""
        return ndarray._of(self._tensor.clone())

    def fill(self, value: Any) -> None:
        """Every element becomes `value`."""
        self._tensor.fill_(value)

    def __len__(self) -> int:
        return len(self._tensor)

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray._of(self._tensor[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._tensor[index] = value._tensor if isinstance(value, ndarray) else value

    def __dlpack__(self, **keywords: Any) -> Any:
        with at_home():
            return self._tensor.__dlpack__()

    def __dlpack_device__(self) -> Any:
        with at_home():
            return self._tensor.__dlpack_device__()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"cupy.ndarray.{name} is not part of the emulated CuPy: compute in CUDA C++ or with torch, not with cupy functions"
        )


def asarray(value: Any, dtype: Any = None) -> ndarray:
    """An array of `value`; a tensor is not copied."""
    if isinstance(value, ndarray):
        made = value
    elif isinstance(value, torch.Tensor):
        made = ndarray._of(value)
    else:
        made = ndarray._of(torch.tensor(np.asarray(value)))
    return made if dtype is None or made.dtype == np.dtype(dtype) else made.astype(dtype)


def from_dlpack(value: Any) -> ndarray:
    """The tensor's memory as an array, not copied."""
    return asarray(value)


def empty(shape: Any, dtype: Any = float) -> ndarray:
    """Memory that nobody has written."""
    return ndarray(shape, dtype)


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    """Zeros."""
    return ndarray._of(torch.zeros(_shape(shape), dtype=_torch_dtype(dtype)))


def empty_like(value: ndarray) -> ndarray:
    """Memory of the same shape."""
    return ndarray._of(torch.empty_like(value._tensor))


def zeros_like(value: ndarray) -> ndarray:
    """Zeros of the same shape."""
    return ndarray._of(torch.zeros_like(value._tensor))


def ascontiguousarray(value: Any, dtype: Any = None) -> ndarray:
    """Row by row without gaps."""
    return ndarray._of(asarray(value, dtype)._tensor.contiguous())


def asnumpy(value: Any) -> Any:
    """A NumPy array with the values."""
    return value.get() if isinstance(value, ndarray) else np.asarray(value)
