"""The English sentences of the program's errors, found in its code: what can be the text of an error."""

import ast
import re
from collections import defaultdict
from itertools import count

# A value inside a sentence is one of its own from so many words on: fewer are names.
_WORDS_OF_A_SENTENCE = 2


def numbered(node):
    """The text of a literal, with its values numbered; ``None`` for anything else."""
    values = count()
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{\}", lambda _: f"{{{next(values)}}}", node.value)  # as ``str.format`` takes them
    if not isinstance(node, ast.JoinedStr):
        return None
    return "".join(str(part.value) if isinstance(part, ast.Constant) else f"{{{next(values)}}}" for part in node.values)


class ErrorSentences:
    """The sentences in some modules.

    A sentence can be the argument of an error class itself, a constant, one of several choices, what a function
    returns, what a function that makes an error is called with, and the text of another exception. A part of a sentence
    that is made in such a way is a sentence, too.

    Args:
        sources: The code of each module.
        errors: Names of the error classes.
    """

    def __init__(self, sources, errors):
        self._errors = errors
        self._functions = defaultdict(list)
        self._constants = defaultdict(list)
        self._calls = defaultdict(list)
        self._raised = []
        self._nodes = []
        for source in sources:
            tree = ast.parse(source)
            for node in tree.body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    self._constants[node.targets[0].id].append(node.value)
            self._nodes += _nodes_in(tree)
        for scope, node in self._nodes:
            if isinstance(node, ast.FunctionDef):
                self._functions[node.name].append(node)
            elif isinstance(node, ast.Call):
                self._calls[_name(node.func)].append((scope, node))
            elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                self._raised.append((scope, node.exc))

    def found(self):
        """All of them."""
        texts, open_ones = set(), []
        for error in self._errors:
            for scope, call in self._calls[error]:
                if call.args and isinstance(call.func, ast.Name):
                    texts.add(numbered(call.args[0]))
                    open_ones.append((call.args[0], scope))
        seen = set()
        while open_ones:
            node, scope = open_ones.pop()
            if node not in seen:
                seen.add(node)
                if _is_sentence(text := numbered(node)):
                    texts.add(text)
                open_ones += self._sources(node, scope)
        # Values alone need no translation.
        return {text for text in texts if text is not None and re.search(r"[a-z]", re.sub(r"\{\d+\}", "", text))}

    def _sources(self, node, scope):
        """The expressions that ``node`` can get its text from, each with its function."""
        if isinstance(node, ast.JoinedStr):
            return [(part.value, scope) for part in node.values if isinstance(part, ast.FormattedValue)]
        if isinstance(node, ast.IfExp):
            return [(node.body, scope), (node.orelse, scope)]
        if isinstance(node, ast.BoolOp):
            return [(each, scope) for each in node.values]
        if isinstance(node, ast.Subscript):
            return [(node.value, scope)]
        if isinstance(node, ast.Name):
            return self._of_name(node.id, scope)
        return self._of_call(node, scope) if isinstance(node, ast.Call) else []

    def _of_name(self, name, scope):
        if scope is None:
            return [(each, None) for each in self._constants[name]]
        assigned = [
            (node.value, scope)
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign | ast.NamedExpr)
            and name
            in [getattr(each, "id", None) for each in getattr(node, "targets", [getattr(node, "target", None)])]
        ]
        if any(isinstance(node, ast.ExceptHandler) and node.name == name for node in ast.walk(scope)):
            assigned += [(each, of) for of, call in self._raised if self._is_other(call) for each in call.args]
        parameters = [each.arg for each in scope.args.args if each.arg != "self"]
        if name in parameters and self._makes_an_error(scope):
            place = parameters.index(name)
            assigned += [(call.args[place], of) for of, call in self._calls[scope.name] if len(call.args) > place]
        return assigned or [(each, None) for each in self._constants[name]]

    def _of_call(self, node, scope):
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join", "split"):
            return [(node.func.value, scope)]
        if _name(node.func) in ("str", "cause_of", "file_and_cause"):
            return [(each, scope) for each in node.args]
        if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") != "self":
            return []  # of an object whose class is not known here
        return [
            (each.value, function)
            for function in self._functions[_name(node.func)]
            for each in ast.walk(function)
            if isinstance(each, ast.Return) and each.value is not None
        ]

    def _is_other(self, call):
        """Whether an exception is none of the errors, so that its text gets to people inside that of an error."""
        kind = getattr(call.func, "id", "")  # not of Gradio, whose errors have their own way
        return kind.endswith("Error") and kind not in (*self._errors, "AttributeError", "KeyError")

    def _makes_an_error(self, function):
        return function.returns is not None and ast.unparse(function.returns).strip("'\"") in self._errors


def _name(function):
    return getattr(function, "id", getattr(function, "attr", ""))


def _is_sentence(text):
    return text is not None and " " in text and len(re.findall(r"[A-Za-z]{2,}", text)) >= _WORDS_OF_A_SENTENCE


def _nodes_in(tree, scope=None):
    """Every node with the function around it."""
    for node in ast.iter_child_nodes(tree):
        yield scope, node
        yield from _nodes_in(node, node if isinstance(node, ast.FunctionDef) else scope)
