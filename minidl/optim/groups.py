"""Groups of parameters that share options: what a user may write, brought into one form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from minidl.autograd.variable import Variable

if TYPE_CHECKING:
    from minidl.tensor import Tensor

Group: TypeAlias = dict[str, Any]
"""Parameters under "params", their names, if any, under "param_names", and the options that hold for them."""

ParamsLike: TypeAlias = "Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[Group]"


def listed(who: str, params: Any) -> list[Any]:
    """Parameters as a list; a set is refused, because its order differs from run to run."""
    if isinstance(params, set | frozenset):
        raise TypeError(f"{who}: a set of parameters has no order that a later run could repeat; use a list")
    if hasattr(params, "parameters"):
        raise TypeError(f"{who}: expected parameters, got a {type(params).__name__}; give its .parameters()")
    result = [params] if isinstance(params, Variable) else list(params)
    if not result:
        raise ValueError(f"{who}: the list of parameters is empty")
    return result


def completed_group(who: str, given: Group, defaults: dict[str, Any], others: list[Group]) -> Group:
    """A group with every option, its parameters checked against those of the other groups.

    Arguments:
        who: the optimizer's name, for messages.
        given: {"params": tensors or pairs (name, tensor), option: value, ...}.
        defaults: the options, and what holds where the group does not say.
        others: the groups there are already.

    Raises:
        TypeError: something is not a tensor of real floating numbers, or an option is unknown.
        ValueError: a parameter appears twice or is the result of an operation, or only some groups have names.
    """
    group = {**given, "params": listed(who, given["params"])}
    if isinstance(group["params"][0], tuple):
        group["param_names"] = [name for name, _ in group["params"]]
        group["params"] = [parameter for _, parameter in group["params"]]
    known = {id(parameter) for other in others for parameter in other["params"]}
    for position, parameter in enumerate(group["params"]):
        what = group["param_names"][position] if "param_names" in group else f"parameter {position}"
        if not isinstance(parameter, Variable):
            raise TypeError(f"{who}: {what} is a {type(parameter).__name__}, expected a tensor")
        if parameter.creator is not None:
            raise ValueError(f"{who}: {what} is the result of an operation; only leaves can be optimised")
        if parameter.array.dtype.kind != "f":
            raise TypeError(f"{who}: {what} has dtype {parameter.array.dtype.name}, expected a real floating one")
        if id(parameter) in known:
            raise ValueError(f"{who}: {what} appears twice; it would be updated twice a step")
        known.add(id(parameter))
    for option, value in defaults.items():
        group.setdefault(option, value)
    unknown = set(group) - set(defaults) - {"params", "param_names", "initial_lr"}
    if unknown:
        raise TypeError(f"{who}: no option is called {sorted(unknown)[0]!r}; there are {sorted(defaults)}")
    if others and ("param_names" in group) != ("param_names" in others[0]):
        raise ValueError(f"{who}: either all groups name their parameters, or none does")
    return group
