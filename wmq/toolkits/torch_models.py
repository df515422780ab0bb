"""The world model in torch, quantized by torch and by torchao, and what can be counted in it."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from calib.step.graph import StepModel
from wmq.inference.torch_step import Compute, drawing
from wmq.models.base import model_of
from wmq.models.world import WorldModel
from wmq.toolkits.methods import Lacking
from wmq.toolkits.silence import silenced

# Operations that move values, make views of them, look them up, or fill new memory
MOVES = {
    "_reshape_alias", "_unsafe_view", "alias", "as_strided", "cat", "clone", "contiguous", "copy_",
    "detach", "embedding", "empty", "empty_like", "empty_strided", "expand", "full", "full_like",
    "index_select", "new_empty", "new_zeros", "ones", "permute", "reshape", "select", "slice",
    "split", "split_with_sizes", "squeeze", "stack", "t", "transpose", "unbind", "unflatten",
    "unsqueeze", "view", "zeros", "zeros_like",
}  # fmt: skip
EXACT = ("A_log", "dt_bias")  # float32 also in the bfloat16 form: exponents of the decay


def world_model(step: StepModel) -> WorldModel:
    """Build the model in float32, with the float step's weights."""
    return model_of(step).eval()


def bfloat16(plain: WorldModel) -> WorldModel:
    """Convert weights, constants and, with inputs of that type, activations; not EXACT, nor
    temperature and min-p of the draws.

    Its `forward` keeps the recurrent state and the decay in float32, its `step` does not.
    """
    model = copy.deepcopy(plain).to(torch.bfloat16)
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2] in EXACT:
            parameter.data = plain.get_parameter(name).data.clone()
    if plain.schema.draws:
        model.decode = plain.decode.clone()
    return model


def dynamic(plain: WorldModel, backend: str, floating: Sequence[str] = ()) -> WorldModel:
    """Quantize by `quantize_dynamic`; `floating` are names of Linears that stay as they are.

    Raises Lacking if this torch has not the back end, or no `quantize_dynamic` any more.
    """
    present = torch.backends.quantized.supported_engines
    if backend not in present:
        raise Lacking(f"this torch has no quantized back end {backend}, only {', '.join(present)}")
    if not hasattr(torch.ao.quantization, "quantize_dynamic"):
        raise Lacking(f"torch {torch.__version__} has no quantize_dynamic any more")
    usual = torch.ao.quantization.default_dynamic_qconfig
    chosen = {nn.Linear: usual} | dict.fromkeys(floating)
    with _backend(backend):
        return torch.ao.quantization.quantize_dynamic(plain, chosen, dtype=torch.qint8)


def traced(model: WorldModel, state: list[tuple[Tensor, Tensor]], inputs: tuple[Tensor, ...],
           backend: str) -> Compute:  # fmt: skip
    """Trace `model.step`, or `drawing` of it, for one game, without Python between its operations.

    inputs  all that is no state, in the order of the step
    The same operations in the same order give the same bits, at twice the speed, and other
    threads can go on meanwhile.
    """
    flat = [value for pair in state for value in pair]
    with warnings.catch_warnings(), torch.inference_mode(), _backend(backend):
        warnings.simplefilter("ignore")  # that torch.jit is deprecated, and shapes are constants
        module = torch.jit.trace(_Flat(model).eval(), (*inputs, *flat), check_trace=False)

    def step(*given: Any) -> tuple[dict[str, Tensor], list[tuple[Tensor, Tensor]]]:
        inputs, layers, drawn = given[:4], given[4], given[5:]
        found = module(*inputs, *drawn, *(value for pair in layers for value in pair))
        heads = dict(zip(_outputs(model), found, strict=False))
        after = found[len(heads) :]
        return heads, list(zip(after[::2], after[1::2], strict=True))

    return step


def _outputs(model: WorldModel) -> tuple[str, ...]:
    """Name the heads in their order, and what is drawn."""
    return (*model.head_names, "drawn") if model.schema.draws else model.head_names


class _Flat(nn.Module):
    """A step with tensors alone, which is what can be traced; what it draws by comes before the
    state."""

    def __init__(self, model: WorldModel):
        super().__init__()
        self.model = model

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        drawn = 2 if self.model.schema.draws else 0
        inputs, flat = given[:4], given[4 + drawn :]
        state = list(zip(flat[::2], flat[1::2], strict=True))
        compute: Compute = drawing(self.model) if drawn else self.model.step
        heads, after = compute(*inputs, state, *given[4 : 4 + drawn])
        return (*(heads[name] for name in _outputs(self.model)),
                *(value for pair in after for value in pair))  # fmt: skip


def torchao(plain: WorldModel, dynamic_inputs: bool) -> WorldModel:
    """Quantize to int8 weights, and to int8 inputs, a scale a frame, if asked for.

    Raises Lacking.
    """
    try:
        with silenced():  # it names every library of other processors that it cannot load
            from torchao import quantization as ao
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torchao":
            raise Lacking("torchao is not installed: pip install 'wmq[bench]'") from None
        raise Lacking(f"this torchao does not go with torch {torch.__version__}: {error}") from None
    names = ("Int8DynamicActivationInt8WeightConfig", "Int8WeightOnlyConfig")
    name = names[0] if dynamic_inputs else names[1]
    if not hasattr(ao, name):
        raise Lacking(f"this torchao has no {name}: pip install --upgrade torchao")
    model = copy.deepcopy(plain)
    ao.quantize_(model, getattr(ao, name)(set_inductor_config=False))
    return model


def linears(model: WorldModel) -> list[nn.Module]:
    """List Linears of all kinds, quantized ones too."""
    quantized = torch.ao.nn.quantized.dynamic.Linear
    return [module for module in model.modules() if isinstance(module, nn.Linear | quantized)]


def int8_layers(model: WorldModel) -> int:
    """Count the Linears whose weights are int8."""
    quantized = torch.ao.nn.quantized.dynamic.Linear

    def has_int8(module: nn.Module) -> bool:
        if isinstance(module, quantized):
            return module.weight().dtype == torch.qint8
        return getattr(module.weight, "qdata", module.weight).dtype == torch.int8

    return sum(map(has_int8, linears(model)))


def stored_bytes(model: WorldModel) -> int:
    """Measure the state dict as torch saves it."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


def float_operations(run: Callable[[], object]) -> int:
    """Count the operations of torch in a call that read or write floats, without those of MOVES.

    A function that torch takes apart counts as its parts; conversions between types count.
    """
    counter = _Counter()
    with torch.no_grad(), counter:
        run()
    return counter.found


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        self.found += name not in MOVES and _has_float((args, kwargs, result))
        return result


def _has_float(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point()
    if isinstance(value, dict):
        return _has_float(list(value.values()))
    return isinstance(value, list | tuple) and any(map(_has_float, value))


@contextlib.contextmanager
def _backend(name: str) -> Iterator[None]:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # quantize_dynamic is deprecated
            yield
    finally:
        torch.backends.quantized.engine = before
