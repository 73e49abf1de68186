"""What a PyTorch model, its data and its surroundings must be so that the noisy steps are those that are accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from accountant.numerics import InputError

#: Devices on which float64 noise is drawn.
_DEVICES: Final = ("cpu", "cuda")
_FORMATS: Final = (torch.float32, torch.float64)
#: Whose running statistics can be reset and filled again.
_NORMS: Final = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d
)  # fmt: skip
#: How names in ``public`` say that they belong to the loss.
_OF_LOSS: Final = "loss."
REFUSE: Final = "refuse"
RESET: Final = "reset"
#: What becomes of running statistics.
BUFFERS: Final = (REFUSE, RESET)


def check_surroundings() -> None:
    """InputError where something around the call would change the steps or their noise."""
    for device in _DEVICES:
        if torch.is_autocast_enabled(device):
            raise InputError(
                "autocast must be off: it and a GradScaler change the gradients that are clipped; call unlearn outside of it"
            )
    if torch.is_inference_mode_enabled():
        raise InputError("inference mode must be off: call unlearn outside of torch.inference_mode")
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        raise InputError(
            f"torch.distributed must not run several processes, got {distributed.get_world_size()}: each would clip and add "
            "noise by itself, with gradients averaged and seeds shared in ways that are not accounted for: use one process"
        )


def check_model(model: object, public: Sequence[str], buffers: str) -> None:
    """InputError, naming the parameter or buffer, for a model whose state is not the private parameters alone."""
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise InputError(f"model must be on one device, got {type(model).__name__}: give its .module")
    if isinstance(model, torch.jit.ScriptModule) or hasattr(model, "_orig_mod"):
        raise InputError("model must be the module itself, not a compiled one: give what was compiled")
    names = all_parameters(model)
    known = {*names, *(name for name, _ in named_buffers(model))}
    for name in public:
        if not name.startswith(_OF_LOSS) and name not in known:
            raise InputError(f"public must name parameters and buffers of the model, or loss.NAME, got {name!r}")
    for name, parameter in names.items():
        _check_tensor(name, parameter)
        if not _is_public(model, parameter, public):
            _check_parameter(name, parameter)
    private = private_parameters(model, public)
    if not private:
        raise InputError("model must have parameters that are not public, got none")
    devices = {str(parameter.device) for parameter in private.values()}
    if len(devices) > 1:
        raise InputError(f"model must have all parameters on one device, got {', '.join(sorted(devices))}")
    _check_buffers(model, public, buffers)
    check_attributes(model)
    _check_memory(model)


def check_loss(loss: object, public: Sequence[str]) -> None:
    """InputError for a loss that has parameters or buffers of its own."""
    if not callable(loss):
        raise InputError(f"loss must be callable as loss(outputs, targets), got {type(loss).__name__}")
    own = {} if not isinstance(loss, nn.Module) else {**all_parameters(loss), **dict(named_buffers(loss))}
    for name in own:
        if _OF_LOSS + name not in public:
            raise InputError(
                f"loss must have no parameters and buffers, got {name}: neither clipping nor noise reaches them; declare "
                f"public=({(_OF_LOSS + name)!r},) if they were made without the deleted records"
            )
    for name in public:
        if name.startswith(_OF_LOSS) and name.removeprefix(_OF_LOSS) not in own:
            raise InputError(f"public must name parameters and buffers that there are, got {name!r}")


def check_loader(loader: Any) -> None:
    """InputError for data that cannot be gone through again, or whose order follows from a generator that has been used."""
    if not isinstance(loader, Iterable):
        raise InputError(
            f"retained_loader must be a DataLoader or a list of batches (inputs, targets), got {type(loader).__name__}"
        )
    if isinstance(loader, Iterator):
        raise InputError("retained_loader must start again when it ends, as a DataLoader does, got an iterator")
    if isinstance(loader, torch.Tensor | str | bytes | dict):
        raise InputError(f"retained_loader must give batches (inputs, targets), got {type(loader).__name__}")
    sampler = getattr(loader, "sampler", None)
    inner = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    for part in (loader, sampler, inner):
        if getattr(part, "generator", None) is not None:
            raise InputError(
                "retained_loader must not have a generator of its own: where it stands depends on how many records there were; "
                "without one the order is drawn anew"
            )


def check_no_optimizer(optimizer: object) -> None:
    """InputError for whatever is given: steps are plain SGD."""
    if optimizer is not None:
        raise InputError(
            f"optimizer must be left out, got {type(optimizer).__name__}: momentum and what else it keeps from learning has "
            "seen the deleted records; the steps are plain SGD, and weight_decay is an argument"
        )


def all_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """By all their names: a parameter that is used in several places has several."""
    return dict(model.named_parameters(remove_duplicate=False))


def private_parameters(model: nn.Module, public: Sequence[str]) -> dict[str, nn.Parameter]:
    """Those that are not declared public, each once."""
    return {name: each for name, each in model.named_parameters() if not _is_public(model, each, public)}


def named_buffers(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """All buffers that there are, persistent or not, by all their names."""
    return ((name, each) for name, each in model.named_buffers(remove_duplicate=False) if each is not None)


def state_names(model: nn.Module) -> set[tuple[str, int]]:
    """What a state_dict would hand out: parameters, which stay the same objects, and the names of buffers."""
    parameters = {(name, id(each)) for name, each in all_parameters(model).items()}
    return parameters | {(name, 0) for name, _ in named_buffers(model)}


def statistics(model: nn.Module, public: Sequence[str]) -> Iterator[tuple[nn.Module, list[str], bool]]:
    """Modules with running statistics, with the names of these and whether all of them are declared public."""
    for prefix, module in model.named_modules():
        if isinstance(module, _NORMS) and module.running_mean is not None:
            names = [f"{prefix}.{name}" if prefix else name for name, _ in module.named_buffers(recurse=False)]
            yield module, names, all(name in public for name in names)


def check_finite(tensors: Iterable[tuple[str, torch.Tensor]], what: str) -> None:
    """InputError for the first tensor that is not finite; ``what`` it is."""
    for name, tensor in tensors:
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{what} {name} must be finite, got NaN or infinity; the model is as it was")


def check_gradients(parameters: dict[str, nn.Parameter], step: int) -> None:
    """InputError for gradients that are sparse or not finite."""
    for name, parameter in parameters.items():
        gradient = parameter.grad
        if gradient is not None and gradient.layout != torch.strided:
            raise InputError(f"parameter {name} must have dense gradients, got sparse ones: give its layer sparse=False")
    gradients = [(name, each.grad) for name, each in parameters.items() if each.grad is not None]
    check_finite(gradients, f"in step {step} the gradient of")


def checked_loss(value: object, step: int) -> torch.Tensor:
    """The loss of a batch, or InputError."""
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.is_floating_point():
        got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise InputError(f"loss must give one real number for a batch, got {got}")
    if not value.requires_grad:
        raise InputError("loss must depend on the parameters of the model, got one without a gradient")
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"loss must be finite, got {float(value.detach())} in step {step}; the model is as it was")
    return value.reshape(())


def check_no_penalty(loss: Callable[..., Any], outputs: object, targets: object) -> None:
    """InputError for a loss that depends on parameters other than by the model's outputs."""
    if isinstance(loss, nn.Module) and any(parameter.requires_grad for parameter in loss.parameters()):
        # Its own, which are public.
        return
    value = loss(detached(outputs), targets)
    if isinstance(value, torch.Tensor) and value.requires_grad:
        raise InputError(
            "loss must depend on the parameters by the outputs alone: weight decay or a penalty inside of it is clipped with "
            "the gradient and does not contract; give weight_decay instead"
        )


