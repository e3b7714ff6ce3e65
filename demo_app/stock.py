"""The paper that Bogenlager shows; made up, the same for everybody."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PAPERS", "Paper"]


@dataclass(frozen=True)
class Paper:
    """One paper in the warehouse: what it is, where it lies and how much is left."""

    name: str
    grammage: int
    size: str
    place: str
    sheets: int
    capacity: int

    @property
    def fill(self) -> int:
        """How full its place is, in percent."""
        return round(100 * self.sheets / self.capacity)

    @property
    def low(self) -> bool:
        """Whether it should be ordered."""
        return self.fill < 20


PAPERS = (
    Paper("Profimatt", 135, "70 × 100", "A 04", 18_500, 24_000),
    Paper("Offset 1,2", 90, "63 × 88", "A 11", 31_000, 40_000),
    Paper("Natur Recycling", 120, "70 × 100", "B 02", 2_250, 16_000),
    Paper("Chromokarton", 300, "72 × 102", "C 07", 6_400, 12_000),
)
