"""A second device for machines without a GPU, which refuses what a GPU refuses.

Importing this module gives PyTorch a device called "second". Its numbers lie in the
processor's memory, but a tensor that was not moved there cannot be combined with one
that was, a generator of the processor cannot draw there, and NumPy cannot read it. Do
it first in a process of its own: it also exchanges `torch.inference_mode`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

NAME = "second"
MOVES = ("copy_", "_to_copy", "_copy_from")  # the operations that join two devices


class Module(backend_registration._DummyBackendModule):
    """What `torch.second` answers, so that seeds, AMP and its scaler find a backend."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """All numbers are drawn by the processor's generator."""

    def synchronize(self, device: object = None) -> None:
        """Nothing is computed later than asked."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


backend_registration._setup_privateuseone_for_python_backend(
    NAME, backend_module=Module()
)


class Moved(Tensor):
    """A tensor of the second device around one of the processor, `raw`."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> "Moved":
        return Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            layout=raw.layout,
            device=torch.device(NAME, 0),
        )

    def __init__(self, raw: Tensor):
        self.raw = raw

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return compute(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: "Moved") -> None:
        Tensor.data.__set__(self, value)
        self.raw = value.raw

    def __deepcopy__(self, memo: Any) -> "Moved":
        copied = Moved(self.raw.detach().clone()).requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied._is_param = True
        memo[id(self)] = copied
        return copied

    # what PyTorch refuses for classes of one's own, and a GPU does
    def __format__(self, spec: str) -> str:
        return format(self.raw.detach(), spec)

    def __repr__(self, **options: Any) -> str:
        return f"{self.raw!r} on {NAME}"

    def tolist(self) -> Any:
        return self.raw.detach().tolist()

    def numpy(self, **options: Any) -> Any:
        raise TypeError(
            f"can't convert {NAME}:0 device type tensor to numpy; use Tensor.cpu()"
        )

    def untyped_storage(self) -> Any:
        return self.raw.untyped_storage()

    def data_ptr(self) -> int:
        return self.raw.data_ptr()


def raw_of(value: Any) -> Any:
    return value.raw if isinstance(value, Moved) else value


def check_places(func: Any, values: list[Any]) -> None:
    """Raise RuntimeError where a GPU would: two devices, or another one's generator."""
    name = func._schema.name.removeprefix("aten::")
    here = [v for v in values if isinstance(v, Moved)]
    apart = [
        v
        for v in values
        if isinstance(v, Tensor) and not isinstance(v, Moved) and v.dim()
    ]
    # rows may be named by ids that lie with the processor
    if (
        here
        and apart
        and name not in MOVES
        and not name.startswith(("index", "_index"))
    ):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but {name} got some on "
            f"{NAME}:0 and some on cpu"
        )
    draws = [v for v in values if isinstance(v, torch.Generator)]
    if here and any(v.device.type == "cpu" for v in draws):
        raise RuntimeError(
            f"Expected a {NAME!r} device type for generator but {name} got 'cpu'"
        )


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """Let the processor compute, and put the result where it belongs."""
    values, shape = tree_flatten((args, kwargs))
    check_places(func, values)
    here = {id(v.raw): v for v in values if isinstance(v, Moved)}
    wanted = kwargs.get("device")
    stays = bool(here) if wanted is None else torch.device(wanted).type == NAME
    args, kwargs = tree_unflatten([raw_of(v) for v in values], shape)
    if wanted is not None:
        kwargs["device"] = "cpu"
    result = func(*args, **kwargs)

    def placed(value: Any) -> Any:
        if id(value) in here:  # changed in place: the very tensor that came in
            return here[id(value)]
        return Moved(value) if stays and isinstance(value, Tensor) else value

    return tree_map(placed, result)


def empty(size: Any, dtype: Any = None, *_: Any, **__: Any) -> Tensor:
    return Moved(torch.empty(size, dtype=dtype or torch.get_default_dtype()))


def empty_strided(
    size: Any, stride: Any, dtype: Any = None, *_: Any, **__: Any
) -> Tensor:
    dtype = dtype or torch.get_default_dtype()
    return Moved(torch.empty_strided(size, stride, dtype=dtype))


def copy_from(source: Tensor, to: Tensor, non_blocking: bool = False) -> Tensor:
    raw_of(to).copy_(raw_of(source))
    return to


def in_fewer_bits(name: str) -> Any:
    """An operation as autocast has it: its float32 numbers are rounded first."""
    operation = getattr(torch.ops.aten, name)

    def lower(value: Any) -> Any:
        is_float = isinstance(value, Tensor) and value.dtype is torch.float32
        return value.to(torch.get_autocast_dtype(NAME)) if is_float else value

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(NAME, enabled=False):
            return operation(*tree_map(lower, args), **tree_map(lower, kwargs))

    return run


ATEN = torch.library.Library("aten", "IMPL")
for name, function in {
    "empty.memory_format": empty,
    "empty_strided": empty_strided,
    "_copy_from": copy_from,
}.items():
    ATEN.impl(name, function, "PrivateUse1")
REST = torch.library.Library("_", "IMPL")
REST.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
for name in ("linear", "matmul", "scaled_dot_product_attention"):
    ATEN.impl(name, in_fewer_bits(name), "AutocastPrivateUse1")


class NoGradients(torch.no_grad):
    """In place of inference mode, which knows no tensors of a class of one's own."""

    def __init__(self, mode: bool = True):
        super().__init__()


torch.inference_mode = NoGradients  # type: ignore[misc, assignment]
# a weight that two layers share is moved once, as to a GPU
torch.__future__.set_swap_module_params_on_conversion(True)
# the compiler does not look into classes of one's own: models run as they are
torch._dynamo.config.disable = True
