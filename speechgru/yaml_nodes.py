"""How much a YAML document stands for: a few aliases of aliases can stand for billions of values."""

from __future__ import annotations

from typing import Any

import yaml

#: What is read as YAML, such as a configuration or a grammar, has no more values than this.
MOST_VALUES = 200_000


#: What PyYAML raises beside its own errors: for a tag such as `!!bool` on the wrong value, and for endless nesting.
FAULTS = (ValueError, AttributeError, LookupError, OverflowError, RecursionError, TypeError)


def describe_fault(error: Exception) -> str:
    """One of `FAULTS` in a few words.

    >>> describe_fault(KeyError("abc"))
    'a tag such as !!int or !!bool stands before a value of another kind; take the tag out'
    """
    if isinstance(error, (AttributeError, LookupError, TypeError)):
        return "a tag such as !!int or !!bool stands before a value of another kind; take the tag out"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if "digits" in str(error):
        return "a number has thousands of digits"
    return " ".join(str(error).split())


def require_bounded(root: yaml.Node, *, most: int = MOST_VALUES) -> None:
    """Refuses a document whose aliases stand for too many values, or for themselves.

    Args:
        root: the document, composed and not yet constructed: an alias is its node once more.
        most: how many values it may stand for.

    Raises:
        ValueError: it stands for more; says so in a few words.

    >>> require_bounded(yaml.compose("a: &a [1, 2]\\nb: [*a, *a]"))
    >>> require_bounded(yaml.compose("a: &a [1, 2]\\nb: [*a, *a]"), most=8)
    Traceback (most recent call last):
    ValueError: its aliases stand for more than 8 values; write out what they mean, or take them out
    """
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    stack: list[tuple[yaml.Node, bool]] = [(root, False)]
    while stack:
        node, is_done = stack.pop()
        key = id(node)
        if is_done:
            open_nodes.discard(key)
            sizes[key] = 1 + sum(sizes[id(child)] for child in _children(node))
            if sizes[key] > most:
                raise ValueError(
                    f"its aliases stand for more than {most:,} values; write out what they mean, or take them out"
                )
        elif key not in sizes:
            if key in open_nodes:
                raise ValueError("an alias stands for what it is in; take it out")
            open_nodes.add(key)
            stack.append((node, True))
            # The same child twice is looked at once; it is open only while what is below it is looked at.
            stack += [(child, False) for child in {id(child): child for child in _children(node)}.values()]


def construct_bounded(loader: Any) -> Any:
    """The only document of a loader, once it is known to be bounded; None where there is none.

    Args:
        loader: one of PyYAML's; disposed of.

    Raises:
        ValueError: as for `require_bounded`.
        yaml.YAMLError: it is not YAML.

    >>> construct_bounded(yaml.SafeLoader("[1, 2]")), construct_bounded(yaml.SafeLoader(""))
    ([1, 2], None)
    """
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        require_bounded(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _children(node: Any) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for each in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
