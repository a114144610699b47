"""What a constructor of this package takes, read from its source.

Importing the constructor would import torch, which takes longer than a user should wait to hear of a typing error.
"""

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent
_SIMPLE = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "None": (type(None),)}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a constructor: its annotation as written, and the literal values that this allows, if any."""

    name: str
    annotation: str
    required: bool
    choices: tuple[Any, ...] = ()

    def expects(self, value: Any) -> str:
        """Return what the annotation wants where `value` is not it, else ""; only plain types are judged."""
        if self.choices:
            return "" if value in self.choices else f"one of {', '.join(map(str, self.choices))}"
        names = [name.strip() for name in self.annotation.split("|")]
        if not all(name in _SIMPLE for name in names):
            return ""
        fits = any(
            isinstance(value, _SIMPLE[name]) and (name == "bool" or not isinstance(value, bool))
            for name in names
        )
        return "" if fits else self.annotation.replace("None", "null").replace(" |", " or")


@cache
def parameters(target: str) -> dict[str, Parameter]:
    """Return the parameters of a class or function, `self` left out: {name: Parameter}.

    `target` is a dotted name as in a config's `_target_`; the name may be exported by a package from any of its
    files. Raises LookupError where this package has no such name.
    """
    module, _, name = target.rpartition(".")
    found = next(_definitions(module, name), None)
    if found is None:
        raise LookupError(f"{target}: this package defines no such class or function")
    node, tree = found
    if isinstance(node, ast.FunctionDef):
        return _of_function(node, tree)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return {key: value for key, value in _of_function(item, tree).items() if key != "self"}
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return _of_dataclass(node, tree)
    for base in node.bases:
        if not hasattr(builtins, ast.unparse(base)):
            try:
                return parameters(f"{module}.{ast.unparse(base)}")
            except LookupError:
                continue
    return {}


def exported(package: str) -> list[str]:
    """Return the dotted names in the __all__ of a package of this one."""
    tree = _parsed(_PACKAGE.joinpath(*package.split(".")[1:], "__init__.py"))
    (names,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return [f"{package}.{name}" for name in ast.literal_eval(names)]


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _definitions(module: str, name: str) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef, ast.Module]]:
    place = _PACKAGE.joinpath(*module.split(".")[1:])
    files = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    for file in files:
        if module.split(".")[0] == _PACKAGE.name and file.is_file():
            tree = _parsed(file)
            for node in tree.body:
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
                    yield node, tree


def _of_function(node: ast.FunctionDef, tree: ast.Module) -> dict[str, Parameter]:
    positional = [*node.args.posonlyargs, *node.args.args]
    defaulted = len(positional) - len(node.args.defaults)
    found = [_parameter(arg.arg, arg.annotation, i < defaulted, tree) for i, arg in enumerate(positional)]
    found += [
        _parameter(arg.arg, arg.annotation, default is None, tree)
        for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    ]
    return {parameter.name: parameter for parameter in found}


def _of_dataclass(node: ast.ClassDef, tree: ast.Module) -> dict[str, Parameter]:
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
    found = [_parameter(ast.unparse(f.target), f.annotation, f.value is None, tree) for f in fields]
    return {parameter.name: parameter for parameter in found}


def _parameter(name: str, annotation: ast.expr | None, required: bool, tree: ast.Module) -> Parameter:
    text = ast.unparse(annotation) if annotation else ""
    return Parameter(name, text, required, _choices(annotation, tree))


def _choices(annotation: ast.expr | None, tree: ast.Module) -> tuple[Any, ...]:
    """Return the values of Literal[...], written in place or behind a name of the module."""
    if isinstance(annotation, ast.Name):
        for item in tree.body:
            if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == annotation.id:
                return _choices(item.value, tree)
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        values = ast.literal_eval(annotation.slice)
        return values if isinstance(values, tuple) else (values,)
    return ()