def on_device(batch: Any, device: torch.device) -> Any:
    """Tensors of nested tuples, lists and dictionaries on the device."""
    return _mapped(batch, lambda tensor: tensor.to(device, non_blocking=True))


def detached(outputs: Any) -> Any:
    """Tensors of nested tuples, lists and dictionaries without their history."""
    return _mapped(outputs, lambda tensor: tensor.detach())


def _mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(each, change) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(each, change) for each in value))
    if isinstance(value, list | tuple):
        return type(value)(_mapped(each, change) for each in value)
    return value


def _is_public(model: nn.Module, parameter: nn.Parameter, public: Sequence[str]) -> bool:
    return any(each is parameter and name in public for name, each in all_parameters(model).items())


def _check_tensor(name: str, parameter: torch.Tensor) -> None:
    if nn.parameter.is_lazy(parameter):
        raise InputError(f"parameter {name} must have a shape: run the model once on a batch before")
    if parameter.layout != torch.strided:
        raise InputError(f"parameter {name} must be dense, got {parameter.layout}")


def _check_parameter(name: str, parameter: torch.Tensor) -> None:
    if parameter.dtype not in _FORMATS:
        raise InputError(f"parameter {name} must be float32 or float64, got {str(parameter.dtype).removeprefix('torch.')}")
    if parameter.device.type not in _DEVICES:
        raise InputError(f"parameter {name} must be on the CPU or a CUDA device, got {parameter.device}")
    if not parameter.requires_grad:
        raise InputError(
            f"parameter {name} is frozen (requires_grad=False) and has learned from the deleted records unless it was made "
            f"without them: then declare public=({name!r},), otherwise let it be trained"
        )
    check_finite([(name, parameter)], "parameter")


