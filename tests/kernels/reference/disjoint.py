"""Disjoint sets named by their smallest member."""

from collections.abc import Iterable


class DisjointSets:
    """Sets over 0..size-1; the name of a set is its smallest member."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, member: int) -> int:
        parent = self._parent
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def unite(self, a: int, b: int) -> bool:
        """Unite the sets of a and b; False if they were one set already."""
        a, b = self.find(a), self.find(b)
        self._parent[max(a, b)] = min(a, b)
        return a != b

    def unite_all(self, pairs: Iterable[tuple[int, int]]) -> None:
        for a, b in pairs:
            self.unite(a, b)

    def names(self, members: Iterable[int]) -> list[int]:
        return [self.find(member) for member in members]
