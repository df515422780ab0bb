"""Changes to the kernels' source, one at a time, each of which a test should notice.

`mutants` walks the syntax tree of a file and lists every change of the kinds in
`KINDS`; `Mutant.tree` makes the changed module.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}  # fmt: skip
OPERATIONS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
}  # fmt: skip
Change = Callable[[ast.AST], ast.AST]


@dataclass(frozen=True)
class Mutant:
    """One change: of node number `place` (in the order of ast.walk), in `function`.

    file  name of the file, which `mutants` was given
    code  the line in question
    text  what is put in place of what
    """

    file: str
    kind: str
    function: str
    line: int
    code: str
    place: int
    text: str
    change: Change

    def tree(self, source: str) -> ast.Module:
        """The module with the change made."""
        tree = ast.parse(source)
        target = list(ast.walk(tree))[self.place]
        fresh = self.change(copy.deepcopy(target))

        class Exchange(ast.NodeTransformer):
            def visit(self, node: ast.AST) -> ast.AST:
                return fresh if node is target else self.generic_visit(node)

        return ast.fix_missing_locations(Exchange().visit(tree))


def mutants(source: str, file: str = "") -> list[Mutant]:
    """All of them, in the order of the source."""
    tree = ast.parse(source)
    lines = source.splitlines()
    number = {node: place for place, node in enumerate(ast.walk(tree))}
    found = []
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        for statement in function.body:
            for node in ast.walk(statement):
                for kind, change in _changes(node):
                    after = ast.unparse(change(copy.deepcopy(node)))
                    text = f"{ast.unparse(node)} -> {after}".replace("\n", " ")
                    line = getattr(node, "lineno", function.lineno)
                    found.append(Mutant(file, kind, function.name, line, lines[line - 1].strip(),
                                        number[node], text, change))  # fmt: skip
    return sorted(found, key=lambda m: (m.line, m.place, m.text))


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """Every kind of change that this node allows."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for by in (1, -1):
            yield "constant", lambda n, by=by: ast.Constant(n.value + by)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield "comparison", _compare
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        yield "arithmetic", _operate
        if _widened(node.left) and _widened(node.right):
            yield "width", _narrow
    elif isinstance(node, ast.BoolOp):
        yield "connective", _other_connective
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", lambda n: n.operand
    elif isinstance(node, ast.AugAssign):
        yield "update", _drop_update
    elif isinstance(node, ast.IfExp | ast.If | ast.While):
        yield "condition", _negate
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Name | ast.Call):
        yield "result", _return_zero
    elif isinstance(node, ast.Call):
        yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[tuple[str, Change]]:
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
    elif name == "abs":
        yield "sign", lambda n: n.args[0]
    elif name == "range":
        yield "loop", _shorten


def _compare(node: ast.Compare) -> ast.AST:
    return ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)


def _operate(node: ast.BinOp) -> ast.AST:
    return ast.BinOp(node.left, OPERATIONS[type(node.op)](), node.right)


def _other_connective(node: ast.BoolOp) -> ast.AST:
    return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)


def _widened(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "np.int64"


def _narrow(node: ast.BinOp) -> ast.AST:
    """The operation in int32."""
    for side in (node.left, node.right):
        side.func.attr = "int32"
    return node


def _drop_update(node: ast.AugAssign) -> ast.AST:
    return ast.Pass()


def _negate(node: ast.IfExp | ast.If | ast.While) -> ast.AST:
    node.test = ast.UnaryOp(ast.Not(), node.test)
    return node


def _return_zero(node: ast.Return) -> ast.AST:
    return ast.Return(ast.Constant(0))


def _half_down(node: ast.Call) -> ast.AST:
    """round_shift that takes a half downwards."""
    minus = [ast.UnaryOp(ast.USub(), node.args[0]), *node.args[1:]]
    return ast.UnaryOp(ast.USub(), ast.Call(node.func, minus, []))


def _shorten(node: ast.Call) -> ast.AST:
    """One pass less, the last."""
    *first, last = node.args
    return ast.Call(node.func, [*first, ast.BinOp(last, ast.Sub(), ast.Constant(1))], [])


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])