def _check_buffers(model: nn.Module, public: Sequence[str], buffers: str) -> None:
    reset = {name for _, names, _ in statistics(model, public) for name in names} if buffers == RESET else set()
    for name, _ in named_buffers(model):
        if name in public or name in reset:
            continue
        running = any(name in names for _, names, _ in statistics(model, public))
        remedy = "give buffers='reset' to fill them from the retained data, or declare" if running else "declare"
        raise InputError(
            f"buffer {name} may have seen the deleted records, and neither clipping nor noise reaches it: {remedy} "
            f"public=({name!r},) if it was made without them"
        )


def check_attributes(model: nn.Module) -> None:
    """InputError for numbers in attributes, or in lists, dictionaries and modules there, that are no parameters or buffers."""
    known = {id(each) for each in [*model.parameters(), *(each for _, each in named_buffers(model))]}
    registered = {id(module) for module in model.modules()}
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            if any(id(array) not in known for array in _arrays(value, registered)):
                place = f"{prefix}.{name}" if prefix else name
                raise InputError(
                    f"attribute {place} holds numbers that are neither a parameter nor a buffer, so that neither clipping nor "
                    "noise reaches them: make it a parameter, a registered module, or a buffer that is declared public"
                )


def _arrays(value: object, registered: set[int]) -> Iterator[object]:
    """Tensors and arrays of numbers in nested tuples, lists, dictionaries and modules, but for the registered modules."""
    if isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "fiuc"):
        yield value
    elif isinstance(value, nn.Module):
        if id(value) not in registered:
            yield from value.parameters()
            yield from value.buffers()
    elif isinstance(value, list | tuple | set | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _arrays(each, registered)


def _check_memory(model: nn.Module) -> None:
    """Parameters and buffers that lie in one another's memory would get their noise twice."""
    tensors = {id(each): (name, each) for name, each in [*model.named_parameters(), *named_buffers(model)]}
    spans = []
    for name, tensor in tensors.values():
        if not tensor.numel() or tensor.layout != torch.strided or tensor.device.type == "meta":
            continue
        if any(stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)):
            raise InputError(f"parameter {name} must have memory of its own for every entry, got an expanded tensor")
        last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        first = tensor.data_ptr()
        spans.append((str(tensor.device), first, first + (last + 1) * tensor.element_size(), name))
    spans.sort()
    for (device, _, end, name), (other_device, begin, _, other) in pairwise(spans):
        if device == other_device and begin < end:
            raise InputError(f"parameters {name} and {other} must not share memory: let one parameter stand in both places")
