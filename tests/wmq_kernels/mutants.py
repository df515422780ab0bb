"""Changes to the kernels' source, one at a time, each of which a test should notice.

`mutants` walks the syntax tree of engine/kernels.py, its functions and its constants, and
lists every change of the kinds in `KINDS`; `Mutant.tree` makes the changed module.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

KINDS = {
    "constant": "an integer, one more or one less",
    "arithmetic": "another operator",
    "comparison": "with the equal case, or without it",
    "condition": "the opposite",
    "width": "two operands cast to int32 instead of int64",
    "sign": "dropped",
    "rounding": "to below, or with halves to below",
    "saturation": "one end dropped, the other, or both",
    "min or max": "one for the other",
    "update": "an assignment such as += dropped",
    "result": "0 returned",
    "loop": "without its first pass, or its last",
    "slice": "without its first element, or its last",
    "exchange": "two neighbouring arguments of a kernel",
}
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}  # fmt: skip
OPERATIONS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
}  # fmt: skip
PRIMITIVES = {"round_shift", "clamp", "part"}  # changed by kinds of their own
Change = Callable[[ast.AST], ast.AST]


@dataclass(frozen=True)
class Mutant:
    """One change: of node number `place` (in the order of ast.walk).

    function  in which it is, or the module's constant
    text      what is put in place of what, with the expression around it
    """

    kind: str
    function: str
    line: int
    place: int
    text: str
    change: Change

    def tree(self, source: str) -> ast.Module:
        """The module with the change made."""
        tree = ast.parse(source)
        return ast.fix_missing_locations(
            _exchanged(tree, list(ast.walk(tree))[self.place], self.change)
        )


def mutants(source: str) -> list[Mutant]:
    """All of them, in the order of the source."""
    tree = ast.parse(source)
    number = {node: place for place, node in enumerate(ast.walk(tree))}
    around = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    kernels = {f.name for f in tree.body if isinstance(f, ast.FunctionDef)} - PRIMITIVES
    found = []
    for name, part in _parts(tree):
        for node in ast.walk(part):
            for kind, change in _changes(node, kernels):
                shown = around[node] if isinstance(around[node], ast.expr) else node
                after = ast.unparse(_exchanged(shown, node, change))
                text = f"{ast.unparse(shown)} -> {after}".replace("\n", " ")
                line = getattr(node, "lineno", getattr(shown, "lineno", 0))
                found.append(Mutant(kind, name, line, number[node], text, change))
    return sorted(found, key=lambda m: (m.line, m.place, m.text))


def _parts(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """The statements of every function, and the value of every named constant."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield from ((node.name, statement) for statement in node.body)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node


def _exchanged(tree: ast.AST, node: ast.AST, change: Change) -> ast.AST:
    """A copy of the tree in which the node is the changed one."""
    fresh = change(copy.deepcopy(node))
    return copy.deepcopy(tree, {id(node): fresh})  # a node that is noted is not copied again


def _changes(node: ast.AST, kernels: set[str]) -> Iterator[tuple[str, Change]]:
    """Every kind of change that this node allows."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for by in (1, -1):
            yield "constant", lambda n, by=by: ast.Constant(n.value + by)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield "comparison", _compare
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        yield "arithmetic", _operate
        if _is_narrowable(node):
            yield "width", _narrow
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", lambda n: n.operand
    elif isinstance(node, ast.AugAssign):
        yield "update", lambda n: ast.Pass()
    elif isinstance(node, ast.IfExp | ast.If | ast.While):
        yield "condition", _negate
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Name | ast.Call):
        yield "result", lambda n: ast.Return(ast.Constant(0))
    elif isinstance(node, ast.Slice):
        if node.lower:
            yield "slice", lambda n: ast.Slice(_moved(n.lower, ast.Add()), n.upper)
        if node.upper:
            yield "slice", lambda n: ast.Slice(n.lower, _moved(n.upper, ast.Sub()))
    elif isinstance(node, ast.Call):
        yield from _calls(node, kernels)


def _calls(node: ast.Call, kernels: set[str]) -> Iterator[tuple[str, Change]]:
    name = ast.unparse(node.func)
    if name == "clamp":
        yield "saturation", lambda n: n.args[0]
        yield "saturation", lambda n: _call("max", n.args[0], n.args[1])
        yield "saturation", lambda n: _call("min", n.args[0], n.args[2])
    elif name == "round_shift":
        yield "rounding", lambda n: ast.BinOp(n.args[0], ast.RShift(), n.args[1])
        yield "rounding", _half_down
    elif name in ("min", "max"):
        yield "min or max", lambda n: _call("max" if n.func.id == "min" else "min", *n.args)
        yield "saturation", lambda n: n.args[0]
    elif name == "abs":
        yield "sign", lambda n: n.args[0]
    elif name == "range":
        yield "loop", _without_last
        yield "loop", _without_first
    elif name in kernels:
        for k in range(len(node.args) - 1):
            if ast.dump(node.args[k]) != ast.dump(node.args[k + 1]):
                yield "exchange", lambda n, k=k: _exchange(n, k)


def _compare(node: ast.Compare) -> ast.AST:
    return ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)


def _operate(node: ast.BinOp) -> ast.AST:
    return ast.BinOp(node.left, OPERATIONS[type(node.op)](), node.right)


def _is_narrowable(node: ast.BinOp) -> bool:
    """Whether one operand is cast to int64 and the other too, or an array's element.

    Where the other is a name or an expression, it is int64 already and the cast is no loss.
    """
    sides = (node.left, node.right)
    return any(map(_is_widened, sides)) and all(
        _is_widened(s) or isinstance(s, ast.Subscript | ast.Constant) for s in sides
    )


def _is_widened(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "np.int64"


def _narrow(node: ast.BinOp) -> ast.AST:
    for side in filter(_is_widened, (node.left, node.right)):
        side.func.attr = "int32"  # type: ignore[attr-defined]
    return node


def _negate(node: ast.IfExp | ast.If | ast.While) -> ast.AST:
    node.test = ast.UnaryOp(ast.Not(), node.test)
    return node


def _half_down(node: ast.Call) -> ast.AST:
    """round_shift that takes a half downwards."""
    minus = [ast.UnaryOp(ast.USub(), node.args[0]), *node.args[1:]]
    return ast.UnaryOp(ast.USub(), ast.Call(node.func, minus, []))


def _without_last(node: ast.Call) -> ast.AST:
    *first, last = node.args
    return ast.Call(node.func, [*first, _moved(last, ast.Sub())], [])


def _without_first(node: ast.Call) -> ast.AST:
    first = node.args[0] if len(node.args) == 2 else ast.Constant(0)
    return ast.Call(node.func, [_moved(first, ast.Add()), node.args[-1]], [])


def _moved(bound: ast.expr, by: ast.operator) -> ast.expr:
    return ast.BinOp(bound, by, ast.Constant(1))


def _exchange(node: ast.Call, k: int) -> ast.AST:
    args = list(node.args)
    args[k], args[k + 1] = args[k + 1], args[k]
    return ast.Call(node.func, args, [])


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])
