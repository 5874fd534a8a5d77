"""Optimizer: parameter groups, state by position, one elementwise rule for each array."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from minidl.autograd.modes import enable_grad, tape
from minidl.autograd.variable import Variable
from minidl.backend import Array, array_module
from minidl.kernels import current_choice
from minidl.kernels.threads import parallel_for
from minidl.optim.groups import Group as Group
from minidl.optim.groups import ParamsLike as ParamsLike
from minidl.optim.groups import completed_group, listed
from minidl.optim.packing import Pack, overlap
from minidl.optim.packing import State as State
from minidl.optim.saved_state import fitted_state

if TYPE_CHECKING:
    from minidl.tensor import Tensor

SERIAL = 1 << 17
"""Elements that are updated sooner than other threads wake up."""


class _Update(NamedTuple):
    """A parameter whose step has been counted, as it is and as flat arrays, and what its rule needs."""

    whole: Array
    p: Array
    g: Array
    arrays: tuple[Array, ...]
    group: Group
    numbers: tuple[Any, ...]


class Optimizer:
    """Changes parameters against their gradients.

    A subclass says what it remembers and which numbers hold for a step (`prepare`), and how elements change (`rule`).
    The rule works element by element in place, so a parameter may be handed to it in pieces.

    Arguments:
        params: tensors, pairs (name, tensor), or dicts {"params": either of them, option: value, ...}. The order is
            kept and is the only key to the state.
        defaults: the options that hold where a dict does not say otherwise.

    float16 parameters are updated in float32, and so is what is remembered of them: g² of a gradient below 2.4e-4, and
    an ε of 1e-8, are zero in float16.

    Raises:
        TypeError: params is a single tensor or a set, or holds something other than tensors.
        ValueError: there are no parameters, one appears twice, or one is the result of an operation.
    """

    formula: ClassVar[str] = ""
    block: ClassVar[int] = 16384
    """Elements updated at a time: temporaries of float32 then take 64 KiB and stay in the cache."""
    rule_is_a_kernel: ClassVar[bool] = False
    """Whether `rule` is one kernel on a GPU, whose numbers a captured graph (`cuda.graph`) reads anew in every run."""
    param_groups: list[Group]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups = []
        self._states: list[list[State]] = []
        self._packs: list[Pack | None] = []
        self._asked: list[Array] = []
        self._overlap = False
        if isinstance(params, Variable):
            raise TypeError(f"{self._name}: expected the parameters as a list, got a single tensor; write [tensor]")
        params = listed(self._name, params)
        for group in params if isinstance(params[0], dict) else [{"params": params}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        groups = [
            ", ".join([f"{len(group['params'])} parameters", *(f"{k}={group[k]}" for k in self.defaults)])
            for group in self.param_groups
        ]
        return f"{self._name}({'; '.join(groups)})"

    # ── what a subclass writes ────────────────────────────────────────────────────────────────

    def check(self, group: Group) -> None:
        """Raise ValueError where an option of the group makes no sense."""
        for option in ("lr", "weight_decay", "eps", "momentum", "lr_decay", "initial_accumulator_value"):
            if not group.get(option, 0) >= 0:
                raise ValueError(f"{self._name}: {option} must be ≥ 0, got {group[option]}")
        for option in ("alpha", "rho"):
            if not 0 <= group.get(option, 0) <= 1:
                raise ValueError(f"{self._name}: {option} must lie between 0 and 1, got {group[option]}")
        for beta in group.get("betas", ()):
            if not 0 <= beta < 1:
                raise ValueError(f"{self._name}: betas must lie in [0, 1), got {tuple(group['betas'])}")

    def prepare(self, p: Array, state: State, group: Group) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        """Begin a step of one parameter: fill an empty state, count the step.

        Returns:
            the arrays that `rule` changes along with p, and the numbers that hold for this step.
        """
        raise NotImplementedError

    def rule(self, p: Array, g: Array, arrays: tuple[Array, ...], group: Group, numbers: tuple[Any, ...]) -> None:
        """Change p and the arrays in place, element by element; g is not written to."""
        raise NotImplementedError

    # ── stepping ──────────────────────────────────────────────────────────────────────────────

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; the others keep their value and their state.

        Arguments:
            closure: computes the loss anew and calls backward; its value is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        heard = tape.recorder
        if heard is not None:
            self._unpack()
        pending: list[_Update] = []
        try:
            for i, group in enumerate(self.param_groups):
                pairs: Any = zip(group["params"], self._states[i], strict=True)
                if heard is None:
                    pairs = self._update_packed(i, group)
                for parameter, state in pairs:
                    gradient = parameter.grad
                    if gradient is None:
                        continue
                    p, g = parameter.array, gradient.array
                    if p.shape != g.shape:
                        raise ValueError(
                            f"{self._name}: a parameter of shape {p.shape} has a gradient of shape {g.shape}"
                        )
                    if heard is None:
                        pending += self._begun(p, g, state, group)
                    else:
                        before, state_before = p.copy(), _copied(state)
                        self._run(self._begun(p, g, state, group))
                        options = {key: group[key] for key in self.defaults}
                        heard.on_update(
                            self._name, parameter, before, g.copy(), p.copy(), state_before, _copied(state), options,
                            self.formula,
                        )  # fmt: skip
                    parameter._written()
        finally:
            self._run(pending)
        return loss

    def _update_packed(self, i: int, group: Group) -> list[tuple[Tensor, State]]:
        """Update the small parameters of group i together; returns those that remain to be done singly."""
        pack = self._packs[i]
        if pack is None:
            pack = self._packs[i] = Pack(group["params"], self._states[i])
        if pack.members:
            if pack.gather():
                arrays, numbers = self.prepare(pack.flat_p, pack.shared, group)
                self.rule(pack.flat_p, pack.flat_g, arrays, group, numbers)
                pack.scatter()
            else:
                pack.unpack()
        return pack.others

    def _unpack(self) -> None:
        """Give every parameter its own state again; the next step packs anew."""
        for pack in self._packs:
            if pack is not None:
                pack.unpack()
        self._packs = [None] * len(self.param_groups)
        self._asked = []

    def __getstate__(self) -> dict[str, Any]:
        self._unpack()
        return self.__dict__

    def _begun(self, p: Array, g: Array, state: State, group: Group) -> list[_Update]:
        """Count the step of one parameter; what remains to be done, if it can be done later and in pieces."""
        strewn = isinstance(p, np.ndarray) and not p.flags.c_contiguous
        if p.dtype == np.float16 or strewn:
            dtype = np.promote_types(p.dtype, np.float32)
            copy = np.ascontiguousarray(p, dtype) if strewn else p.astype(dtype)
            self._run(self._begun(copy, g.astype(dtype), state, group))
            p[...] = copy
            return []
        arrays, numbers = self.prepare(p, state, group)
        if not isinstance(p, np.ndarray):
            self.rule(p, g, arrays, group, numbers)
            return []
        flat = tuple([a.reshape(-1) for a in arrays])
        return [_Update(p, p.reshape(-1), g.reshape(-1), flat, group, numbers)]

    def _run(self, updates: list[_Update]) -> None:
        """Do what remains, block by block, the blocks of all parameters shared out over threads."""
        # whatever can be done beforehand is: threads that hold the interpreter keep each other waiting
        blocks = [block for u in updates for block in self._blocks(u)]

        def run(first: int, last: int) -> None:
            for block in blocks[first:last]:
                self.rule(*block)

        few = len(blocks) < 2 or sum([u.p.size for u in updates]) < SERIAL
        if few or current_choice() != "auto" or (len(updates) > 1 and self._any_overlap([u.whole for u in updates])):
            run(0, len(blocks))
        else:
            parallel_for(len(blocks), 1, run)

    def _blocks(self, u: _Update) -> Iterator[tuple[Any, ...]]:
        """An update as arguments of `rule`, a block of elements at a time."""
        for i in range(0, u.p.size, self.block):
            part = slice(i, i + self.block)
            yield u.p[part], u.g[part], tuple([a[part] for a in u.arrays]), u.group, u.numbers

    def _any_overlap(self, arrays: list[Array]) -> bool:
        """Whether two of the parameters share memory; found out anew only where they are others than last time."""
        if len(arrays) != len(self._asked) or any(map(operator.is_not, arrays, self._asked)):
            self._asked, self._overlap = arrays, overlap(arrays)
        return self._overlap

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or make them zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad = Variable._wrap(array_module(parameter.array).zeros_like(parameter.array))

    # ── groups ────────────────────────────────────────────────────────────────────────────────

    def add_param_group(self, param_group: Group) -> None:
        """Optimise more parameters, with options of their own: `{"params": [...], "lr": 1e-4}`."""
        group = completed_group(self._name, param_group, self.defaults, self.param_groups)
        self.check(group)
        self.param_groups.append(group)
        self._states.append([{} for _ in group["params"]])
        self._unpack()

    # ── state ─────────────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> dict[int, State]:
        """What is remembered of each parameter, by its position in order of declaration over all groups."""
        self._unpack()
        return dict(enumerate(state for states in self._states for state in states))

    def state_dict(self) -> dict[str, Any]:
        """A snapshot of options and state: {"state": {position: {...}}, "param_groups": [{..., "params": positions}]}.

        Arrays are copied, so later steps do not change the snapshot.
        """
        groups, first = [], 0
        for group in self.param_groups:
            positions = list(range(first, first := first + len(group["params"])))
            groups.append({**group, "params": positions})
        state = {position: _copied(state) for position, state in self.state.items() if state}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`, also one that PyTorch made; nothing changes where it does not fit.

        Raises:
            ValueError: other groups, other numbers or names of parameters, or state of another shape.
        """
        if missing := {"param_groups", "state"} - state_dict.keys():
            raise ValueError(f"{self._name}: the saved state has no {' and no '.join(sorted(missing))}")
        saved_groups, saved_states = state_dict["param_groups"], state_dict["state"]
        here, there = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in saved_groups]
        if here != there:
            raise ValueError(
                f"{self._name}: the saved state has groups of {there} parameters, this optimizer has groups of {here}"
            )
        groups: list[Group] = []
        states: list[list[State]] = []
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            missing = set(self.defaults) - set(saved)
            if missing:
                raise ValueError(
                    f"{self._name}: the saved state lacks the option {sorted(missing)[0]!r}; another rule made it"
                )
            names, saved_names = group.get("param_names"), saved.get("param_names")
            if names and saved_names and list(names) != list(saved_names):
                first = next(i for i, (a, b) in enumerate(zip(names, saved_names, strict=True)) if a != b)
                raise ValueError(
                    f"{self._name}: parameter {first} is {names[first]!r} here, "
                    f"{saved_names[first]!r} in the saved state"
                )
            options = {key: saved[key] for key in (*self.defaults, "initial_lr") if key in saved}
            if "betas" in options:
                options["betas"] = tuple(options["betas"])
            groups.append({**group, **options})
            self.check(groups[-1])
            states.append(
                [
                    self._fitted(position, parameter.array, saved_states.get(position, {}), groups[-1])
                    for position, parameter in zip(saved["params"], group["params"], strict=True)
                ]
            )
        for group, loaded in zip(self.param_groups, groups, strict=True):
            group.update(loaded)
        self._states = states
        self._packs = [None] * len(self.param_groups)

    def _fitted(self, position: int, p: Array, saved: State, group: Group) -> State:
        """A copy of a saved state for the parameter p, if it has all that a step of this rule needs."""
        where = f"{self._name}: the saved state of parameter {position}"
        state, expected = fitted_state(where, saved, p), State()
        if state:
            self.prepare(p.astype(np.promote_types(p.dtype, np.float32)), expected, group)
            if set(expected) != set(state):
                raise ValueError(f"{where} holds {sorted(state)}, expected {sorted(expected)}")
        return state


def _copied(state: State) -> State:
    """The state as it is now."""
    return {key: value.copy() if hasattr(value, "shape") else value for key, value in state.items()}


def followed_gradient(p: Array, g: Array, group: Group) -> Array:
    """The gradient that is followed: the sign turned where a maximum is wanted, weight decay added."""
    if group["maximize"]:
        g = -g
    if group["weight_decay"]:
        g = g + group["weight_decay"] * p
    return g


def zeros(p: Array) -> Array:
    """What a running average of the gradients of p starts from."""
    array: Array = array_module(p).zeros(p.shape, dtype=p.dtype)
    return array
