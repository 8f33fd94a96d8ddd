"""The mutants of a module: each one small change of its source, as a value.

Only what decides is changed: comparisons, `and` and `or`, `not`, conditions, constants, results, elements of tables.
The words of messages, docstrings and annotations are left alone; a text that is compared with another is not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

MODULE = "<module>"
_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_SWAPPED = {"any": "all", "all": "any", "min": "max", "max": "min"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change: between two places of the source stands another text."""

    function: str
    """The qualified name of the function or the class that holds it, or MODULE."""
    outermost: str
    """The function whose code is exchanged where the module is imported already; empty: it must be imported anew."""
    start: int
    end: int
    text: str
    before: str
    """The changed lines as one, so that the mutant is known again when its lines move."""
    after: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.function, self.before, self.after

    def applied(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]


def mutants(source: str) -> tuple[Mutant, ...]:
    """All mutants of a module, in the order of its text."""
    found = _Finder(source)
    found.visit(ast.parse(source))
    unique = {(mutant.start, mutant.end, mutant.text): mutant for mutant in found.mutants}
    return tuple(unique[place] for place in sorted(unique))


class _Finder(ast.NodeVisitor):
    def __init__(self, source: str) -> None:
        self.source = source
        self.mutants: list[Mutant] = []
        self._within: list[str] = []
        self._outermost = ""
        lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))
        self._lines = lines

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside(node.name, node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        outermost = self._outermost
        self._outermost = outermost or ".".join((*self._within, node.name))
        self._inside(node.name, node.body)
        self._outermost = outermost

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, _node: ast.Raise) -> None:
        """The words of an error are no decision."""

    def visit_JoinedStr(self, _node: ast.JoinedStr) -> None:
        """Nor are those of a message."""

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node.value, ast.Call) and self._outermost:
            self._replace(node, "pass")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not _is(node.value, None):
            self._replace(node.value, "None")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "continue")

    def visit_If(self, node: ast.If) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._replace(test, "True")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for index in range(len(node.values)):
            left = [*node.values[:index], *node.values[index + 1 :]]
            self._replace(node, ast.unparse(left[0] if len(left) == 1 else ast.BoolOp(node.op, left)))
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self._replace(node, ast.unparse(ast.BoolOp(other, node.values)))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self._replace(node, ast.unparse(node.operand))
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for index, operator in enumerate(node.ops):
            for other in _COMPARED[type(operator)]:
                ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
                self._replace(node, ast.unparse(ast.Compare(node.left, ops, node.comparators)))
        for operand in (node.left, *node.comparators):
            self._text(operand)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        worded = any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in (node.left, node.right))
        if type(node.op) in _COUNTED and not worded:
            self._replace(node, ast.unparse(ast.BinOp(node.left, _COUNTED[type(node.op)](), node.right)))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self._replace(node, repr(node.value + 1))

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in _SWAPPED and isinstance(node.ctx, ast.Load):
            self._replace(node, _SWAPPED[node.id])

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)
        if not isinstance(node.slice, ast.Tuple):  # a type's arguments
            self.visit(node.slice)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        self._elements(node)

    def visit_List(self, node: ast.List) -> None:
        self._elements(node)

    def visit_Set(self, node: ast.Set) -> None:
        self._elements(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        if not self._outermost:
            for index in range(len(node.keys)):
                keys = [*node.keys[:index], *node.keys[index + 1 :]]
                values = [*node.values[:index], *node.values[index + 1 :]]
                self._replace(node, ast.unparse(ast.Dict(keys, values)), at=node.keys[index] or node.values[index])
        self.generic_visit(node)

    def _elements(self, node: ast.Tuple | ast.List | ast.Set) -> None:
        """A table without one of its elements; what is taken apart or joined to a text keeps its length."""
        table = not self._outermost or all(_is_text(item) or _is_member(item) for item in node.elts)
        read = isinstance(node, ast.Set) or isinstance(node.ctx, ast.Load)
        if table and read and len(node.elts) > 1:
            for index, dropped in enumerate(node.elts):
                left = [*node.elts[:index], *node.elts[index + 1 :]]
                same = ast.Set(left) if isinstance(node, ast.Set) else type(node)(left, ast.Load())
                self._replace(node, ast.unparse(same), at=dropped)
        self.generic_visit(node)

    def _condition(self, test: ast.expr) -> None:
        self._replace(test, "True")
        self._replace(test, "False")

    def _text(self, operand: ast.expr) -> None:
        if isinstance(operand, ast.Constant) and isinstance(operand.value, str):
            self._replace(operand, repr(f"mutated {operand.value}"))

    def _inside(self, name: str, body: list[ast.stmt]) -> None:
        self._within.append(name)
        for statement in body:
            self.visit(statement)
        self._within.pop()

    def _replace(self, node: ast.expr | ast.stmt, text: str, *, at: ast.expr | None = None) -> None:
        start, end = self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)
        if isinstance(node, ast.expr):
            text = f"({text})"
        if self.source[start:end] == text or self.source[start:end] == text[1:-1]:
            return
        shown = at or node
        first, last = self._starts[shown.lineno - 1], self._starts[shown.end_lineno or shown.lineno]
        if at is None:
            after = _one_line(self.source[first:start] + text + self.source[end:last])
        else:
            after = f"without {_one_line(ast.unparse(at))}"
        self.mutants.append(
            Mutant(
                function=".".join(self._within) or MODULE,
                outermost=self._outermost,
                start=start,
                end=end,
                text=text,
                before=_one_line(self.source[first:last]),
                after=after,
            )
        )

    def _place(self, line: int | None, column: int | None) -> int:
        """Where it is in the text; the parser counts bytes."""
        assert line is not None
        assert column is not None
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())


def walk_code(code: object, name: str) -> Iterator[object]:
    """The code objects of that qualified name in `code`."""
    for constant in getattr(code, "co_consts", ()):
        if getattr(constant, "co_qualname", None) == name:
            yield constant
        yield from walk_code(constant, name)


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_member(node: ast.expr) -> bool:
    """Of an enumeration."""
    return isinstance(node, ast.Attribute) and node.attr.isupper()


def _one_line(text: str) -> str:
    return " ".join(text.split())
