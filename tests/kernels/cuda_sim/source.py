"""Rewrites what macros cannot express for g++: `__shared__`, and the list of a file's kernels.

Works on preprocessed text, so macros and headers need no special treatment. Keeps line numbers.
"""

import re

_TOKEN = re.compile(
    r'\s+|^\#[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[A-Za-z_]\w*|\d[\w.\']*|.',
    re.MULTILINE | re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_OPEN = {"(": ")", "[": "]", "{": "}"}
_CLOSE = set(_OPEN.values())


class UnsupportedSource(Exception):
    """A use of CUDA that the simulation does not support; the message names the line."""


def prepare(text: str) -> str:
    """Convert a preprocessed .cu file to C++ for g++.

    `__shared__ T name[n];` becomes a reference to memory of the block, `extern __shared__ T name[];` a
    pointer to its dynamic shared memory, and a call after each kernel registers it.
    """
    tokens = _TOKEN.findall(text)
    lines = _Lines(tokens)
    _replace_kernels(tokens, lines)
    _replace_shared(tokens, lines)
    return "".join(tokens)


class _Lines:
    """Finds the file and line of a token, for messages."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = list(tokens)

    def __call__(self, index: int) -> str:
        file, line = "?", 1
        for token in self._tokens[: index + 1]:
            if (marker := re.match(r'# (\d+) "([^"]*)"', token)) is not None:
                file, line = marker[2], int(marker[1]) - 1
            else:
                line += token.count("\n")
        return f"{file}:{line}"


def _is_space(token: str) -> bool:
    return token.isspace() or token == "" or (token.startswith("#") and len(token) > 1)


def _closing(tokens: list[str], index: int) -> int:
    """The index of the bracket that closes the one at `index`."""
    depth = 0
    for at in range(index, len(tokens)):
        if tokens[at] in _OPEN:
            depth += 1
        elif tokens[at] in _CLOSE:
            depth -= 1
            if depth == 0:
                return at
    raise UnsupportedSource("a bracket is never closed")


def _after_space(tokens: list[str], index: int) -> int:
    while index < len(tokens) and _is_space(tokens[index]):
        index += 1
    return index


def _blank(tokens: list[str], first: int, last: int) -> str:
    """Remove tokens first..last except their line ends; returns their text, without line ends."""
    taken = "".join(token for token in tokens[first : last + 1] if not token.startswith("#"))
    for at in range(first, last + 1):
        marker = tokens[at].startswith("#")
        tokens[at] = tokens[at] if marker else "\n" * tokens[at].count("\n")
    return " ".join(taken.split())


def _take_bound(tokens: list[str], at: int) -> tuple[str, int]:
    """Remove `__launch_bounds__(...)` at `at`; returns its arguments, and the index of its last token."""
    opened = _after_space(tokens, at + 1)
    closed = _closing(tokens, opened)
    bound = _blank(tokens, opened + 1, closed - 1)
    tokens[at] = tokens[opened] = tokens[closed] = ""
    return bound, closed


def _replace_kernels(tokens: list[str], lines: _Lines) -> None:
    bound = ""
    at = 0
    while at < len(tokens):
        if tokens[at] == "__launch_bounds__":
            bound, at = _take_bound(tokens, at)
        elif tokens[at] == "__global__":
            tokens[at] = ""
            at = _replace_kernel(tokens, at, bound, lines)
            bound = ""
        at += 1


def _replace_kernel(tokens: list[str], start: int, bound: str, lines: _Lines) -> int:
    at = _after_space(tokens, start + 1)
    name = ""
    while tokens[at] != "(":
        if tokens[at] == "__launch_bounds__":
            bound, at = _take_bound(tokens, at)
        elif _NAME.match(tokens[at]):
            name = tokens[at]
        elif not _is_space(tokens[at]):
            raise UnsupportedSource(f"{lines(at)}: a kernel's declaration is not understood")
        at = _after_space(tokens, at + 1)
    closed = _closing(tokens, at)
    parameters = [
        _parameter_name(p) for p in _split(tokens[at + 1 : closed]) if any(not _is_space(t) for t in p)
    ]
    body = _after_space(tokens, closed + 1)
    if tokens[body] == ";":
        return body
    if tokens[body] != "{":
        raise UnsupportedSource(f"{lines(body)}: the body of kernel {name} is not found")
    end = _closing(tokens, body)
    tokens[end] += (
        f" [[maybe_unused]] static const int cuda_sim_kernel_{name} = "
        f"::cuda_sim::Kernel<&{name}, decltype(&{name})>::add("
        f'"{name}", "{" ".join(parameters)}", {bound or "0"});'
    )
    return body


def _split(tokens: list[str]) -> list[list[str]]:
    """Split at commas outside of all brackets, including those of template arguments."""
    parts: list[list[str]] = [[]]
    depth = angles = 0
    previous = ""
    for token in tokens:
        if token in _OPEN:
            depth += 1
        elif token in _CLOSE:
            depth -= 1
        elif depth == 0 and token == "<" and _NAME.match(previous):
            angles += 1
        elif depth == 0 and token == ">" and angles:
            angles -= 1
        if token == "," and depth == 0 and angles == 0:
            parts.append([])
        else:
            parts[-1].append(token)
        if not _is_space(token):
            previous = token
    return parts


def _parameter_name(tokens: list[str]) -> str:
    names = [token for token in tokens if _NAME.match(token)]
    return names[-1] if len(names) > 1 else "_"


def _replace_shared(tokens: list[str], lines: _Lines) -> None:
    count = 0
    for at, token in enumerate(tokens):
        if token != "__shared__":
            continue
        first = at
        while tokens[first - 1] not in (";", "{", "}", ")", ":") and not tokens[first - 1].endswith(";"):
            first -= 1
        last = tokens.index(";", at)
        place = lines(at)
        statement = [t for t in tokens[first:last] if not _is_space(t)]
        if _depth(tokens, at) == 0:
            raise UnsupportedSource(f"{place}: __shared__ outside a function; declare it in the kernel")
        _blank(tokens, first, last)
        tokens[at] = _shared(statement, count, place)
        count += 1


def _depth(tokens: list[str], index: int) -> int:
    """Number of open braces of functions at `index`, without those of namespaces and linkage."""
    kinds: list[bool] = []
    statement: list[str] = []
    for token in tokens[:index]:
        if _is_space(token):
            continue
        if token == "{":
            kinds.append("(" in statement)
            statement = []
        elif token.startswith("}"):
            if kinds:
                kinds.pop()
            statement = []
        elif token.endswith(";"):
            statement = []
        else:
            statement.append(token)
    return sum(kinds)


def _shared(statement: list[str], count: int, place: str) -> str:
    dynamic = "extern" in statement
    kept: list[str] = []
    at = 0
    while at < len(statement):
        token = statement[at]
        if token in ("alignas", "__attribute__") and statement[at + 1] == "(":
            at = _closing(statement, at + 1)  # all shared memory is aligned to 256 bytes
        elif token not in ("__shared__", "static", "extern"):
            kept.append(token)
        at += 1
    if "=" in kept:
        raise UnsupportedSource(f"{place}: __shared__ takes no initial value")
    declarations: list[str] = []
    kind = ""
    for number, part in enumerate(_split(kept)):
        bracket = part.index("[") if "[" in part else len(part)
        name = part[bracket - 1]
        if number == 0:
            kind = " ".join(part[: bracket - 1])
        if not _NAME.match(name) or (number and bracket != 1) or not kind:
            raise UnsupportedSource(f"{place}: this __shared__ declaration is not understood")
        if dynamic:
            declarations.append(f"{kind}* const {name} = ::cuda_sim::dynamic_shared<{kind}>();")
            continue
        own = f"{count}_{number}"
        declarations.append(
            f"struct cuda_sim_variable_{own}; using cuda_sim_type_{own} = {kind} {''.join(part[bracket:])}; "
            f"cuda_sim_type_{own}& {name} = "
            f'::cuda_sim::shared_variable<cuda_sim_type_{own}, cuda_sim_variable_{own}>("{name}");'
        )
    return " ".join(declarations)
