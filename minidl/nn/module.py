"""Module: parameters, buffers and other modules under names, and a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from minidl.autograd.modes import tape
from minidl.backend import CPU, Device, to_device
from minidl.nn.hooks import Hook, Hooks, RemovableHandle, call_with_hooks
from minidl.nn.parameter import Parameter
from minidl.nn.state import IncompatibleKeys, load_state, state_items
from minidl.tensor import Tensor


class Module:
    """A part of a network. Subclass it, assign parameters and modules in `__init__`, compute in `forward`.

    Parameters, buffers and modules keep the order in which they were first assigned. A module holds what it learns,
    never the values that flow through it. What is registered in one of the tables is an ordinary attribute too, which
    Python finds many times sooner than `__getattr__` would: assign or register, and leave the tables alone.

    >>> import minidl as dl
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = Parameter(dl.tensor([2.0]))
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(dl.tensor([3.0])).tolist()
    [6.0]
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers: set[str]
    _hooks: Hooks | None

    def __init__(self) -> None:
        self.__dict__.update(
            training=True, _parameters={}, _buffers={}, _modules={}, _non_persistent_buffers=set(), _hooks=None
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; subclasses define it, callers call the module itself."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method; define one")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hooks, heard = self._hooks, tape.recorder
        if heard is None:
            return self.forward(*args, **kwargs) if hooks is None else call_with_hooks(self, hooks, args, kwargs)
        heard.on_enter(self)
        try:
            return self.forward(*args, **kwargs) if hooks is None else call_with_hooks(self, hooks, args, kwargs)
        finally:
            heard.on_leave()

    # ── names ─────────────────────────────────────────────────────────────────────────────────

    def _tables(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return self._parameters, self._buffers, self._modules

    def __getattr__(self, name: str) -> Any:
        if "_modules" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() at the start of __init__, before using the module"
            )
        for table in self._tables():
            if name in table:  # put there by hand
                return table[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What a copy or a pickle holds: the tables, each with a dict of its own, and the attributes they say."""
        self.__dict__.update(state)
        for name in ("_parameters", "_buffers", "_modules"):
            self.__dict__[name] = dict(state[name])
            self.__dict__.update(state[name])
        self.__dict__["_non_persistent_buffers"] = set(state["_non_persistent_buffers"])

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, keep=self._modules)
            self.add_module(name, value)
        elif "_parameters" not in self.__dict__ or not any(name in table for table in self._tables()):
            super().__setattr__(name, value)
        else:
            self._replace(name, value)

    def _replace(self, name: str, value: Any) -> None:
        """Assign something that is no parameter or module to a name that is registered."""
        for table, expected in zip(self._tables(), ("a Parameter", "a Tensor", "a Module"), strict=True):
            if name in table:
                if value is not None and not (table is self._buffers and isinstance(value, Tensor)):
                    raise TypeError(
                        f"{type(self).__name__}.{name}: expected {expected} or None, got {type(value).__name__}"
                    )
                self.__dict__[name] = table[name] = value

    def _forget(self, name: str, keep: dict[str, Any] | None = None) -> None:
        """Free a name for another kind of thing; a name that keeps its kind keeps its place in the order."""
        keep = self._parameters if keep is None else keep
        self.__dict__.pop(name, None)
        for table in self._tables():
            if table is not keep:
                table.pop(name, None)
        self._non_persistent_buffers.discard(name)

    def __delattr__(self, name: str) -> None:
        for table in self._tables():
            if name in table:
                del table[name], self.__dict__[name]
                self._non_persistent_buffers.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _check_name(self, name: str, what: str, table: dict[str, Any]) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{type(self).__name__}: {what} needs a name without a dot, got {name!r}")
        if name not in table and hasattr(self, name):
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Hold a parameter under a name, as assigning it does; None keeps the place of one that is switched off."""
        self._check_name(name, "a parameter", self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"{type(self).__name__}.{name}: expected a Parameter or None, got {type(param).__name__}")
        self.__dict__[name] = self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Hold a tensor that is part of the state but not trained.

        Arguments:
            name: the attribute it becomes.
            tensor: the value; None keeps the place.
            persistent: whether `state_dict` contains it.
        """
        self._check_name(name, "a buffer", self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"{type(self).__name__}.{name}: expected a Tensor or None, got {type(tensor).__name__}")
        self.__dict__[name] = self._buffers[name] = tensor
        (self._non_persistent_buffers.discard if persistent else self._non_persistent_buffers.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Hold a module under a name, as assigning it does."""
        self._check_name(name, "a module", self._modules)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}.{name}: expected a Module or None, got {type(module).__name__}")
        self.__dict__[name] = self._modules[name] = module

    register_module = add_module

    # ── walking through ───────────────────────────────────────────────────────────────────────

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module under "" and everything below it, parents first; a shared module once."""
        return self._walk(prefix, set() if remove_duplicate else None)

    def _walk(self, prefix: str, seen: set[Module] | None) -> Iterator[tuple[str, Module]]:
        if seen is not None:
            if self in seen:
                return
            seen.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child._walk(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """This module and everything below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules assigned to this one; a shared module once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The modules assigned to this one."""
        return (child for _, child in self.named_children())

    def _members(self, table: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[Tensor] = set()
        modules = self.named_modules(prefix, remove_duplicate) if recurse else iter([(prefix, self)])
        for path, module in modules:
            for name, value in getattr(module, table).items():
                if value is not None and value not in seen:
                    if remove_duplicate:
                        seen.add(value)
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters in the order of their declaration, this module's own first; a tied parameter once."""
        return self._members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, as an optimizer wants them."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers in the order of their declaration."""
        return self._members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path, such as "encoder.0"."""
        module = self
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(self).__name__} has no module {target!r}: nothing is called {name!r}")
            module = child
        return module

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call a function on every module below this one, then on this one; returns self."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # ── switches ──────────────────────────────────────────────────────────────────────────────

    def train(self, mode: bool = True) -> Self:
        """Set training mode, or evaluation mode, here and below; returns self."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: no dropout, running statistics used and left alone; returns self."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train the parameters, or freeze them; returns self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with 0."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach().zero_()

    # ── dtype and device ──────────────────────────────────────────────────────────────────────

    def to(self, *args: Any, dtype: Any = None, device: Device | str | None = None) -> Self:
        """Move parameters, gradients and buffers, and convert the floating ones; every parameter stays the same object.

        Arguments:
            args: a device, a dtype, both, or a tensor to be like: `model.to("cuda")`, `model.to(dl.float64)`.

        Raises:
            TypeError: the dtype is not a floating one.
        """
        for argument in args:
            if isinstance(argument, Tensor):
                dtype, device = argument.dtype, argument.device
            elif isinstance(argument, Device) or (
                isinstance(argument, str) and argument.split(":")[0] in ("cpu", "cuda")
            ):
                device = argument
            elif argument is not None:
                dtype = argument
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise TypeError(f"{type(self).__name__}.to: expected a floating dtype, got {np.dtype(dtype).name}")
        for tensor in [*self.parameters(), *self.buffers()]:
            for held in (tensor, tensor.grad):
                if held is not None:
                    _convert(held, dtype, device)
        return self

    def cpu(self) -> Self:
        """Move to the host's memory; returns self."""
        return self.to(device=CPU)

    def cuda(self, device: int | None = None) -> Self:
        """Move to the GPU's memory; returns self."""
        return self.to(device="cuda" if device is None else f"cuda:{device}")

    def float(self) -> Self:
        """Convert to float32; returns self."""
        return self.to(dtype=np.float32)

    def double(self) -> Self:
        """Convert to float64; returns self."""
        return self.to(dtype=np.float64)

    def half(self) -> Self:
        """Convert to float16; returns self."""
        return self.to(dtype=np.float16)

    # ── state ─────────────────────────────────────────────────────────────────────────────────

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Parameters and persistent buffers by name; the tensors share memory with the module.

        Arguments:
            prefix: put before every name.
            keep_vars: give the parameters themselves instead of tensors off the tape.
        """
        return {key: x if keep_vars else x.detach() for key, x in state_items(self, prefix)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy a state into this module: all of it, or nothing.

        Arguments:
            state_dict: tensors, or arrays of any library, by name.
            strict: refuse missing and unexpected keys and other dtypes; without it, those keys are left alone and
                numbers are converted. Shapes must always fit.

        Returns:
            The keys that were missing and those that were unexpected.

        Raises:
            RuntimeError: the state does not fit; the message lists everything wrong, and nothing was changed.
        """
        return load_state(self, state_dict, strict)

    # ── hooks ─────────────────────────────────────────────────────────────────────────────────

    def _hook_tables(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before every forward pass; what it returns replaces the arguments."""
        return RemovableHandle(self._hook_tables().forward_pre, hook, with_kwargs, prepend)

    def register_forward_hook(self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False) -> RemovableHandle:
        """Call `hook(module, args, output)` after every forward pass; what it returns replaces the output."""
        return RemovableHandle(self._hook_tables().forward, hook, with_kwargs, prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the outputs are there; it may replace them."""
        return RemovableHandle(self._hook_tables().backward_pre, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are there.

        Both are tuples with None where there is no gradient; a returned tuple replaces `grad_input`.
        """
        return RemovableHandle(self._hook_tables().backward, hook, prepend=prepend)

    # ── printing ──────────────────────────────────────────────────────────────────────────────

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed; subclasses say it."""
        return ""

    def _printed_children(self) -> list[str]:
        return [f"({name}): {indented(repr(child))}" for name, child in self._modules.items()]

    def __repr__(self) -> str:
        facts = self.extra_repr()
        if not self._modules:
            return f"{type(self).__name__}({facts})"
        lines = [*([facts] if facts else []), *self._printed_children()]
        return f"{type(self).__name__}(\n" + "".join(f"  {line}\n" for line in lines) + ")"


def indented(text: str) -> str:
    """The text with every line but the first moved to the right."""
    return text.replace("\n", "\n  ")


def _convert(tensor: Tensor, dtype: Any, device: Device | str | None) -> None:
    """Give the tensor its numbers on another device or, if it is floating, in another dtype."""
    array = tensor.array
    if device is not None:
        array = to_device(array, device)
    if dtype is not None and array.dtype.kind == "f":
        array = array.astype(dtype, copy=False)
    if array is not tensor.array:
        tensor.array = array
        tensor._written()


@contextmanager
def evaluating(*modules: Module) -> Iterator[None]:
    """Set evaluation mode for a `with` block; afterwards every module below is in the mode it was in.

    The modes come back when an exception passes, and modules that were frozen in evaluation mode stay so.
    """
    before = [(module, module.training) for top in modules for module in top.modules()]
    try:
        for top in modules:
            top.eval()
        yield
    finally:
        for module, mode in before:
            module.training = mode
